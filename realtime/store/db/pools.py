"""A pool's connection, lent inside a transaction, in a role, with a timeout on everything."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Final, NamedTuple

import asyncpg

from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.settings import Settings

_NEVER_S: Final = 86_400.0
_IDLE_CONNECTION_S: Final = 300.0

_AWAY: Final = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # starting up, shutting down
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalClientError,  # what asyncpg says of a connection that the server has just ended
)

_log = logging.getLogger(__name__)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that leaves nothing behind to reset: whatever is set is set for one transaction."""

    def get_reset_query(self) -> str:
        """Nothing, which saves a round trip a transaction."""
        return ""


class PoolBusy(Refused):
    """Every connection of a pool was in use for as long as the caller could wait.

    To the caller it is an ``unavailable`` like any other. It says nothing about Postgres, which may be well.
    """


class PoolLane(NamedTuple):
    """Connections that one kind of request has for itself, so that no other kind can keep it waiting.

    ``name`` is a label of `realtime.metrics.instruments.DB_POOL` and part of the connections' application
    name.
    """

    name: str
    connections: int


PRESSES: Final = PoolLane("presses", 4)
"""For storing an SOS: as many as are asked at once (`realtime.alerting.db_guard.PRESSES_AT_ONCE`)."""
GUESTS: Final = PoolLane("guests", 2)
"""For share links, which are not known to be valid yet, and for the record of who opened one."""


async def make_pool(url: str, settings: Settings, lane: PoolLane | None = None) -> asyncpg.Pool:
    """Make a pool that connects on first use and works behind a pooler in transaction mode.

    ``lane``: how many connections it may have, and for what; None = DB_POOL_SIZE, for everything else.
    """
    name = f"wayguard-{settings.instance_name}"
    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=settings.db_pool_size if lane is None else lane.connections,
        # What is rarely needed and then at once stays connected.
        max_inactive_connection_lifetime=_IDLE_CONNECTION_S if lane is None else 0.0,
        statement_cache_size=0,
        timeout=settings.db_timeout_s,
        command_timeout=settings.db_timeout_s,
        connection_class=_Connection,
        server_settings={"application_name": name if lane is None else f"{name}-{lane.name}"},
    )


async def close_pool(pool: asyncpg.Pool, timeout_s: float) -> None:
    """Close ``pool``, breaking what is still in use after ``timeout_s``."""
    try:
        await asyncio.wait_for(pool.close(), timeout_s)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        pool.terminate()


def literal(text: str) -> str:
    """``text`` as an SQL string constant, whatever standard_conforming_strings says."""
    if "\0" in text:
        raise ValueError("text contains a nul")
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@asynccontextmanager
async def transaction(
    pool: asyncpg.Pool, begin: str, *, timeout_s: float, readonly: bool
) -> AsyncIterator[asyncpg.Connection]:
    """A connection of ``pool`` inside a transaction that ``begin`` starts: BEGIN and whatever sets it up.

    It commits when the block ends well, and rolls back otherwise. ``timeout_s`` bounds the wait for a
    connection and the commit; statements have the pool's timeout or their own. There is no nesting.
    Raises Refused(unavailable) when the database cannot be had, as PoolBusy when only a connection cannot;
    what it says of a statement passes through.
    """
    with _away_is_unavailable():
        try:
            connection = await pool.acquire(timeout=timeout_s)
        except TimeoutError as error:
            if not is_full(pool):
                raise
            raise PoolBusy(Code.UNAVAILABLE, "storage is busy", retry_after_s=1) from error
    try:
        with _away_is_unavailable(connection, readonly=readonly):
            try:
                await connection.execute(begin)  # one message, where asyncpg's own way takes three
                yield connection
            except BaseException as error:
                await _roll_back(connection, error)
                raise
            if readonly:
                await connection.execute("COMMIT")
            else:
                await _commit(connection, timeout_s)
    finally:
        # The outcome is decided; a connection that cannot be tidied is thrown away by the pool.
        with suppress(*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
            await pool.release(connection, timeout=timeout_s)


def is_full(pool: asyncpg.Pool) -> bool:
    """Whether every connection that ``pool`` may have is open and in use."""
    return bool(pool.get_size() >= pool.get_max_size() and pool.get_idle_size() == 0)


@contextmanager
def _away_is_unavailable(
    connection: asyncpg.Connection | None = None, *, readonly: bool = True
) -> Iterator[None]:
    try:
        yield
    except _AWAY as error:
        raise _unavailable(error) from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        if readonly:
            raise
        raise _unavailable(error) from error  # what was the primary is none any more
    except asyncpg.InterfaceError as error:
        # asyncpg says so both of a connection or pool that is closed and of a call that is wrong.
        if connection is not None and not _is_gone(connection):
            raise
        raise _unavailable(error) from error


def _is_gone(connection: asyncpg.Connection) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # cut, so the pool has taken it away from us
        return True


def _unavailable(error: Exception) -> Refused:
    _log.debug("postgres cannot be had: %s", type(error).__name__)
    return Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=1)


async def _roll_back(connection: asyncpg.Connection, error: BaseException) -> None:
    """End a transaction that failed; a connection that may not answer is broken rather than asked."""
    if _is_gone(connection):
        return
    if isinstance(error, _AWAY):
        connection.terminate()
        return
    try:
        await connection.execute("ROLLBACK")
    except (*_AWAY, asyncpg.PostgresError, asyncpg.InterfaceError):
        if not _is_gone(connection):
            connection.terminate()


async def _commit(connection: asyncpg.Connection, timeout_s: float) -> None:
    """Commit. When the answer is late, or we are cancelled, hang up and never cancel the COMMIT.

    asyncpg would ask the server to cancel it. A COMMIT that waits for a synchronous standby is then committed
    here alone, and a retry that finds its rows would acknowledge what a failover loses.
    """
    committing = asyncio.ensure_future(connection.execute("COMMIT", timeout=_NEVER_S))
    try:
        await asyncio.wait({committing}, timeout=timeout_s)
    finally:
        if not committing.done():
            committing.add_done_callback(lambda done: done.cancelled() or done.exception())
            if not _is_gone(connection):
                connection.terminate()
    if not committing.done():
        raise TimeoutError("commit was not answered")
    if committing.result() != "COMMIT":
        raise RuntimeError("the transaction was rolled back: a statement's failure had been ignored")
