"""Safety timers: fired by the workers, and from memory while Postgres is unavailable."""
