"""Records outcomes in the ledger. A message is never sent again because its outcome cannot be recorded now.

If the ledger is unavailable an outcome is stored in the journal, where there is one; otherwise it stays in
memory and is recorded later. If that fails for too long too, the process that takes over the attempt looks it
up at the provider.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from alerts.delivery.observer import DeliveryObserver
from alerts.delivery.send import SendResult, named
from alerts.ports import Ledger, StorageFailure

log = logging.getLogger(__name__)

KEPT: Final = 10_000
"""Outcomes in memory at most; beyond it the oldest is dropped, and its attempt is looked up."""
TRIES: Final = 2_000
"""How often one outcome is recorded at most, at ever longer pauses; after that it is given up."""
LISTED: Final = 100
"""Outcomes that are named in the log when a recorder stops with some unrecorded."""
RETRY_S: Final = 0.25
LONGEST_RETRY_S: Final = 5.0
RECORD_TIMEOUT_S: Final = 15.0


Keep = Callable[[SendResult], Awaitable[bool]]
"""Stores an outcome in a journal until the ledger has recovered; whether it is stored."""


class Recorder:
    """Records outcomes; `start` begins to retry those that could not be recorded."""

    def __init__(
        self,
        ledger: Ledger,
        meter: DeliveryObserver,
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
        self._waiting: deque[tuple[SendResult, int]] = deque()
        """Each with the number of its tries."""
        self._trying: tuple[SendResult, int] | None = None
        self._more = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many outcomes are in memory only."""
        return len(self._waiting) + (self._trying is not None)

    def start(self) -> None:
        """Begin to retry what could not be recorded."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self, grace_s: float) -> None:
        """Record what waits for ``grace_s`` seconds at most, then stop."""
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

    async def record(self, tried: SendResult) -> None:
        """Record ``tried`` now, or store it to be recorded later. Never raises."""
        if not await self._recorded(tried) and not await self._journalled(tried):
            self._remember(tried)

    async def _recorded(self, tried: SendResult) -> bool:
        """Return False when the ledger is unavailable. What it refuses for another reason is given up."""
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                await self._ledger.settle(tried.job, tried.outcome)
                if tried.report is not None:
                    await self._ledger.report(tried.report)
        except (StorageFailure, TimeoutError):
            return False
        except Exception as error:
            log.error("the outcome of %s cannot be recorded: %s", named(tried.job), type(error).__name__)
            self._meter.forgotten()
        return True

    async def _journalled(self, tried: SendResult) -> bool:
        if self._keep is None:
            return False
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                return await self._keep(tried)
        except Exception as error:
            log.error("the outcome of %s cannot be journalled: %s", named(tried.job), type(error).__name__)
            return False

    def _remember(self, tried: SendResult, tries: int = 1) -> None:
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
        """Retry the outcome that waits longest; return whether it was recorded. Else it waits again, last."""
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
