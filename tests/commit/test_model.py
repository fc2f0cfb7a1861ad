"""Drivers, lost replies, faults, poison and two instances at random, against a model of what was promised."""

import asyncio
import random
from uuid import UUID, uuid4

import asyncpg
import pytest

from geo.position import Point
from realtime.ingest.committer import COMMITS_AT_ONCE, Committer
from realtime.ingest.journey import JourneyLog
from realtime.protocol import Code, Refused
from realtime.store.journeys.commit import PointBatch
from tests.commit.kit import NOW_MS, Answer, FakeStore

AWAY = Refused(Code.UNAVAILABLE, "the storage is unavailable, try again", retry_after_s=1)
POISON_LAT = 66.6


class App:
    """One driver's app: keeps its points until they are acknowledged, moves between instances at will."""

    def __init__(self, rng: random.Random, instances: int) -> None:
        self.journey_id = uuid4()
        self.rng = rng
        self.total = 60
        self.points = [
            Point(seq, NOW_MS + seq, POISON_LAT if rng.random() < 0.05 else 53.0 + seq / 1e3, -2.9)
            for seq in range(1, self.total + 1)
        ]
        self.acked = 0
        self.logs = [self.log() for _ in range(instances)]

    def log(self) -> JourneyLog:
        return JourneyLog(self.journey_id, "t1", "v1", "d1", 0, NOW_MS)

    async def run(self, committers: list[Committer], store: FakeStore) -> None:
        async with asyncio.timeout(60):
            while self.acked < self.total:
                await self._send_some(committers, store)

    async def _send_some(self, committers: list[Committer], store: FakeStore) -> None:
        which = self.rng.randrange(len(committers))
        sent: list[tuple[Answer, int]] = []
        at = max(1, self.acked + 1 - self.rng.randint(0, 4))
        for _ in range(self.rng.randint(1, 4)):
            last = min(self.total, at + self.rng.randint(0, 9))
            batch = PointBatch(self.journey_id, "t1", "d1", self.points[at - 1 : last], {}, NOW_MS)
            answer = Answer()
            try:
                committers[which].submit(batch, self.logs[which], answer)
            except Refused as refusal:
                assert refusal.code in {Code.EXPECTED_SEQ, Code.OVERLOADED}
                # As the service does: the head is read again.
                stored = len(store.logs.get(self.journey_id, {}))
                self.logs[which].learned(stored, None, expired=False)
                break
            sent.append((answer, last))
            if (at := last + 1) > self.total:
                break
        for answer, last in sent:
            outcome = await answer.outcome()
            assert outcome in {"ok", "unavailable", "expected_seq"}, outcome
            if outcome == "ok":
                stored = store.logs[self.journey_id]
                assert all(seq in stored for seq in range(1, last + 1)), "acknowledged and not stored"
                self.acked = max(self.acked, last)
            else:
                self.logs[which] = self.log()  # as the service does: what was believed is forgotten
                self.logs[which].learned(len(store.logs.get(self.journey_id, {})), None, expired=False)


class OneAtATime:
    """The store as one instance reaches it, which must never store two batches of a journey side by side."""

    def __init__(self, store: FakeStore, rng: random.Random) -> None:
        self.store = store
        self.rng = rng
        self.storing: list[set[UUID]] = []
        self.most = 0

    async def __call__(self, batches: list[PointBatch]) -> None:
        journeys = {batch.journey_id for batch in batches}
        assert not any(journeys & others for others in self.storing), "two transactions of one journey"
        self.storing.append(journeys)
        self.most = max(self.most, len(self.storing))
        try:
            await asyncio.sleep(self.rng.choice([0.0, 0.001, 0.003]))
            await self.store(batches)
        finally:
            self.storing.remove(journeys)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_what_was_acknowledged_is_stored_once_and_whole(seed: int) -> None:
    rng = random.Random(seed)
    store = FakeStore()
    store.poison[POISON_LAT] = asyncpg.NumericValueOutOfRangeError("poison")
    reached = [OneAtATime(store, rng) for _ in range(2)]
    committers = [
        Committer(each, window_s=0.001, max_points=rng.choice([5, 40, 500]), queue_points=200)
        for each in reached
    ]
    apps = [App(rng, len(committers)) for _ in range(8)]
    for committer in committers:
        committer.start()

    async def misfortune() -> None:
        while True:
            await asyncio.sleep(0.003)
            match rng.randrange(5):
                case 0:
                    store.fail_next.append(AWAY)
                case 1:
                    store.lose_reply = AWAY
                case 2:
                    store.fail_next.append(asyncpg.DeadlockDetectedError("deadlock"))
                case 3:
                    store.gate = asyncio.Event()
                    await asyncio.sleep(0.002)
                    store.gate.set()
                case _:
                    pass

    trouble = asyncio.ensure_future(misfortune())
    try:
        await asyncio.gather(*(app.run(committers, store) for app in apps))
    finally:
        trouble.cancel()
        if store.gate is not None:
            store.gate.set()
        for committer in committers:
            await committer.stop(5.0)
    assert max(each.most for each in reached) == COMMITS_AT_ONCE
    for app in apps:
        stored = store.logs[app.journey_id]
        assert sorted(stored) == list(range(1, app.total + 1))
        for point in app.points:
            is_void = stored[point.seq].lat is None
            assert is_void == (point.lat == POISON_LAT), "a good point was voided, or poison was stored"
