"""The processes that make the load: drivers, viewers, attackers, idle clients."""
