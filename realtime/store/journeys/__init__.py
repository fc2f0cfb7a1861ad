"""Journeys in Postgres: their points, partitions, shares and incidents."""
