"""Postgres, Redis and HAProxy from wheels on one machine, and the supervisor of everything."""
