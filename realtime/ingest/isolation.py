"""Storing a group of batches of which some cannot be stored: the others are, and each is answered.

What a failure means, in this order:

1. The store refuses (it is unavailable): all that is left fails with that.
2. Batches disagree with what is stored: those fail, the rest is tried again.
3. A row cannot be stored: the group is halved by journey, then tried batch by batch, then a batch is halved
   until one point is left, which becomes a void.
4. Any other failure of a statement: all that is left fails, retryable.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

import asyncpg

from geo.position import VoidReason, void
from realtime.ingest.journey import JourneyLog
from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.store.db import row_faults
from realtime.store.journeys.commit import Disagreement, PointBatch

log = logging.getLogger(__name__)

RETRY_S: Final = 2.0
Store = Callable[[list[PointBatch]], Awaitable[None]]


@dataclass(slots=True, eq=False)
class WaitingBatch:
    """A batch that waits for its commit. ``done`` takes None, or why it was not stored."""

    batch: PointBatch
    log: JourneyLog
    done: Callable[[Refused | None], None]
    is_answered: bool = False


class IsolatingStore:
    """`store` stores a group and answers each batch of it.

    ``succeed`` takes a batch that is stored. ``fail`` takes batches in their order and the refusal of the
    first of each journey; those behind it and what waits for the same journey fail with it.
    """

    def __init__(
        self,
        store: Store,
        succeed: Callable[[WaitingBatch], None],
        fail: Callable[[list[WaitingBatch], Refused], None],
    ) -> None:
        self._store: Final = store
        self._succeed: Final = succeed
        self._fail: Final = fail

    async def store(self, group: list[WaitingBatch]) -> None:
        """Store ``group``; every batch of it is answered when this returns."""
        while group:
            try:
                await self._timed([waiting.batch for waiting in group])
            except Disagreement as found:
                instruments.COMMIT_FAILURES.labels(Code.CONFLICT.value).inc()
                group = self._without(group, found)
            except Refused as refusal:
                instruments.COMMIT_FAILURES.labels(refusal.code.value).inc()
                self._fail(group, refusal)
                return
            except asyncpg.PostgresError as error:
                instruments.COMMIT_FAILURES.labels(Code.INTERNAL.value).inc()
                await self._split(group, error)
                return
            else:
                for waiting in group:
                    self._succeed(waiting)
                return

    async def _timed(self, batches: list[PointBatch]) -> None:
        begun_s = time.perf_counter()
        try:
            await self._store(batches)
        finally:
            instruments.COMMIT_SECONDS.observe(time.perf_counter() - begun_s)

    def _without(self, group: list[WaitingBatch], found: Disagreement) -> list[WaitingBatch]:
        """``group`` without the batches that disagree with the store and those behind them."""
        for at, waiting in enumerate(group):
            refusal = _refusal(waiting.batch, found)
            if refusal is not None and not waiting.is_answered:
                behind = [w for w in group[at + 1 :] if w.log is waiting.log and not w.is_answered]
                self._fail([waiting, *behind], refusal)
        return [waiting for waiting in group if not waiting.is_answered]

    async def _split(self, group: list[WaitingBatch], error: asyncpg.PostgresError) -> None:
        """Some row cannot be stored: halve by journey, then by batch, then make its points voids."""
        journeys = list(dict.fromkeys(waiting.log for waiting in group))
        if len(journeys) > 1:
            first = set(journeys[: len(journeys) // 2])
            await self.store([waiting for waiting in group if waiting.log in first])
            await self.store([waiting for waiting in group if waiting.log not in first])
            return
        if not row_faults.is_of_the_row(error):
            log.error("points cannot be stored now: %s", row_faults.named(error))
            self._fail(group, _not_now())
            return
        for at, waiting in enumerate(group):
            try:
                await self._store_piecewise(waiting.batch)
            except Disagreement as found:
                self._fail(group[at:], _refusal(waiting.batch, found) or _ENDED)
                return
            except Refused as refusal:
                self._fail(group[at:], refusal)
                return
            self._succeed(waiting)

    async def _store_piecewise(self, batch: PointBatch) -> None:
        """Store ``batch`` in ever smaller parts; a point that cannot be stored alone becomes a void."""
        try:
            await self._store([batch])
            return
        except asyncpg.PostgresError as error:
            if not row_faults.is_of_the_row(error):
                raise _not_now() from error
            if len(batch.points) == 1:
                if batch.points[0].lat is None:
                    raise
                log.error("a point cannot be stored: %s", type(error).__name__)
                batch.voids[batch.first_seq] = VoidReason.UNSTORABLE
                batch.points = [void(batch.first_seq)]
                await self._store_piecewise(batch)
                return
        middle = len(batch.points) // 2
        parts = [replace(batch, points=part) for part in (batch.points[:middle], batch.points[middle:])]
        for part in parts:
            await self._store_piecewise(part)
        batch.points = [point for part in parts for point in part.points]


_ENDED: Final = Refused(Code.JOURNEY_ENDED, "journey takes no such points any more")


def _refusal(batch: PointBatch, found: Disagreement) -> Refused | None:
    if batch in found.conflicts:
        seqs = found.conflicts[batch]
        return Refused(Code.CONFLICT, f"seq {seqs[0]} is stored otherwise", conflicts=seqs[:100])
    return _ENDED if batch in found.refused else None


def _not_now() -> Refused:
    return Refused(Code.UNAVAILABLE, "storage is not ready", retry_after_s=RETRY_S)
