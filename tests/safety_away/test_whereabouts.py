"""Where a driver is who presses without saying it: what this process and Redis know, without Postgres."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.alert import Place, Press
from geo.position import Point
from realtime.alerting.last_positions import JOURNEY_MS, LastSeen
from realtime.bus.bus import BusItem, RedisBus
from realtime.live.publisher import LATEST_MS, LivePublisher
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import POSITIONS, position_item
from realtime.protocol import Code, Refused
from realtime.redis.client import client
from tests.alerts.ledger_contract import a_press
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import Process

JOURNEY = UUID("0191a0a0-0000-7000-8000-000000000001")


def seen(lat: float, ago_ms: int, *, driver: str = "d1", clock_ahead_ms: int = 0) -> BusItem:
    """A position of ``driver`` that arrived ``ago_ms`` ago."""
    at_ms = now_ms() - ago_ms
    point = Point(1, at_ms + clock_ahead_ms, lat, 10.0, accuracy_m=7.0, battery_pct=40.0)
    return position_item(driver, str(JOURNEY), point, at_ms)


class Bus:
    """A bus that is not used."""


class State:
    """Redis, as far as it is asked here."""

    def __init__(self, item: BusItem | None = None, wait_s: float = 0.0, *, away: bool = False) -> None:
        self.item, self.wait_s, self.away = item, wait_s, away
        self.asked: list[tuple[str, ...]] = []

    async def read_one(self, *whom: str) -> StoredValue | None:
        self.asked.append(whom)
        await asyncio.sleep(self.wait_s)
        if self.away:
            raise Refused(Code.UNAVAILABLE, "away")
        return None if self.item is None else StoredValue(self.item, "")


def last_seen(state: Any, here: BusItem | None = None) -> LastSeen:
    return LastSeen(state, lambda *whom: here, now_ms, within_s=0.2)


def silent(**changes: Any) -> Press:
    return a_press(now_ms(), place=None, journey_id=None, **changes)


async def test_a_press_without_a_place_has_the_one_of_redis_with_its_age_and_accuracy() -> None:
    state = State(seen(54.0, 3_000))
    found = await last_seen(state).located(silent())
    assert found.place is not None and state.item is not None
    assert (found.place.lat, found.place.accuracy_m, found.place.battery_pct) == (54.0, 7.0, 40.0)
    assert found.place.t_ms == state.item.order
    assert found.journey_id == JOURNEY
    assert state.asked == [("t1", "north", POSITIONS, "d1")]


@pytest.mark.parametrize(("here_ago_ms", "redis_ago_ms", "lat"), [(1_000, 2_000, 1.0), (2_000, 1_000, 2.0)])
async def test_the_newest_of_the_two_counts(here_ago_ms: int, redis_ago_ms: int, lat: float) -> None:
    found = await last_seen(State(seen(2.0, redis_ago_ms)), seen(1.0, here_ago_ms)).located(silent())
    assert found.place is not None and found.place.lat == lat


async def test_a_clock_that_runs_ahead_is_no_newer_than_its_arrival() -> None:
    ahead = seen(1.0, 60_000, clock_ahead_ms=3_600_000)
    found = await last_seen(State(seen(2.0, 1_000)), ahead).located(silent())
    assert found.place is not None and found.place.lat == 2.0


@pytest.mark.parametrize("state", [State(away=True), State(seen(2.0, 0), wait_s=30.0)], ids=["down", "hangs"])
async def test_with_redis_unavailable_what_the_process_knows_counts_and_the_wait_is_bounded(
    state: State,
) -> None:
    found = await last_seen(state, seen(1.0, 5_000)).located(silent())
    assert found.place is not None and found.place.lat == 1.0, "after the wait it would be the newer one"


async def test_of_many_presses_one_waits_for_a_redis_that_fails() -> None:
    state = State(seen(2.0, 1_000), away=True)
    known = LastSeen(state, lambda *whom: seen(1.0, 5_000), now_ms, pause_s=0.05)  # type: ignore[arg-type]
    for _ in range(3):
        found = await known.located(silent())
        assert found.place is not None and found.place.lat == 1.0
    assert len(state.asked) == 1
    await asyncio.sleep(0.06)
    state.away = False
    found = await known.located(silent())
    assert found.place is not None and found.place.lat == 2.0


async def test_what_is_no_position_of_the_driver_is_passed_over() -> None:
    for wrong in (
        seen(1.0, 0, driver="d2"),
        seen(0.0, 0)._replace(fragment=b'["d1","x",[1,5,0.0,0.0]]'),
        BusItem("d1", 5, b"null"),
        None,
    ):
        press = silent()
        assert await last_seen(State(wrong)).located(press) == press
        found = await last_seen(State(wrong), seen(1.0, 5_000)).located(press)
        assert found.place is not None and found.place.lat == 1.0


async def test_what_the_phone_knows_well_counts_and_redis_is_not_asked() -> None:
    state = State(seen(2.0, 0))
    press = a_press(now_ms(), place=Place(5.0, 6.0, 5.0, now_ms()))
    found = await last_seen(state).located(press)
    assert found.place is not None
    assert (found.place.lat, found.place.source, found.noted) == (5.0, "press", ())
    assert state.asked == []


@pytest.mark.parametrize(
    ("ago_ms", "metres", "noted"),
    [(None, 5.0, "point_unknown_age"), (5 * 3_600_000, 5.0, "point_older"), (0, 3_000.0, "point_inexact")],
)
async def test_a_place_of_the_phone_that_is_old_or_inexact_gives_way_to_the_live_one(
    ago_ms: int | None, metres: float, noted: str
) -> None:
    place = Place(5.0, 6.0, metres, None if ago_ms is None else now_ms() - ago_ms)
    found = await last_seen(State(seen(2.0, 500))).located(a_press(now_ms(), place=place))
    assert found.place is not None
    assert (found.place.lat, found.place.source, found.noted) == (2.0, "live", (noted,))
    assert found.said_place == place, "what the phone said is stored with the press"


async def test_a_position_of_long_ago_has_its_age_and_no_journey() -> None:
    found = await last_seen(State(seen(2.0, JOURNEY_MS + 1_000))).located(silent())
    assert found.place is not None and found.place.t_ms is not None
    assert now_ms() - found.place.t_ms > JOURNEY_MS
    assert found.journey_id is None


# --- what a process remembers


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[LivePublisher]:
    redis = client(redis_url, timeout_s=2.0, max_connections=4)
    bus = RedisBus(redis_url)
    made = LivePublisher(None, bus, LiveState(redis, 2.0), now_ms)
    yield made
    await made.stop()
    await bus.stop()
    await redis.aclose()


async def test_a_position_that_was_taken_here_is_known_here_and_then_by_redis(
    publisher: LivePublisher, redis_url: str
) -> None:
    item = seen(54.0, 0)
    publisher.conflated("t1", "north", POSITIONS, item, "1")
    publisher.conflated("t1", "north", POSITIONS, seen(53.0, 60_000), "1")
    assert publisher.latest_of("t1", "north", "d1") == item
    assert publisher.latest_of("t2", "north", "d1") is None
    assert await publisher.flush()
    assert publisher.latest_of("t1", "north", "d1") == item
    redis = client(redis_url, timeout_s=2.0, max_connections=4)
    found = await LastSeen(LiveState(redis, 2.0), lambda *whom: None, now_ms, 2.0).located(silent())
    await redis.aclose()
    assert found.place is not None and found.place.lat == 54.0


def test_how_much_a_process_remembers_is_bounded() -> None:
    publisher = LivePublisher(None, Bus(), State(), now_ms, max_latest=3)  # type: ignore[arg-type]
    for number in range(5):
        publisher.conflated("t1", "north", POSITIONS, seen(1.0, 0, driver=f"d{number}"), "1")
    known = [publisher.latest_of("t1", "north", f"d{number}") is not None for number in range(5)]
    assert known == [False, False, True, True, True]


def test_a_position_that_a_process_took_an_hour_ago_is_forgotten_there() -> None:
    publisher = LivePublisher(None, Bus(), State(), now_ms)  # type: ignore[arg-type]
    publisher.conflated("t1", "north", POSITIONS, seen(1.0, LATEST_MS + 5_000, driver="d2"), "1")
    publisher.conflated("t1", "north", POSITIONS, seen(1.0, LATEST_MS - 5_000, driver="d3"), "1")
    publisher.conflated("t1", "north", POSITIONS, seen(1.0, 0), "1")
    known = [publisher.latest_of("t1", "north", driver) is not None for driver in ("d1", "d2", "d3")]
    assert known == [True, False, True]


# --- the intake


async def test_a_press_that_goes_to_the_journal_has_the_live_position(process: Process) -> None:
    process.state.item = seen(54.0, 3_000)
    process.line.cut()
    taken = await process.intake.press(process.press(place=None, sos_id=uuid4()))
    assert taken.durability == "replicated"
    assert taken.alert.place is not None and taken.alert.place.lat == 54.0
    await process.back()
    (stored,) = await process.stored()
    assert stored.place == taken.alert.place


async def test_a_press_of_which_postgres_knows_no_place_has_the_live_position(process: Process) -> None:
    process.state.item = seen(54.0, 3_000)
    taken = await process.intake.press(process.press(place=None))
    assert taken.durability == "committed"
    assert taken.alert.place is not None and taken.alert.place.lat == 54.0


async def test_a_press_has_no_place_only_when_nothing_knows_one(process: Process) -> None:
    process.line.cut()
    assert (await process.intake.press(process.press(place=None))).alert.place is None
