"""People in Postgres: tenants, vendors, drivers, contacts, devices, policies, codes and erasure."""
