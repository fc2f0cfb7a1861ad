"""Postgres itself: pools, transactions, queries, schema, replica, leases."""
