"""Whether the replica has what is older than 60 s, and reading it there when it has."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from typing import Final

import asyncpg

from realtime.protocol import Code, Refused
from realtime.store.db.pools import close_pool, literal, transaction
from realtime.store.db.queries import load

HISTORY_AGE_S: Final = 60.0
"""What is older than this counts as history."""

_LOOK_EVERY_S: Final = 5.0
_VALID_S: Final = 10.0
"""How long one look at the replica is believed."""

_SQL = load("database")
_log = logging.getLogger(__name__)

Reader = Callable[[str], AbstractAsyncContextManager[asyncpg.Connection]]


def begin_reader(tenant: str) -> str:
    """What begins a read-only transaction that sees ``tenant``'s rows only."""
    return _SQL["begin_reader"].format(tenant=literal(tenant))


class LogPositions:
    """Where the primary's log stood in the last minute, as (moment, bytes since the log began)."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def record(self, now_s: float, position: int) -> None:
        """Note where the primary stood at ``now_s``; calls come in order of time."""
        self._seen.append((now_s, position))

    def suffices(self, now_s: float, replayed: int | None) -> bool:
        """Whether a replica that has replayed ``replayed`` now has all history until ``_VALID_S`` from now.

        It has when it reached the first position noted within the age of history less that time: what the
        primary held before that moment is below it. With no such note, the primary having been away, nobody
        can tell.
        """
        oldest_useful = now_s - HISTORY_AGE_S + _VALID_S
        while self._seen and self._seen[0][0] < oldest_useful:
            self._seen.popleft()
        return bool(self._seen) and replayed is not None and replayed >= self._seen[0][1]


class ReadReplica:
    """The replica's pool and how far it is. ``now_s``: a monotonic clock."""

    def __init__(
        self, pool: asyncpg.Pool, timeout_s: float, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.pool = pool
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._positions = LogPositions()
        self._fresh_until_s = float("-inf")
        self._watcher: asyncio.Task[None] | None = None

    @property
    def is_fresh(self) -> bool:
        """Whether it has everything older than 60 s."""
        return self._now_s() < self._fresh_until_s

    def watch(self, primary: Reader) -> None:
        """Look at both servers every few seconds from now on, until `close`."""
        self._watcher = asyncio.create_task(self._watch(primary), name="replica-watch")

    async def look(self, primary: Reader) -> None:
        """Ask both servers where they are, and conclude. Raises nothing when one is away."""
        try:
            async with primary("") as connection:
                self._positions.record(self._now_s(), await connection.fetchval(_SQL["primary_position"]))
        except Refused:
            _log.debug("primary did not say where it is")
        try:
            async with self._transaction("") as connection:
                replayed = await connection.fetchval(_SQL["replayed_position"])
        except Refused:
            replayed = None
        now_s = self._now_s()
        fresh = self._positions.suffices(now_s, replayed)
        if fresh != self.is_fresh:
            _log.info("replica %s", "has caught up" if fresh else "is behind or away: reading the primary")
        self._fresh_until_s = now_s + _VALID_S if fresh else float("-inf")

    @asynccontextmanager
    async def reader(self, tenant: str, otherwise: Reader) -> AsyncIterator[asyncpg.Connection]:
        """A read-only transaction on the replica; on ``otherwise`` when it cannot be had."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._transaction(tenant))
            except Refused:
                self._fresh_until_s = float("-inf")
                connection = await stack.enter_async_context(otherwise(tenant))
            try:
                yield connection
            except asyncpg.SerializationError as error:  # replay had to remove what was being read
                raise Refused(Code.UNAVAILABLE, "replica is busy", retry_after_s=1) from error

    async def close(self) -> None:
        """Stop looking and close the pool."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher
        await close_pool(self.pool, self._timeout_s)

    def _transaction(self, tenant: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
        return transaction(self.pool, begin_reader(tenant), timeout_s=self._timeout_s, readonly=True)

    async def _watch(self, primary: Reader) -> None:
        while True:
            await self.look(primary)
            await asyncio.sleep(_LOOK_EVERY_S)
