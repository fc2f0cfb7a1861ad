"""Batches, journeys and answers for the tests of the group commit."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from geo.position import Point, VoidReason, void
from realtime.ingest.committer import Committer
from realtime.ingest.journey import JourneyLog
from realtime.protocol import Refused
from realtime.store.journeys.commit import Disagreement, PointBatch

NOW_MS = 1_790_000_000_000


def point(seq: int, lat: float = 53.4) -> Point:
    return Point(seq, NOW_MS + seq * 1000, lat, -2.98, 7.5, 90.0, 4.0)


def batch_of(journey: JourneyLog, seqs: Iterable[int], *, lat: float = 53.4) -> PointBatch:
    points = [point(seq, lat) for seq in seqs]
    return PointBatch(journey.journey_id, journey.tenant, journey.driver, points, {}, NOW_MS)


def voids_of(journey: JourneyLog, seqs: Iterable[int]) -> PointBatch:
    points = [void(seq) for seq in seqs]
    reasons = {p.seq: VoidReason.NO_FIX.value for p in points}
    return PointBatch(journey.journey_id, journey.tenant, journey.driver, points, reasons, NOW_MS)


def journey(committed: int = 0, journey_id: UUID | None = None, driver: str = "d1") -> JourneyLog:
    return JourneyLog(journey_id or uuid4(), "t1", "v1", driver, committed, NOW_MS)


@dataclass
class Answer:
    """The answer to one batch: None = committed, a refusal, or not there yet."""

    come: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: Refused | None = None
    times: int = 0

    def __call__(self, refusal: Refused | None) -> None:
        self.times += 1
        self.refusal = refusal
        self.come.set()

    async def outcome(self) -> str:
        """``ok`` or the refusal's code."""
        async with asyncio.timeout(20):
            await self.come.wait()
        assert self.times == 1, "answered more than once"
        return "ok" if self.refusal is None else self.refusal.code.value


def submit(committer: Committer, log: JourneyLog, batch: PointBatch) -> Answer:
    answer = Answer()
    committer.submit(batch, log, answer)
    return answer


class FakeStore:
    """Logs in memory, all or nothing, with failure switches.

    ``fail_next``: exceptions to raise, one a call, before anything is stored. ``poison``: lat of a row that
    cannot be stored, or raises ``poison_error``. ``gate``: when set, a call waits for it. ``lose_reply``:
    store, then raise Refused(unavailable).
    """

    def __init__(self) -> None:
        self.logs: dict[UUID, dict[int, Point]] = {}
        self.calls: list[list[tuple[UUID, int, int]]] = []
        self.fail_next: list[BaseException] = []
        self.poison: dict[float, Exception] = {}
        self.refused: set[UUID] = set()
        self.gate: asyncio.Event | None = None
        self.entered = asyncio.Event()
        self.lose_reply: Refused | None = None

    async def __call__(self, batches: list[PointBatch]) -> None:
        self.calls.append([(b.journey_id, b.first_seq, b.last_seq) for b in batches])
        self.entered.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fail_next:
            raise self.fail_next.pop(0)
        for batch in batches:
            for p in batch.points:
                if p.lat is not None and p.lat in self.poison:
                    raise self.poison[p.lat]
        staged = {key: dict(value) for key, value in self.logs.items()}
        found = Disagreement()
        for batch in batches:
            stored = staged.setdefault(batch.journey_id, {})
            if batch.journey_id in self.refused:
                found.refused.append(batch)
                continue
            wrong = []
            for p in batch.points:
                known = stored.setdefault(p.seq, p)
                if known != p and known.lat is not None:
                    wrong.append(p.seq)
            if wrong:
                found.conflicts[batch] = wrong
        if found.refused or found.conflicts:
            raise found
        self.logs = staged
        for seqs in self.logs.values():
            assert sorted(seqs) == list(range(1, len(seqs) + 1)), "a hole was stored"
        if self.lose_reply is not None:
            refusal, self.lose_reply = self.lose_reply, None
            raise refusal

    def seqs(self, log: JourneyLog) -> list[int]:
        return sorted(self.logs.get(log.journey_id, {}))
