"""Which errors mean that Postgres answered and failed a statement, rather than that it is unavailable."""

from typing import Final

import asyncpg

_UNAVAILABLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


def is_statement_failure(error: BaseException | None) -> bool:
    """Whether ``error``, or what caused it, is a statement that Postgres failed: a full disk, a lack of
    memory, a cancelled statement, damage, a missing table or right.
    """
    while error is not None:
        if isinstance(error, asyncpg.PostgresError):
            return not isinstance(error, _UNAVAILABLE)
        error = error.__cause__
    return False
