"""What is kept in Postgres: identity, journeys and their points, shares, revocations; and its upkeep."""
