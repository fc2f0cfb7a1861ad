"""Which place an SOS has: that of the press, a committed point or the live position; without Postgres too."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Acknowledged, Alert, Place, Press
from alerts.case import Case
from alerts.press import parse_press
from geo.position import Point
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.position_follower import PositionFollower
from realtime.bus.bus import BusItem
from realtime.live.topics import position_item
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.circumstances import DriverQuery, seen_of
from realtime.store.journeys import journeys, upkeep
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import OLGA, Process
from tests.store.conftest import put
from tests.store.people import put_driver

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WEEKS_1024_MS = 1_024 * 7 * DAY_MS


def pressed(driver: str = "d1", ago_ms: int | None = 0, point: list[Any] | None = None, **more: Any) -> Press:
    """A press as an app sends it, with a point of ``ago_ms`` ago at 50, 10, or ``point``."""
    t_ms = None if ago_ms is None else now_ms() - ago_ms
    body = {"sos_id": str(uuid4()), "point": [99, t_ms, 50.0, 10.0] if point is None else point} | more
    return parse_press(
        json.dumps(body), tenant="t1", vendor="north", driver=driver, received_ms=now_ms(), source="http"
    )


async def journey(
    process: Process, ago_ms: int, lat: float = 54.0, driver: str = "d1", accuracy_m: float = 5.0
) -> UUID:
    """A journey of ``driver`` whose last position was committed ``ago_ms`` ago."""
    await upkeep.run_once(Settings(database_url=process.line.url), now_ms())  # type: ignore[arg-type]
    await put_driver(process.db, "t1", "north", driver)
    head = await journeys.start(
        process.db, "t1", "north", driver, uuid4(), now_ms(), None, None, None, now_ms()
    )
    points = [
        Point(seq, now_ms() - ago_ms - (3 - seq) * 1_000, lat - 3 + seq, 10.0, accuracy_m=accuracy_m)
        for seq in range(1, 4)
    ]
    await put(process.db, "t1", head.journey_id, points)
    return head.journey_id


def live(lat: float, ago_ms: int = 0, journey_id: UUID | None = None, seq: int = 9) -> BusItem:
    """A live position of d1."""
    at_ms = now_ms() - ago_ms
    return position_item(
        "d1", str(journey_id or UUID(int=9)), Point(seq, at_ms, lat, 10.0, accuracy_m=5.0), at_ms
    )


async def noted(process: Process, alert: Alert) -> list[str]:
    """What the history says was dropped of the presses."""
    story = await reads.explain(process.db, "t1", alert.alert_id)
    assert story is not None
    lines = [line.detail["noted"] for line in story.audit if "noted" in line.detail]
    return [note for line in lines for note in str(line).split(", ") if note]


@pytest.mark.parametrize(
    ("point", "committed_ago_ms", "note"),
    [
        ([99, 0, 0, 0, None, None, 5], 10_000, "point"),
        ([99, -5 * HOUR_MS, 50.0, 10.0, None, None, 5], 30_000, "point_older"),
        ([99, -40 * DAY_MS, 50.0, 10.0], 10_000, "point_ancient"),
        ([99, -WEEKS_1024_MS, 50.0, 10.0], 10_000, "point_ancient"),
        ([99, 2 * HOUR_MS, 50.0, 10.0], 10_000, "point_time"),
        ([99, 0, 50.0, 10.0, None, None, 3_000], 2_000, "point_inexact"),
        ([99, 0, 10.0, 54.0, None, None, 5], 5_000, "point_garbled"),
        ([99, 0, 121.0, 10.0, None, None, 5], 5_000, "point"),
    ],
)
async def test_the_committed_point_counts_and_what_is_set_aside_is_noted(
    process: Process, point: list[Any], committed_ago_ms: int, note: str
) -> None:
    journey_id = await journey(process, committed_ago_ms)
    given = [point[0], now_ms() + point[1], *point[2:]]
    alert = (await process.intake.press(pressed(point=given))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source, alert.place.accuracy_m) == (54.0, "journey", 5.0)
    assert alert.place.t_ms is not None
    assert alert.journey_id == journey_id
    assert note in await noted(process, alert)
    story = await reads.explain(process.db, "t1", alert.alert_id)
    assert story is not None
    (stored,) = story.presses
    assert (stored.said_place is None) is (note == "point"), "what the phone said is stored"


@pytest.mark.parametrize("ago_ms", [40 * DAY_MS, WEEKS_1024_MS, -2 * HOUR_MS, None])
async def test_a_point_without_a_credible_time_alone_is_of_unknown_age(
    process: Process, ago_ms: int | None
) -> None:
    alert = (await process.intake.press(pressed("d3", ago_ms))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.t_ms, alert.place.source) == (50.0, None, "press")
    assert set(await noted(process, alert)) <= {"point_time", "point_ancient"}


@pytest.mark.parametrize("named", ["unknown", "the app's", "ended", "ended long ago", "none"])
async def test_a_press_without_a_point_has_the_drivers_last_position(process: Process, named: str) -> None:
    journey_id = await journey(process, 4_000 if named != "ended long ago" else 3 * HOUR_MS)
    head = await journeys.head(process.db, "t1", journey_id)
    assert head is not None
    if named.startswith("ended"):
        await journeys.end(process.db, "t1", "d1", journey_id, now_ms() - 2_000, 3)
    said: dict[str, UUID | None] = {"unknown": uuid4(), "the app's": None, "none": None}
    if named == "the app's":
        async with process.db.reader("t1") as connection:
            said[named] = await connection.fetchval(
                "SELECT client_journey_id FROM journeys WHERE tenant_id = 't1' AND journey_id = $1",
                journey_id,
            )
    asked = said.get(named, journey_id)
    press = process.press(place=None, journey_id=None if asked is None else UUID(int=asked.int))
    alert = (await process.intake.press(press)).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source) == (54.0, "journey")
    assert alert.journey_id == journey_id
    assert ("journey_id" in await noted(process, alert)) is (named == "unknown")


async def test_of_two_open_journeys_the_one_with_the_newest_fix_counts(process: Process) -> None:
    newest = await journey(process, 2_000, 54.0)
    await journey(process, 60_000, 40.0)
    alert = (await process.intake.press(process.press(place=None))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.journey_id) == (54.0, newest)


async def test_the_live_position_counts_where_it_is_newer(process: Process) -> None:
    journey_id = await journey(process, 60_000)
    process.state.item = live(55.0, 1_000, journey_id, 8)
    alert = (await process.intake.press(pressed(ago_ms=30_000))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source) == (55.0, "live")
    assert "point_older" in await noted(process, alert)


async def test_the_place_of_an_earlier_alert_counts_where_it_is_the_newest(process: Process) -> None:
    first = (await process.intake.press(pressed("d7", 60_000))).alert
    drill = process.press(driver="d7", place=None, drill=True, journey_id=None)
    second = (await process.intake.press(drill)).alert
    assert first.place is not None
    assert second.place == replace(first.place, source="earlier")


async def test_a_driver_not_seen_for_days_has_the_last_position_there_is(process: Process) -> None:
    settings = Settings(database_url=process.line.url)  # type: ignore[arg-type]
    await upkeep.run_once(settings, now_ms() - 3 * DAY_MS)
    await put_driver(process.db, "t1", "north", "d1")
    then_ms = now_ms() - 3 * DAY_MS
    head = await journeys.start(process.db, "t1", "north", "d1", uuid4(), then_ms, None, None, None, then_ms)
    await put(process.db, "t1", head.journey_id, [Point(1, then_ms, 54.0, 10.0)])
    alert = (await process.intake.press(process.press(place=None))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.t_ms) == (54.0, then_ms)
    await process.intake.press(process.press(place=None))


async def test_entries_without_a_position_at_the_end_of_a_journey_hide_none(process: Process) -> None:
    journey_id = await journey(process, 4_000)
    voids = [Point(seq, None, None, None) for seq in range(4, 200)]
    await put(process.db, "t1", journey_id, voids, now_ms())
    alert = (await process.intake.press(process.press(place=None))).alert
    assert alert.place is not None
    assert alert.place.lat == 54.0


async def test_a_second_press_with_a_worse_place_leaves_the_better_one(process: Process) -> None:
    first = (await process.intake.press(pressed(point=[1, now_ms(), 50.0, 10.0, None, None, 5]))).alert
    for point in (
        [1, now_ms(), 51.0, 10.0, None, None, 3_000],
        [1, now_ms() - HOUR_MS, 51.0, 10.0, None, None, 5],
        [1, now_ms() + HOUR_MS, 51.0, 10.0, None, None, 5],
        [1, now_ms(), 0, 0, None, None, 5],
    ):
        joined = (await process.intake.press(pressed(point=point))).alert
        assert joined.alert_id == first.alert_id
        assert joined.place is not None and first.place is not None
        assert (joined.place.lat, joined.place.t_ms) == (50.0, first.place.t_ms)


async def test_no_point_of_another_driver_or_tenant_is_read(process: Process) -> None:
    theirs = await journey(process, 1_000, driver="d2")
    async with process.db.reader("t1") as connection:
        (seen,) = await seen_of(connection, [DriverQuery("t1", "d9", theirs)], now_ms())
    assert (seen.journeys, seen.named, seen.earlier) == ((), None, None)
    async with process.db.writer() as connection:
        found = await seen_of(
            connection,
            [DriverQuery("t2", "d2"), DriverQuery("t1", "d2", theirs), DriverQuery("t1", "d9", theirs)],
            now_ms(),
        )
    assert [len(one.journeys) for one in found] == [0, 1, 0]
    assert [one.named for one in found] == [None, theirs, None]


# --- without Postgres


async def test_a_press_of_the_journal_with_a_bad_point_has_the_live_position(process: Process) -> None:
    process.state.item = live(55.0, 3_000)
    process.line.cut()
    alert = (await process.intake.press(pressed(point=[1, now_ms(), 0, 0]))).alert
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source) == (55.0, "live")
    second = (await process.intake.press(pressed(ago_ms=5 * HOUR_MS))).alert
    assert second.alert_id == alert.alert_id
    assert second.place is not None
    assert second.place.lat == 55.0
    await process.back()
    (stored,) = await process.stored()
    assert stored.place == second.place
    assert {"point", "point_older"} <= set(await noted(process, stored))


async def test_an_import_that_joins_two_presses_keeps_the_better_place(process: Process) -> None:
    ours = (await process.intake.press(pressed(ago_ms=2_000))).alert
    process.line.cut()
    process.journal.kept = {}
    theirs = process.press(place=Place(51.0, 10.0, 4_000.0, now_ms()))
    await process.journal.press(theirs, process.directory.of("t1", "north", "d1"))
    await process.back()
    (stored,) = await process.stored()
    assert stored.alert_id == ours.alert_id
    assert stored.place is not None
    assert stored.place.lat == 50.0


# --- the place follows


class Here:
    """What this process took of d1."""

    item: BusItem | None = None

    def __call__(self, tenant: str, vendor: str, driver: str) -> BusItem | None:
        return self.item if driver == "d1" else None


def follower(process: Process, here: Here) -> PositionFollower:
    last_seen = LastSeen(process.state, here, now_ms)  # type: ignore[arg-type]
    return PositionFollower(
        process.reach, process.ledger, process.journal, process.others, process.intake._announcer,  # type: ignore[arg-type]
        process.news, last_seen,
    )  # fmt: skip


async def case_of(process: Process, alert: Alert) -> Case:
    found = await process.intake.case(alert.alert_id)
    assert found is not None
    return found


async def test_an_open_alert_in_postgres_follows_what_this_process_takes(process: Process) -> None:
    here = Here()
    follows = follower(process, here)
    alert = (await process.intake.press(pressed(ago_ms=1_000))).alert
    process.news.heard(alert)
    assert await follows.round() == 0, "nothing newer is known"
    here.item = live(50.045)
    assert await follows.round() == 1
    moved = (await case_of(process, alert)).alert
    assert moved.place is not None
    assert (moved.place.lat, moved.place.source, moved.version) == (50.045, "live", alert.version + 1)
    assert process.told[-1] == moved, "every page hears it"
    process.news.heard(moved)
    assert await follows.round() == 0
    applied = await process.intake.apply("t1", alert.alert_id, Acknowledged(OLGA, "page"))
    assert applied is not None
    assert applied.alert.place == moved.place


async def test_an_alert_of_the_journal_follows_the_position_of_redis(process: Process) -> None:
    process.line.cut()
    alert = (await process.intake.press(pressed(ago_ms=1_000))).alert
    kept = process.journal.kept[alert.alert_id]
    process.journal.kept[alert.alert_id] = replace(kept, acting=True)
    process.state.item = live(50.045)
    assert await follower(process, Here()).round() == 1
    moved = (await case_of(process, alert)).alert
    assert moved.place is not None
    assert (moved.place.lat, moved.place.source) == (50.045, "live")
    assert process.others.shared[alert.alert_id].case.alert == moved, "the other processes see it"
    await process.back()
    (stored,) = await process.stored()
    assert stored.place == moved.place


async def test_a_store_that_is_unavailable_stops_no_round_and_is_not_asked(process: Process) -> None:
    here = Here()
    follows = follower(process, here)
    alert = (await process.intake.press(pressed(ago_ms=1_000))).alert
    process.news.heard(alert)
    here.item = live(50.045)
    process.line.cut()
    assert await follows.round() == 0
    with pytest.raises(Refused) as refused:
        await process.intake.apply("t1", uuid4(), Acknowledged(OLGA, "page"))
    assert refused.value.code is Code.UNAVAILABLE
    assert await follows.round() == 0
    process.line.mend()


class Hanging:
    """A ledger that takes nothing in time."""

    def __init__(self) -> None:
        self.asked: list[UUID] = []

    async def apply(self, alert_id: UUID, *given: Any) -> None:
        self.asked.append(alert_id)
        raise TimeoutError


async def test_a_postgres_that_hangs_is_asked_once_a_round_and_after_the_journal(process: Process) -> None:
    for driver in ("d1", "d2", "d4"):
        process.news.heard((await process.intake.press(pressed(driver, ago_ms=5_000))).alert)
    process.line.cut()
    alert = (await process.intake.press(pressed("d3", ago_ms=1_000))).alert
    kept = process.journal.kept[alert.alert_id]
    process.journal.kept[alert.alert_id] = replace(kept, acting=True)
    process.reach._is_up = True
    item = live(50.045)

    def here(tenant: str, vendor: str, driver: str) -> BusItem:
        return item._replace(fragment=item.fragment.replace(b'"d1"', f'"{driver}"'.encode()))

    follows = follower(process, here)  # type: ignore[arg-type]
    hanging = follows._ledger = Hanging()  # type: ignore[assignment,misc]
    assert await follows.round() == 1, "that of the journal"
    assert len(hanging.asked) == 1
    for _ in range(2):
        await follows.round()
    assert len(hanging.asked) == len(set(hanging.asked)) == 3, "one that hangs stops no other"


async def test_an_alert_that_is_over_does_not_follow(process: Process) -> None:
    here = Here()
    follows = follower(process, here)
    alert = (await process.intake.press(pressed(ago_ms=1_000))).alert
    process.news.heard(alert)
    here.item = live(50.045)
    async with process.db.writer() as connection:
        await connection.execute(
            "UPDATE alerts SET state = 'resolved', closed_ms = 1, "
            "alert = jsonb_set(alert::jsonb, '{state}', '\"resolved\"')::json"
        )
    assert await follows.round() == 0
    assert (await case_of(process, alert)).alert.version == alert.version
