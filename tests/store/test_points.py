"""Reading points back: in order, exactly, and the newest of each driver."""

import time
from uuid import uuid4

from geo.position import Point, void
from realtime.store import journeys, points
from realtime.store.database import Database

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
        ("d1", later.journey_id, at(2, NOW - 30_000), NOW),
        ("d2", other.journey_id, at(1, NOW - 9_000), NOW - 9_000),
    ]


async def test_a_late_backlog_and_a_fast_clock_do_not_win(db: Database) -> None:
    first = await begin(db, "d1", now_ms=NOW - 60_000)
    second = await begin(db, "d1")
    # The first journey's backlog arrives last; its clock is a day ahead, so its arrival counts.
    await put(db, "t1", first.journey_id, [at(1, NOW + 86_400_000)], received_ms=NOW - 20_000)
    await put(db, "t1", second.journey_id, [at(1, NOW - 10_000), at(2, NOW - 30_000)], received_ms=NOW)
    ((driver, journey_id, point, received_ms),) = await points.latest_of_vendor(db, "t1", "north")
    assert (driver, journey_id, point, received_ms) == ("d1", second.journey_id, at(1, NOW - 10_000), NOW)


async def test_journeys_of_more_than_two_days_ago_have_no_latest(db: Database) -> None:
    old = await begin(db, "d1", now_ms=NOW - 49 * 3_600_000)
    assert await journeys.head(db, "t1", old.journey_id) is not None
    assert await points.latest_of_vendor(db, "t1", "north") == []
