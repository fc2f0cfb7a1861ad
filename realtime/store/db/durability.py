"""Whether the database keeps what it acknowledges: no crash test on one machine can tell, so ask at start."""

from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL = load("database")

SAFE = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply", "remote_write", "local"},
}
"""What each setting must be. All of the last flush our own log before they answer."""


class UnsafeDatabase(Exception):
    """The database may lose what it has acknowledged; the message names the settings."""


async def unsafe_settings(db: Database) -> dict[str, str]:
    """The settings, with their values, that let the database lose what it acknowledged; empty is good.

    They are those of our own transactions, whatever the server's default. Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["settings"], list(SAFE))
    return {row["name"]: row["setting"] for row in rows if row["setting"] not in SAFE[row["name"]]}


async def assert_durable(db: Database, allow_unsafe: bool) -> dict[str, str]:
    """The unsafe settings, as `unsafe_settings`. Raises UnsafeDatabase when there are any, unless allowed."""
    unsafe = await unsafe_settings(db)
    if unsafe and not allow_unsafe:
        named = ", ".join(f"{name} is {value}" for name, value in unsafe.items())
        raise UnsafeDatabase(f"the database may lose acknowledged points: {named}")
    return unsafe
