"""Who does what only one process may: a named lease, by Postgres' clock."""

from typing import Final

from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL: Final = load("leases")


async def take(db: Database, name: str, holder: str, for_s: float) -> int | None:
    """Take or prolong the lease ``name`` for ``for_s`` from now; its fence, None while another holds it.

    The fence is larger than any that an earlier holder was given. Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        fence: int | None = await connection.fetchval(_SQL["take"], name, holder, int(for_s * 1000))
    return fence


async def give_back(db: Database, name: str, holder: str) -> None:
    """Let another have it at once. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(_SQL["give_back"], name, holder)
