"""Alerts in Postgres: the ledger and its transactions, reads, timers, and what a press needs to know."""
