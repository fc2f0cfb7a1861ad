"""Reading points back: in order, exactly, and the newest of each driver."""

import time
from uuid import UUID, uuid4

import pytest

from geo.position import Point, void
from realtime.store.db.database import Database
from realtime.store.journeys import journeys, points

from .conftest import put
from .test_journeys import begin

NOW = time.time_ns() // 1_000_000


def at(seq: int, t_ms: int = NOW) -> Point:
    return Point(seq, t_ms, 53.4 + seq / 1000, -2.9)


async def test_points_come_back_as_they_were_in_order(db: Database) -> None:
    full = Point(1, NOW, 53.40571234567891, -2.991234567890123, 13.4, 359.9, 4.7, -12.25, 88.5)
    head = await begin(db)
    await put(db, "t1", head.journey_id, [at(3), void(2), full])
    assert await points.after(db, "t1", head.journey_id, 0, 10) == [full, void(2), at(3)]
    assert await points.after(db, "t1", head.journey_id, 1, 1) == [void(2)]
    assert await points.after(db, "t1", head.journey_id, 3, 10) == []
    assert await points.after(db, "t1", head.journey_id, 0, 10, history=True) == [full, void(2), at(3)]


async def test_records_carry_what_is_kept_beside_a_point(db: Database) -> None:
    head = await begin(db)
    await put(db, "t1", head.journey_id, [at(1), void(2)], received_ms=NOW + 7)
    first, second = await points.records(db, "t1", head.journey_id, 0, 10)
    assert (first.point, first.received_ms, first.void_reason, first.clock_odd) == (
        at(1),
        NOW + 7,
        None,
        False,
    )
    assert (second.point, second.void_reason) == (void(2), "no_fix")


async def test_no_points_of_a_stranger(db: Database) -> None:
    head = await begin(db)
    await put(db, "t1", head.journey_id, [at(1)])
    assert await points.after(db, "t2", head.journey_id, 0, 10) == []
    assert await points.after(db, "t1", uuid4(), 0, 10) == []


async def test_last_seqs_of_many_journeys_in_one_go(db: Database) -> None:
    one, two, empty = [await begin(db, f"d{n}") for n in range(3)]
    foreign = await begin(db, tenant="t2")
    await put(db, "t1", one.journey_id, [at(1), at(2)])
    await put(db, "t1", two.journey_id, [at(1)])
    await put(db, "t2", foreign.journey_id, [at(1)])
    unknown = uuid4()
    wanted = [("t1", h.journey_id) for h in (one, two, empty, foreign)] + [("t1", unknown)]
    assert await points.last_seqs(db, wanted) == {
        one.journey_id: 2, two.journey_id: 1, empty.journey_id: 0, foreign.journey_id: 0, unknown: 0,
    }  # fmt: skip
    assert await points.last_seqs(db, [("t2", foreign.journey_id)]) == {foreign.journey_id: 1}
    assert await points.last_seqs(db, []) == {}


async def test_the_latest_of_a_vendor_is_the_newest_position_of_each_driver(db: Database) -> None:
    earlier = await begin(db, "d1", now_ms=NOW - 60_000)
    later = await begin(db, "d1")
    other = await begin(db, "d2")
    await begin(db, "d3")
    elsewhere = await begin(db, "d4", vendor="south")
    foreign = await begin(db, "d1", tenant="t2")
    await put(db, "t1", earlier.journey_id, [at(1, NOW - 50_000)])
    await put(db, "t1", later.journey_id, [at(1, NOW - 40_000), at(2, NOW - 30_000), void(3)], NOW)
    await put(db, "t1", other.journey_id, [at(1, NOW - 9_000)])
    await put(db, "t1", elsewhere.journey_id, [at(1)])
    await put(db, "t2", foreign.journey_id, [at(1)])
    assert await points.latest_of_vendor(db, "t1", "north") == [
        ("d1", later.journey_id, at(2, NOW - 30_000), NOW, False),
        ("d2", other.journey_id, at(1, NOW - 9_000), NOW - 9_000, False),
    ]


@pytest.mark.parametrize("back_ms", [1, 3_600_000, 1024 * 7 * 86_400_000])
async def test_the_latest_of_a_journey_is_the_last_by_seq_however_the_clock_steps(
    db: Database, back_ms: int
) -> None:
    journey = await begin(db, "d1")
    stepped = [at(1), at(2, NOW + 86_400_000), at(3, NOW - back_ms), void(4)]
    await put(db, "t1", journey.journey_id, stepped, received_ms=NOW)
    (latest,) = await points.latest_of_vendor(db, "t1", "north")
    assert latest.point == at(3, NOW - back_ms)
    assert await points.latest_of_driver(db, "t1", "north", "d1") == latest


async def test_the_latest_of_two_journeys_is_of_an_open_one_then_what_arrived_last(db: Database) -> None:
    first = await begin(db, "d1", now_ms=NOW - 60_000)
    second = await begin(db, "d1")
    # The second phone's clock is an hour behind.
    await put(db, "t1", first.journey_id, [at(1)], received_ms=NOW - 20_000)
    await put(db, "t1", second.journey_id, [at(1, NOW - 3_600_000)], received_ms=NOW - 10_000)
    assert await shown(db) == (second.journey_id, 1, False)
    await put(db, "t1", first.journey_id, [at(2)], received_ms=NOW)
    assert await shown(db) == (first.journey_id, 2, False), "both are open, and its point arrived last"
    await journeys.end(db, "t1", "d1", first.journey_id, NOW, 9)
    assert await shown(db) == (second.journey_id, 1, False), "the other is open"
    await put(db, "t1", first.journey_id, [at(3)], received_ms=NOW + 5_000)
    assert await shown(db) == (second.journey_id, 1, False), "a backlog of an ended journey"
    await journeys.end(db, "t1", "d1", second.journey_id, NOW, 1)
    assert await shown(db) == (first.journey_id, 3, True), "of two that ended what arrived last"
    assert await points.latest_of_driver(db, "t1", "south", "d1") is None
    assert await points.latest_of_driver(db, "t2", "north", "d1") is None


async def shown(db: Database) -> tuple[UUID, int, bool]:
    (latest,) = await points.latest_of_vendor(db, "t1", "north")
    assert await points.latest_of_driver(db, "t1", "north", "d1") == latest
    return latest.journey_id, latest.point.seq, latest.ended


@pytest.mark.parametrize("back_ms", [0, 3_600_000, 1024 * 7 * 86_400_000])
async def test_what_is_shown_from_a_press_on_does_not_move_with_a_clock_that_steps_back(
    db: Database, back_ms: int
) -> None:
    journey = (await begin(db, "d1")).journey_id
    await put(db, "t1", journey, [at(1, NOW - 3_000), at(2, NOW - 2_000)], received_ms=NOW - 1_000)
    await put(db, "t1", journey, [at(3, NOW - 1_500), at(4, NOW + 1_000)], received_ms=NOW + 2_000)
    assert await points.last_before(db, "t1", journey, NOW) == 2, "a backlog arrived after the press"
    await put(db, "t1", journey, [at(5, NOW + 3_000 - back_ms)], received_ms=NOW + 3_000)
    assert await points.last_before(db, "t1", journey, NOW) == 2
    assert await points.last_before(db, "t1", journey, NOW - 10_000) == 0


async def test_with_a_clock_that_is_behind_all_the_way_what_arrived_after_the_press_is_shown(
    db: Database,
) -> None:
    journey = (await begin(db, "d1")).journey_id
    for seq, received_ms in ((1, NOW - 2_000), (2, NOW - 1_000), (3, NOW + 1_000), (4, NOW + 2_000)):
        await put(db, "t1", journey, [at(seq, received_ms - 3_600_000)], received_ms=received_ms)
    assert await points.last_before(db, "t1", journey, NOW) == 1


async def test_journeys_of_more_than_two_days_ago_have_no_latest(db: Database) -> None:
    old = await begin(db, "d1", now_ms=NOW - 49 * 3_600_000)
    assert await journeys.head(db, "t1", old.journey_id) is not None
    assert await points.latest_of_vendor(db, "t1", "north") == []
