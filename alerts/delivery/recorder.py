"""Outcomes on their way into the ledger. One that cannot be recorded now is kept, and never sent again for
it.

With the ledger away an outcome is handed to a journal when there is one; it is kept in memory and tried again
otherwise. When even that fails for too long, whoever takes the attempt over looks it up at the provider.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from alerts.delivery.meter import Meter
from alerts.delivery.trying import Tried, named
from alerts.ports import Away, Ledger

log = logging.getLogger(__name__)

KEPT: Final = 10_000
"""Outcomes in memory; beyond it the oldest is forgotten, which costs its look-up."""
TRIES: Final = 2_000
"""So often one outcome is tried, at ever longer pauses; one that is still not taken then never will be."""
LISTED: Final = 100
"""Outcomes that are named in the log when a recorder stops with some unrecorded."""
RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0
RECORD_TIMEOUT_S: Final = 15.0


Keep = Callable[[Tried], Awaitable[bool]]
"""Keeps an outcome on disk until the ledger is back, in a journal; whether it is safe there."""


class Recorder:
    """Records; `start` begins to try again what could not be."""

    def __init__(
        self,
        ledger: Ledger,
        meter: Meter,
        jitter: Callable[[], float],
        keep: Keep | None = None,
        *,
        max_tries: int = TRIES,
    ) -> None:
        self._ledger: Final = ledger
        self._meter: Final = meter
        self._jitter: Final = jitter
        self._keep: Final = keep
        self._max_tries: Final = max_tries
        self._waiting: deque[tuple[Tried, int]] = deque()
        """With how often each was tried."""
        self._trying: tuple[Tried, int] | None = None
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many outcomes are in memory alone."""
        return len(self._waiting) + (self._trying is not None)

    def start(self) -> None:
        """Begin to try again what could not be recorded."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self, grace_s: float) -> None:
        """Try for ``grace_s`` to get rid of what waits, then stop."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._waiting:
                    if not await self._again():
                        await asyncio.sleep(RETRY_S)
        if self._waiting:
            log.error("%d outcomes were not recorded; they will be looked up", len(self._waiting))
            for one, _ in list(self._waiting)[:LISTED]:
                log.error("the outcome of %s was not recorded", named(one.job))

    async def record(self, tried: Tried) -> None:
        """Record ``tried`` now, or keep it to be recorded. Never raises."""
        if not await self._recorded(tried) and not await self._journalled(tried):
            self._remember(tried)

    async def _recorded(self, tried: Tried) -> bool:
        """False when the ledger is away. What it cannot take for any other reason it never will."""
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await self._ledger.settle(tried.job, tried.outcome)
                if tried.report is not None:
                    await self._ledger.report(tried.report)
        except (Away, TimeoutError):
            return False
        except Exception as error:
            log.error("the outcome of %s cannot be recorded: %s", named(tried.job), type(error).__name__)
            self._meter.forgotten()
        return True

    async def _journalled(self, tried: Tried) -> bool:
        if self._keep is None:
            return False
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                return await self._keep(tried)
        except Exception as error:
            log.error("the outcome of %s cannot be journalled: %s", named(tried.job), type(error).__name__)
            return False

    def _remember(self, tried: Tried, tries: int = 1) -> None:
        if len(self._waiting) >= KEPT:
            dropped, _ = self._waiting.popleft()
            log.error("the outcome of %s is dropped; it will be looked up", named(dropped.job))
            self._meter.forgotten()
        self._waiting.append((tried, tries))
        self._meter.unrecorded(len(self._waiting))
        self._more.set()

    async def _run(self) -> None:
        pause_s = RETRY_S
        while True:
            await self._more.wait()
            if await self._again():
                pause_s = RETRY_S
                continue
            await asyncio.sleep(pause_s * (0.5 + self._jitter() / 2))
            pause_s = min(pause_s * 2, LONGEST_RETRY_S)

    async def _again(self) -> bool:
        """Try the one that waits longest; whether it went. One that did not goes behind the others."""
        if not self._waiting:
            self._more.clear()
            return True
        self._trying = self._waiting.popleft()
        tried, tries = self._trying
        try:
            went = await self._recorded(tried) or await self._journalled(tried)
        except asyncio.CancelledError:
            self._waiting.appendleft(self._trying)
            raise
        finally:
            self._trying = None
        if not went and tries < self._max_tries:
            self._remember(tried, tries + 1)
        elif not went:
            log.error("the outcome of %s is given up; it will be looked up", named(tried.job))
            self._meter.forgotten()
        self._meter.unrecorded(len(self._waiting))
        return went
