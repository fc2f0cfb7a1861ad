"""The group commit: whatever has gathered goes to Postgres in one transaction, then every batch is answered.

What comes while nothing is being stored is stored at once; what comes meanwhile gathers. Two transactions run
at a time, so that one is computed here while Postgres works on the other, but never two of one journey: its
batches are stored in the order they came. A batch that fails takes with it those of the same journey behind
it, and no others; which ones fail is decided in `realtime.ingest.isolation`.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from realtime.ingest.isolation import RETRY_S, IsolatingStore, Store, WaitingBatch
from realtime.ingest.journey import JourneyLog
from realtime.metrics import instruments
from realtime.press_priority import PressPriority
from realtime.protocol import Code, Refused
from realtime.store.journeys.commit import PointBatch

log = logging.getLogger(__name__)

FULL_RETRY_S: Final = 1.0
COMMITS_AT_ONCE: Final = 2
Done = Callable[[Refused | None], None]


class Committer:
    """Gathers batches, stores up to ``max_points`` together, answers each.

    ``window_s`` is the least time from the start of one transaction to that of the next, unless
    ``max_points`` have gathered: what keeps Postgres from paying for a transaction a point.
    ``priority``: the presses of this process, which a transaction that has not begun gives way to.
    ``store`` is `realtime.store.journeys.commit.store` bound to a database, or what a test puts in its place.
    """

    def __init__(
        self,
        store: Store,
        *,
        window_s: float,
        max_points: int,
        queue_points: int,
        priority: PressPriority | None = None,
    ) -> None:
        self._isolating = IsolatingStore(store, self._succeed, self._fail_with_followers)
        self._priority = priority or PressPriority()
        self._window_s = window_s
        self._max_points = max_points
        self._queue_limit = queue_points
        self._queue: deque[WaitingBatch] = deque()
        self._queued_points = 0
        self._storing: dict[JourneyLog, list[WaitingBatch]] = {}
        """The journeys of the transactions that run, with what has come behind them."""
        self._commits: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self, timeout_s: float) -> None:
        """Commit what has gathered, for at most ``timeout_s``; then answer the rest with ``draining``.

        What was being stored then is answered so too: its outcome is unknown, and sending it again is safe.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        tasks = [*self._commits, *([] if self._task is None else [self._task])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._stopped = True
        left, self._queue = self._queue, deque()
        self._count(-self._queued_points)
        for waiting in left:
            self._answer(waiting, _draining())
        self._idle.set()

    @property
    def queued_points(self) -> int:
        """Points that wait for a commit."""
        return self._queued_points

    def submit(self, batch: PointBatch, journey: JourneyLog, done: Done) -> None:
        """Queue ``batch``; ``done(None)`` once it is committed, ``done(refusal)`` when it was not stored.

        Raises Refused(overloaded) when the queue is full, Refused(expected_seq) when it does not continue
        the log, Refused(draining) after ``stop``; ``done`` is not called then.
        """
        if self._stopped:
            raise _draining()
        if not journey.continues(batch.first_seq):
            raise Refused(
                Code.EXPECTED_SEQ,
                f"batch begins at {batch.first_seq}, expected {journey.tail + 1}",
                expected=journey.tail + 1,
            )
        size = len(batch.points)
        if self._queued_points + size > self._queue_limit:
            raise Refused(Code.OVERLOADED, "commit queue is full", retry_after_s=FULL_RETRY_S)
        journey.admitted(batch.last_seq)
        self._queue.append(WaitingBatch(batch, journey, done))
        self._count(size)
        self._idle.clear()
        self._wake.set()
        if self._queued_points >= self._max_points:
            self._full.set()

    # --- the loop

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        started_s = -self._window_s
        while True:
            await self._wake.wait()
            if (left_s := started_s + self._window_s - loop.time()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._full.wait()
            await self._priority.give_way()
            self._wake.clear()
            if len(self._commits) < COMMITS_AT_ONCE and (group := self._gather()):
                started_s = loop.time()
                commit = asyncio.ensure_future(self._commit_group(group))
                self._commits.add(commit)
                commit.add_done_callback(partial(self._ended, group))
                if self._queue:
                    self._wake.set()

    def _gather(self) -> list[WaitingBatch]:
        """What is stored next; nothing when all that waits is of journeys that are being stored."""
        group: list[WaitingBatch] = []
        points = 0
        while self._queue and (not group or points + len(self._queue[0].batch.points) <= self._max_points):
            waiting = self._queue.popleft()
            if (behind := self._storing.get(waiting.log)) is not None:
                behind.append(waiting)
                continue
            points += len(waiting.batch.points)
            group.append(waiting)
        if group:
            self._storing.update((waiting.log, []) for waiting in group)
            self._count(-points)
            instruments.COMMIT_POINTS.observe(points)
        if self._queued_points < self._max_points:
            self._full.clear()
        return group

    async def _commit_group(self, group: list[WaitingBatch]) -> None:
        try:
            await self._isolating.store(group)
        except Exception:
            log.exception("commit failed")
            refusal = Refused(Code.INTERNAL, "commit failed", retry_after_s=RETRY_S)
            self._fail_with_followers([w for w in group if not w.is_answered], refusal)

    def _ended(self, group: list[WaitingBatch], commit: asyncio.Task[None]) -> None:
        """A transaction is over; what ``stop`` broke off, begun or not, is answered here."""
        if broken_off := [waiting for waiting in group if not waiting.is_answered]:
            self._fail_with_followers(broken_off, _draining())
        journeys = dict.fromkeys(waiting.log for waiting in group)
        behind = [late for journey in journeys for late in self._storing.pop(journey)]
        self._queue.extendleft(reversed(behind))
        self._commits.discard(commit)
        self._wake.set()
        if not self._queue and not self._commits:
            self._idle.set()

    def _count(self, points: int) -> None:
        self._queued_points += points
        instruments.COMMIT_QUEUE.set(self._queued_points)

    # --- answers

    def _succeed(self, waiting: WaitingBatch) -> None:
        waiting.log.stored(waiting.batch.last_seq)
        waiting.is_answered = True
        waiting.done(None)

    def _answer(self, waiting: WaitingBatch, refusal: Refused) -> None:
        waiting.log.failed()
        waiting.is_answered = True
        waiting.done(refusal)

    def _fail_with_followers(self, group: list[WaitingBatch], refusal: Refused) -> None:
        first: set[JourneyLog] = set()
        for waiting in group:
            answer = _behind(refusal, waiting.log) if waiting.log in first else refusal
            first.add(waiting.log)
            self._answer(waiting, answer)
        self._fail_queued(first, refusal)

    def _fail_queued(self, journeys: set[JourneyLog], refusal: Refused) -> None:
        """What waits behind a failed batch of its journey would leave a hole: it fails too."""
        behind = [late for journey in journeys for late in self._storing.get(journey, ())]
        for journey in journeys & self._storing.keys():
            self._storing[journey].clear()
        queued = [waiting for waiting in self._queue if waiting.log in journeys]
        if queued:
            self._queue = deque(waiting for waiting in self._queue if waiting.log not in journeys)
        for waiting in [*behind, *queued]:
            self._count(-len(waiting.batch.points))
            self._answer(waiting, _behind(refusal, waiting.log))


def _behind(refusal: Refused, journey: JourneyLog) -> Refused:
    """The answer to a batch behind one that got ``refusal``."""
    if refusal.retryable:
        return refusal
    expected = journey.committed + 1
    return Refused(Code.EXPECTED_SEQ, f"the batch before was refused, expected {expected}", expected=expected)


def _draining() -> Refused:
    return Refused(Code.DRAINING, "instance is draining", retry_after_s=1)
