"""Alerts while Postgres is unavailable: local copies, replicas, leases, takeover, import."""
