"""Ids and the plan of partitions: pure."""

from datetime import date, timedelta
from random import Random
from uuid import UUID

import pytest

from realtime.store.db import ids
from realtime.store.db.queries import load
from realtime.store.journeys.partitions import (
    AHEAD_DAYS,
    PartitionState,
    day_of_name,
    missing,
    name_of,
    oldest_kept,
    plan,
    wanted,
)

TODAY = date(2026, 3, 1)
DAY_MS = 86_400_000


def days(first: int, last: int) -> list[date]:
    return [TODAY + timedelta(days=n) for n in range(first, last + 1)]


def test_an_id_carries_its_moment_and_its_version() -> None:
    made = ids.uuid7(1_772_323_200_123, Random(1))
    assert ids.minted_ms(made) == 1_772_323_200_123
    assert (made.version, made.variant) == (7, "specified in RFC 4122")
    assert len({ids.uuid7(5, rng) for rng in [Random(2)] for _ in range(1000)}) == 1000


@pytest.mark.parametrize("ms", [-1, 1 << 48])
def test_a_moment_that_does_not_fit_is_refused(ms: int) -> None:
    with pytest.raises(ValueError, match=str(ms)):
        ids.uuid7(ms, Random(1))


def test_a_day_holds_exactly_the_ids_minted_on_it() -> None:
    first, end = ids.partition_bounds(TODAY)
    assert end == ids.partition_bounds(TODAY + timedelta(days=1))[0]
    midnight = ids.minted_ms(first)
    assert ids.day_of(midnight) == TODAY
    assert ids.day_of(midnight - 1) == TODAY - timedelta(days=1)
    for ms, inside in [(midnight - 1, False), (midnight, True), (midnight + DAY_MS - 1, True),
                       (midnight + DAY_MS, False)]:  # fmt: skip
        for seed in range(20):
            assert (first <= ids.uuid7(ms, Random(seed)) < end) is inside
    assert ids.floor_of(-5) == UUID(int=0)
    assert ids.floor_of(1 << 60) > ids.uuid7((1 << 48) - 2, Random(1))


def test_names_and_days_agree() -> None:
    assert day_of_name(name_of(TODAY)) == TODAY
    for name in ("journey_points_20260231", "journey_points_2026030", "journey_points", "x_20260301"):
        assert day_of_name(name) is None


def test_a_new_database_gets_the_days_around_now() -> None:
    made = plan(TODAY, oldest_kept(TODAY, 30, 48), {})
    assert list(made.make) == days(-1, AHEAD_DAYS)
    assert AHEAD_DAYS >= 3
    assert (made.finish, made.attach, made.drop) == ((), (), ())


def test_what_is_there_is_left_alone() -> None:
    done = plan(
        TODAY, oldest_kept(TODAY, 30, 48), dict.fromkeys(days(-32, AHEAD_DAYS), PartitionState.ATTACHED)
    )
    assert (done.make, done.finish, done.attach, done.drop) == ((), (), (), ())


def test_a_day_goes_when_its_last_journey_is_past_retention() -> None:
    # A journey begun at the end of day -32 takes points for 48 h, to the end of day -30.
    existing = dict.fromkeys(days(-35, AHEAD_DAYS), PartitionState.ATTACHED)
    assert list(plan(TODAY, oldest_kept(TODAY, 30, 48), existing).drop) == days(-35, -33)
    assert list(plan(TODAY, oldest_kept(TODAY, 30, 100), existing).drop) == []


def test_what_a_crash_left_is_finished_then_dropped_or_attached() -> None:
    existing = dict.fromkeys(days(-1, AHEAD_DAYS), PartitionState.ATTACHED)
    existing |= dict(zip(days(-41, -39), PartitionState, strict=True))
    existing[TODAY + timedelta(days=2)] = PartitionState.LOOSE
    todo = plan(TODAY, oldest_kept(TODAY, 30, 48), existing)
    assert list(todo.finish) == days(-40, -40)
    assert list(todo.drop) == days(-41, -39)
    assert list(todo.attach) == days(2, 2)
    kept = plan(TODAY, oldest_kept(TODAY, 60, 48), existing)
    assert (list(kept.finish), list(kept.attach), kept.drop) == (
        days(-40, -40),
        [*days(-40, -39), *days(2, 2)],
        (),
    )


def test_missing_days_are_told_before_they_are_needed() -> None:
    assert missing(TODAY, []) == days(0, AHEAD_DAYS - 1)
    assert missing(TODAY, wanted(TODAY - timedelta(days=1))) == []
    assert missing(TODAY, wanted(TODAY - timedelta(days=2))) == days(3, 3)


def test_a_long_retention_reaches_back_but_not_ahead() -> None:
    assert oldest_kept(TODAY, 3650, 48) == TODAY - timedelta(days=3652)


@pytest.mark.parametrize(
    "name", ["commit", "database", "identity", "journeys", "migrate", "points", "shares"]
)
def test_query_files_load(name: str) -> None:
    assert all(load(name).values())
