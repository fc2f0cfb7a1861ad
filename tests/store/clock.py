"""Postgres' clock, set by a test: the ledger compares times by `now_ms()` of the database."""

import asyncpg


class DatabaseClock:
    """The clock of the database at ``url``."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ahead_ms = 0

    async def later(self, ms: int) -> None:
        """Set it ``ms`` ahead, or, below 0, back."""
        self._ahead_ms += ms
        connection = await asyncpg.connect(self._url)
        try:
            await connection.execute(
                "CREATE OR REPLACE FUNCTION now_ms() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE RETURN "
                f"(extract(epoch FROM statement_timestamp()) * 1000)::bigint + ({self._ahead_ms})"
            )
        finally:
            await connection.close()

    async def now_ms(self) -> int:
        """What it says."""
        connection = await asyncpg.connect(self._url)
        try:
            return int(await connection.fetchval("SELECT now_ms()"))
        finally:
            await connection.close()
