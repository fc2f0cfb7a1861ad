"""A connection of its own under an advisory lock, for migrations and upkeep.

It goes to DATABASE_DIRECT_URL: a session's locks do not survive a pooler in transaction mode.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum

import asyncpg

CONNECT_TIMEOUT_S = 10.0
LOCK_WAIT_S = 60.0


class Lock(IntEnum):
    """Advisory locks we take; the numbers spell WG and must never change."""

    MIGRATE = 0x5747_0001
    UPKEEP = 0x5747_0002


@asynccontextmanager
async def locked(url: str, lock: Lock) -> AsyncIterator[asyncpg.Connection]:
    """A connection to ``url`` that holds ``lock`` until the block ends, waiting for it up to LOCK_WAIT_S.

    Raises TimeoutError when another holds it longer; OSError or asyncpg.PostgresError when the server is
    away.
    """
    connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S, statement_cache_size=0)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", int(lock), timeout=LOCK_WAIT_S)
        yield connection
    finally:
        # Closing the session frees the lock, whatever state the block has left it in.
        await connection.close(timeout=CONNECT_TIMEOUT_S)
