"""What a driver's app is acknowledged: nothing that still waits for its commit. The store is a fake."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest

from realtime.auth.tokens import Principal
from realtime.bus.bus import BusItem
from realtime.ingest.committer import Committer
from realtime.ingest.journey_logs import JourneyLogs
from realtime.ingest.pipeline import BAD_TIMES_VOIDED, PositionService
from realtime.live.precedence import order_of
from realtime.live.publisher import LivePublisher
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.journeys.journeys import JourneyHead
from tests.commit.kit import FakeStore

NOW_MS = time.time_ns() // 1_000_000
DRIVER = Principal("d1", "driver", "t1", frozenset({"v1"}), "d1", None, NOW_MS + 60_000)


class FakePublisher:
    """Takes what viewers would be shown."""

    def __init__(self) -> None:
        self.logged: list[int] = []
        self.shown: list[BusItem] = []

    def conflated(self, tenant: str, vendor: str, kind: str, item: BusItem, origin: str) -> None:
        self.shown.append(item)

    def entries(self, tenant: str, journey: str, items: Iterable[Any], at_ms: int) -> None:
        self.logged += [item.order for item in items]


class Here:
    """A service with one journey of ``d1``, and the acks that have come."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.store.gate = asyncio.Event()
        self.committer = Committer(self.store, window_s=0.001, max_points=100, queue_points=1_000)
        self.publisher = FakePublisher()
        self.journey_logs = JourneyLogs(cast(Database, None))
        self.service = PositionService(
            self.journey_logs,
            self.committer,
            cast(LivePublisher, self.publisher),
            journey_max_ms=86_400_000,
            now_ms=lambda: NOW_MS,
        )
        head = JourneyHead(uuid4(), "t1", "v1", "d1", 0, NOW_MS, None, None, False)
        self.journey = self.journey_logs.opened(head)

    def upload(self, *seqs: int, t_ms: int | None = NOW_MS) -> list[dict[str, Any]]:
        """Send points with ``seqs``; where the ack appears."""
        points = [[seq, t_ms, 53.4, -2.9] for seq in seqs]
        acks: list[dict[str, Any]] = []

        def answer(ack: dict[str, Any] | bytes) -> None:
            acks.append(json.loads(ack) if isinstance(ack, bytes) else ack)

        payload = json.dumps({"journey_id": self.journey.text, "points": points})
        self.service.accept(DRIVER, payload.encode(), answer)
        return acks

    async def store_is_asked(self) -> None:
        async with asyncio.timeout(20):
            await self.store.entered.wait()

    async def commit(self, *waiting: list[dict[str, Any]]) -> None:
        """Let every transaction end; wait for these acks."""
        assert self.store.gate is not None
        self.store.gate.set()
        async with asyncio.timeout(20):
            while not all(waiting):
                await asyncio.sleep(0)


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    made = Here()
    made.committer.start()
    yield made
    await made.commit()
    await made.committer.stop(5.0)


async def test_points_sent_again_while_they_are_being_stored_wait_for_the_commit(here: Here) -> None:
    first = here.upload(1, 2)
    await here.store_is_asked()
    again = here.upload(1, 2)
    for _ in range(10):
        await asyncio.sleep(0)
    assert (first, again) == ([], [])
    await here.commit(first, again)
    assert [ack["through"] for ack in (*first, *again)] == [2, 2]


async def test_an_ack_names_no_point_that_waits_for_its_commit(here: Here) -> None:
    first = here.upload(1)
    await here.store_is_asked()
    behind = here.upload(2, 3)
    assert [ack["through"] for ack in here.upload()] == [0]
    await here.commit(first)
    assert [ack["through"] for ack in first] == [1]
    await here.commit(behind)
    assert [ack["through"] for ack in behind] == [3]


async def test_a_journeys_viewers_are_sent_a_point_once_it_is_committed(here: Here) -> None:
    first = here.upload(1, 2)
    await here.store_is_asked()
    assert here.publisher.logged == []
    await here.commit(first)
    assert here.publisher.logged == [1, 2]


async def test_a_position_is_shown_by_its_arrival_and_after_the_end_as_of_an_ended_journey(
    here: Here,
) -> None:
    first = here.upload(1, t_ms=NOW_MS - 3_600_000)
    await here.commit(first)
    here.journey.final_seq = 9
    second = here.upload(2, t_ms=NOW_MS + 3_600_000)
    await here.commit(second)
    orders = [item.order for item in here.publisher.shown]
    assert orders == [order_of(NOW_MS, ended=False), order_of(NOW_MS, ended=True)]


async def test_a_clock_that_stumbles_costs_voids_and_one_that_cannot_tell_the_time_is_refused(
    here: Here,
) -> None:
    stumbles = []
    for seq in range(1, BAD_TIMES_VOIDED + 1):
        stumbles.append(here.upload(seq, t_ms=None))
        await here.commit(stumbles[-1])
    assert [ack["voided"] for (ack,) in stumbles] == [
        [(seq, "bad_time")] for seq in range(1, BAD_TIMES_VOIDED + 1)
    ]
    (refused,) = here.upload(BAD_TIMES_VOIDED + 1, t_ms=None)
    assert (refused["ok"], refused["error"]["code"]) == (False, "bad_time")
    again = here.upload(BAD_TIMES_VOIDED, t_ms=None)
    await here.commit(again)
    assert again[0]["ok"], "a void that is stored already"
    good = here.upload(BAD_TIMES_VOIDED + 1)
    await here.commit(good)
    stumble = here.upload(BAD_TIMES_VOIDED + 2, t_ms=None)
    await here.commit(stumble)
    assert stumble[0]["ok"], "a good point in between"


async def test_after_a_failed_commit_the_head_of_the_log_is_not_trusted(here: Here) -> None:
    assert here.store.gate is not None
    here.store.gate.set()
    here.store.refused.add(here.journey.journey_id)
    refused = here.upload(1)
    await here.commit(refused)
    assert refused[0]["error"]["code"] == "journey_ended"
    assert here.journey.text not in here.journey_logs._logs


async def test_over_http_the_ack_is_the_bytes_of_the_service_and_a_refusal_is_raised(here: Here) -> None:
    def payload(*seqs: int) -> bytes:
        points = [[seq, NOW_MS, 53.4, -2.9] for seq in seqs]
        return json.dumps({"journey_id": here.journey.text, "points": points}).encode()

    assert here.store.gate is not None
    here.store.gate.set()
    assert await here.service.submit(DRIVER, payload(1, 2)) == b'{"ok":true,"through":2,"voided":[]}'
    with pytest.raises(Refused) as refused:
        await here.service.submit(replace(DRIVER, driver="d2"), payload(3))
    assert refused.value.code is Code.NOT_FOUND
    here.store.refused.add(here.journey.journey_id)
    with pytest.raises(Refused) as refused:
        await here.service.submit(DRIVER, payload(3))
    assert refused.value.code is Code.JOURNEY_ENDED
