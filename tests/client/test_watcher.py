"""The viewer's client: merging, coming back, and writing down every breach."""

from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from realtime.client import DriverClient, JourneyView, LatestView, Stopped, Watcher
from realtime.client.backoff import Backoff
from tests.client.fake import FakeServer, fake_server
from tests.client.model import refused

T0_MS = 1_780_000_000_000


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Backoff.failed
    monkeypatch.setattr(Backoff, "failed", lambda self, after_s=None: after_s or failed(self) / 50.0)


def entry(seq: int, driver: str = "d1", journey: str = "j1") -> list[Any]:
    return [driver, journey, [seq, T0_MS + seq, 53.4, -2.9]]


def test_a_journey_view_writes_down_gaps_and_duplicates() -> None:
    view = JourneyView({"journey": "j1"})
    view.take_snapshot({"snapshot": {"positions": [entry(1), entry(2)]}})
    view.take_positions([entry(2), entry(5)])
    assert view.duplicates == [2] and view.gaps == [(3, 4)] and view.through == 5
    assert not view.is_sound
    assert [point[0] for point in view.points] == [1, 2, 5]


def test_a_latest_view_takes_a_snapshot_as_all_there_is_and_notices_going_back() -> None:
    view = LatestView({"vendor": "north"})
    view.take_positions([entry(3), entry(9, driver="d2")])
    view.take_positions([entry(2)])
    assert view.went_back == 1
    view.take_snapshot({"snapshot": {"positions": [entry(4)], "presence": {"d1": {"state": "online"}}}})
    assert set(view.positions) == {"d1"} and view.presence["d1"]["state"] == "online"
    view.take_positions([entry(1, journey="j2")])
    assert view.went_back == 1


async def drive(fake: FakeServer, points: int, client: DriverClient) -> str:
    if not fake.model.by_id:
        client.start(str(uuid4()), T0_MS)
    for number in range(points):
        client.add(T0_MS + number, 53.4, -2.9)
    assert await client.flush(10.0)
    return next(iter(fake.model.by_id))


async def test_snapshot_then_events_then_a_cut_and_nothing_is_missing(fake: FakeServer) -> None:
    async with (
        DriverClient(fake.url, "t1") as driver,
        Watcher(fake.url, token="t2", rng=Random(1)) as watcher,
    ):
        journey_id = await drive(fake, 5, driver)
        view = await watcher.watch_journey(journey_id)
        assert view.through == 5
        await drive(fake, 3, driver)
        await watcher.until(lambda: view.through == 8, 10.0)
        await fake.cut_viewers()
        await drive(fake, 4, driver)
        await watcher.until(lambda: view.through == 12, 10.0)
        assert view.is_sound and [point[0] for point in view.points] == list(range(1, 13))
        assert [w.get("since_seq") for w in fake.watches] == [0, 8]
        assert watcher.link.connects == 2 and not watcher.strays


async def test_reset_watches_again_from_where_we_are(fake: FakeServer) -> None:
    async with DriverClient(fake.url, "t1") as driver, Watcher(fake.url, token="t2") as watcher:
        journey_id = await drive(fake, 2, driver)
        view = await watcher.watch_journey(journey_id)
        name = f"journey:{journey_id}"
        await fake.emit(name, "reset", {"feed": name})
        await fake.emit(name, "positions", name, [entry(99)])
        await watcher.until(lambda: view.snapshots == 2, 10.0)
        assert view.resets == 1 and view.is_sound and fake.watches[-1]["since_seq"] == 2


async def test_vendor_positions_presence_and_journeys_arrive(fake: FakeServer) -> None:
    async with Watcher(fake.url, share="s.x") as watcher:
        view = await watcher.watch_vendor("north")
        await fake.emit("vendor:north", "positions", "vendor:north", [entry(7)])
        await fake.emit("vendor:north", "presence", "vendor:north", {"driver": "d1", "state": "stale"})
        await fake.emit("vendor:north", "journey", "vendor:north", {"journey": "j1", "state": "ended"})
        await watcher.until(lambda: "j1" in view.journeys, 10.0)
        assert view.positions["d1"][1][0] == 7 and view.presence["d1"]["state"] == "stale"
        assert (await watcher.whoami())["role"] == "dispatcher"
        assert (await watcher.unwatch("vendor:north"))["ok"]
    assert fake.connects == [{"share": "s.x"}]


async def test_a_refusal_for_good_is_raised_and_a_passing_one_is_tried_again(fake: FakeServer) -> None:
    async with Watcher(fake.url, token="t2") as watcher:
        fake.refuse_watch.append(refused("unavailable", retryable=True, retry_after_s=0.02))
        await watcher.watch_vendor("north")
        assert len(fake.watches) == 2
        fake.refuse_watch.append(refused("forbidden", retryable=False))
        with pytest.raises(Stopped, match="forbidden"):
            await watcher.watch_vendor("south")


async def test_an_event_of_a_feed_nobody_watches_is_noticed(fake: FakeServer) -> None:
    async with Watcher(fake.url, token="t2") as watcher:
        await watcher.watch_vendor("north")
        await fake.tell_all("/watch", "positions", "vendor:south", [entry(1)])
        await watcher.until(lambda: bool(watcher.strays), 10.0)
        assert watcher.strays == [("positions", "vendor:south")]


async def test_a_fault_in_a_handler_is_not_swallowed(fake: FakeServer) -> None:
    def explode(name: str, entries: Any) -> None:
        raise ZeroDivisionError

    async with Watcher(fake.url, token="t2", on_positions=explode) as watcher:
        await watcher.watch_vendor("north")
        await fake.emit("vendor:north", "positions", "vendor:north", [entry(1)])
        with pytest.raises(ZeroDivisionError):
            await watcher.until(lambda: False, 10.0)


def test_a_live_only_view_begins_anew_with_each_snapshot() -> None:
    view = JourneyView({"journey": "j1"}, live_only=True)
    view.take_snapshot({"through": 7, "snapshot": {"positions": [entry(7)]}})
    view.take_positions([entry(8)])
    assert view.watch_request() == {"journey": "j1"}
    view.take_snapshot({"through": 20, "snapshot": {"positions": [entry(20)]}})
    view.take_positions([entry(21)])
    assert view.is_sound and view.through == 21
    view.take_positions([entry(23)])
    assert view.gaps == [(22, 22)]


async def test_a_feed_that_is_refused_after_a_reset_is_written_down(fake: FakeServer) -> None:
    async with Watcher(fake.url, token="t2") as watcher:
        await watcher.watch_vendor("north")
        fake.refuse_watch.append(refused("not_found", retryable=False))
        await fake.emit("vendor:north", "reset", {"feed": "vendor:north"})
        await watcher.until(lambda: bool(watcher.refused), 10.0)
        assert watcher.refused == {"vendor:north": "not_found"}
