"""Whether Postgres is asked first. One that did not answer in time is not asked again until it does: with it
away a cry for help waits for it once, and the next not at all.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from alerts.ports import StorageFailure, StorageRejected, StorageUnavailable
from realtime.aio import end
from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.db.errors import is_statement_failure
from realtime.store.db.pools import PoolBusy

T = TypeVar("T")
log = logging.getLogger(__name__)

PRESSES_AT_ONCE: Final = 4
OTHERS_AT_ONCE: Final = 2
"""Of what somebody waits for so many are asked at once: as many as the pool has. Whoever floods one way in
waits for themselves, and is neither in a press's way nor taken for Postgres' silence.
"""
PRESS_TURN_S: Final = 0.5
"""A press that waits longer for its turn goes to the journal, which acknowledges it sooner."""
OTHER_TURN_S: Final = 10.0
"""A request that waits longer is answered ``unavailable``, which says nothing about Postgres."""
PROBE_S: Final = 0.5
PROBE_TIMEOUT_S: Final = 2.0


class DatabaseGuard:
    """``ask`` while ``is_up``. `start` begins to look whether it is back; ``on_back`` is told when it is."""

    def __init__(
        self,
        db: Database,
        on_back: Callable[[], None] = lambda: None,
        *,
        press_slot_timeout_s: float = PRESS_TURN_S,
    ) -> None:
        self._db: Final = db
        self._on_back: Final = on_back
        self._press_slot_timeout_s: Final = press_slot_timeout_s
        self._is_up = db.is_up
        self._lost_s = -math.inf
        self.losses = 0
        """How often it was found to be away after it had been there."""
        self._presses: Final = asyncio.Semaphore(PRESSES_AT_ONCE)
        self._others: Final = asyncio.Semaphore(OTHERS_AT_ONCE)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_up(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._is_up

    @property
    def lost_for_s(self) -> float:
        """How long ago it was found to be away, if it was there before; infinite when it never was."""
        return time.monotonic() - self._lost_s

    def start(self) -> None:
        """Begin to probe whenever it is away."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Probe no more."""
        await end(self._tasks)

    async def ask_for_press(self, work: Callable[[], Awaitable[T]], within_s: float) -> T:
        """As `ask`, for a press, in its turn among presses."""
        return await self._in_turn(self._presses, self._press_slot_timeout_s, work, within_s)

    async def ask_in_turn(self, work: Callable[[], Awaitable[T]], within_s: float) -> T:
        """As `ask`, for what else somebody waits for, in its turn; ``within_s`` counts from that."""
        return await self._in_turn(self._others, OTHER_TURN_S, work, within_s)

    async def _in_turn(
        self, turns: asyncio.Semaphore, turn_s: float, work: Callable[[], Awaitable[T]], within_s: float
    ) -> T:
        try:
            async with asyncio.timeout(turn_s):
                await turns.acquire()
        except TimeoutError as error:
            raise StorageUnavailable from error
        try:
            return await self.ask(work, within_s)
        finally:
            turns.release()

    async def ask(self, work: Callable[[], Awaitable[T]], within_s: float) -> T:
        """Return what ``work`` comes to. Raises StorageUnavailable: at once when Postgres is unavailable,
        after ``within_s`` at most.

        What was not answered in time may have happened all the same. Any failure that is not a refusal of
        the caller's request (a damaged page, a missing table or right, a defect of ours) raises
        StorageRejected: Postgres goes on being asked, and the caller uses the journal.
        """
        if not self._is_up:
            raise StorageUnavailable
        task = asyncio.ensure_future(work())
        try:
            await asyncio.wait({task}, timeout=within_s)
        finally:
            if not task.done():  # and not waited for: letting go of a connection that hangs takes its time
                task.cancel()
                task.add_done_callback(_forget)
        if not task.done():
            self._lost("no answer in time")
            raise StorageUnavailable
        if task.cancelled():  # not by us: something inside it was
            self._lost("cancelled")
            raise StorageUnavailable
        try:
            return task.result()
        except TimeoutError as error:
            self._lost("no answer in time")
            raise StorageUnavailable from error
        except StorageRejected:
            instruments.ALERT_STORE_FAULTS.inc()
            raise
        except StorageFailure as error:
            raise self._failure(error) from error
        except Refused as refused:
            if refused.code is not Code.UNAVAILABLE:
                raise
            raise self._failure(refused) from refused
        except Exception as error:
            log.error("postgres failed a request about an alert: %s", type(error).__name__)
            instruments.ALERT_STORE_FAULTS.inc()
            raise StorageRejected from error

    async def probe(self) -> bool:
        """Look once, unless it is known to be there; whether it is."""
        if self._is_up:
            return True
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answers = await self._db.ping()
        except TimeoutError:
            answers = False
        if answers:
            log.info("postgres takes alerts again")
            self._is_up = True
            self._on_back()
        return answers

    def _failure(self, error: Exception) -> StorageFailure:
        """What ``error`` means: neither a failed statement nor a full pool is an absence of Postgres."""
        if isinstance(error, PoolBusy) or isinstance(error.__cause__, PoolBusy):
            return StorageUnavailable()
        if is_statement_failure(error):
            instruments.ALERT_STORE_FAULTS.inc()
            return StorageRejected()
        self._lost("unavailable")
        return StorageUnavailable()

    def _lost(self, why: str) -> None:
        if self._is_up:
            log.warning("postgres is not asked for alerts until it is back: %s", why)
            self._lost_s = time.monotonic()
            self.losses += 1
        self._is_up = False

    async def _run(self) -> None:
        while True:
            try:
                await self.probe()
            except Exception as error:
                log.error("looking for postgres failed: %s", type(error).__name__)
            await asyncio.sleep(PROBE_S)


def _forget(task: "asyncio.Future[Any]") -> None:
    """Whatever it came to after all is nobody's concern any more."""
    if not task.cancelled():
        task.exception()
