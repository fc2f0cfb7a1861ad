"""The ledger of one process on its own disk: what an SOS lives on while Postgres is away."""
