"""Points of journeys with an alert outlive their partition, in the incident."""

import time
import uuid
from random import Random
from typing import Any
from uuid import UUID

import pytest

from geo.position import Point
from realtime.settings import Settings
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.journeys import incidents, points
from realtime.store.journeys.upkeep import run_once

from .conftest import put
from .people import put_driver
from .test_upkeep import DAY_MS, NOW, make_old, name

CLOSED_MS = NOW - 33 * DAY_MS


async def journey(db: Database, days_ago: int, count: int, seed: int = 1) -> UUID:
    """A journey of long ago; its partition must be there."""
    journey_id = ids.uuid7(NOW - days_ago * DAY_MS, Random(seed * 1_000 + days_ago))
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO journeys (journey_id, tenant_id, vendor_id, driver_id, client_journey_id, "
            "created_ms, started_ms) VALUES ($1, 't1', 'north', 'd1', gen_random_uuid(), 1, 1)",
            journey_id,
        )
    made = [Point(seq, NOW, 53.4 + seq / 1e5, -2.9) if seq % 3 else Point(seq, None, None, None)
            for seq in range(1, count + 1)]  # fmt: skip
    await put(db, "t1", journey_id, made, NOW)
    return journey_id


async def alert(
    db: Database, journey_id: UUID | None, press_journey: UUID | None = None, **fields: Any
) -> UUID:
    """A closed alert of a journey, unless told otherwise."""
    row = {
        "tenant": "t1",
        "driver": "d1",
        "state": "resolved",
        "drill": False,
        "closed_ms": CLOSED_MS,
        **fields,
    }
    alert_id = uuid.uuid4()
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, "
            "raised_ms, closed_ms, version, alert, policy_copy) "
            "VALUES ($1, $6, 'north', $7, $2, 'sos', $3, $4, 1, $5, 1, '{}', '{}')",
            alert_id, journey_id, row["state"], row["drill"], row["closed_ms"], row["tenant"], row["driver"],
        )  # fmt: skip
        if press_journey is not None:
            await connection.execute(
                "INSERT INTO alert_presses (tenant_id, driver_id, sos_id, alert_id, own_alert_id, press, "
                "received_ms) VALUES ($4, $5, gen_random_uuid(), $1, $1, $2, $3)",
                alert_id, f'{{"journey_id": "{press_journey}"}}', NOW, row["tenant"], row["driver"],
            )  # fmt: skip
    return alert_id


async def read(db: Database, journey_id: UUID) -> list[points.Record]:
    return await points.records(db, "t1", journey_id, 0, 1_000)


@pytest.fixture(autouse=True)
async def driver(db: Database) -> None:
    await put_driver(db, "t1", "north", "d1")


async def test_a_journey_with_an_alert_is_read_as_before_when_its_partition_is_gone(
    settings: Settings, db: Database
) -> None:
    await make_old(settings, -33)
    mine, other = await journey(db, 33, 25), await journey(db, 33, 5, seed=2)
    await alert(db, mine)
    before = await read(db, mine)
    assert len(before) == 25
    report = await run_once(settings, NOW)
    assert report.dropped == [name(-33)]
    assert report.incident_points == 25
    assert await read(db, mine) == before
    assert await points.after(db, "t1", mine, 20, 3) == [record.point for record in before[20:23]]
    assert await points.after(db, "t2", mine, 0, 3) == [], "another tenant has none of it"
    assert await read(db, other) == []


async def test_a_journey_that_a_later_press_named_is_copied_too(settings: Settings, db: Database) -> None:
    await make_old(settings, -33)
    mine = await journey(db, 33, 4)
    await alert(db, None, press_journey=mine)
    await run_once(settings, NOW)
    assert len(await read(db, mine)) == 4


async def test_a_drill_is_no_incident(settings: Settings, db: Database) -> None:
    await make_old(settings, -33)
    mine = await journey(db, 33, 4)
    await alert(db, mine, drill=True)
    await run_once(settings, NOW)
    assert await read(db, mine) == []


async def test_points_are_copied_while_the_partition_is_there_and_what_comes_later_as_well(
    settings: Settings, db: Database
) -> None:
    mine = await journey(db, 0, 6)
    await alert(db, mine, state="active", closed_ms=None)
    assert (await run_once(settings, NOW)).incident_points == 6
    assert (await run_once(settings, NOW)).incident_points == 0
    await put(db, "t1", mine, [Point(7, NOW, 1.0, 2.0)], NOW)
    assert (await run_once(settings, NOW)).incident_points == 1


async def test_what_arrived_after_the_last_copy_is_saved_from_the_detached_table(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_old(settings, -33)
    mine = await journey(db, 33, 3)
    await alert(db, mine)

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(incidents, "copy_new", nothing)
    assert (await run_once(settings, NOW)).dropped == [name(-33)]
    assert len(await read(db, mine)) == 3


async def test_a_partition_with_a_point_that_cannot_be_copied_is_kept(
    settings: Settings, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_old(settings, -33)
    mine = await journey(db, 33, 3)
    await alert(db, mine)

    async def nothing(*_: object) -> int:
        return 0

    monkeypatch.setattr(incidents, "_copied", nothing)
    report = await run_once(settings, NOW)
    assert (report.dropped, report.deferred) == ([], [name(-33)])
    monkeypatch.undo()
    assert (await run_once(settings, NOW)).dropped == [name(-33)]
    assert len(await read(db, mine)) == 3


async def test_incidents_are_forgotten_with_their_alerts_when_their_time_is_over(
    settings: Settings, db: Database
) -> None:
    await make_old(settings, -33)
    kept, past, open_one = [await journey(db, 33, 3, seed=seed) for seed in (1, 2, 3)]
    for journey_id, closed_ms in ((kept, NOW - 10), (past, NOW - 366 * DAY_MS), (open_one, None)):
        await alert(db, journey_id, closed_ms=closed_ms)
    await run_once(settings, NOW - 2 * DAY_MS)
    async with db.writer() as connection:
        left = {row[0] for row in await connection.fetch("SELECT DISTINCT journey_id FROM incident_points")}
    assert {UUID(int=one.int) for one in left} == {kept, past, open_one}, "nobody's time is over yet"
    await run_once(settings, NOW)
    async with db.writer() as connection:
        left = {row[0] for row in await connection.fetch("SELECT DISTINCT journey_id FROM incident_points")}
        alerts = {row[0] for row in await connection.fetch("SELECT journey_id FROM alerts")}
    assert {UUID(int=one.int) for one in left} == {kept, open_one}
    assert {UUID(int=one.int) for one in alerts} == {kept, open_one}


async def test_long_journeys_are_copied_in_pieces(settings: Settings, db: Database) -> None:
    mine = await journey(db, 0, 30)
    await alert(db, mine, closed_ms=time.time_ns() // 1_000_000)
    async with db.writer() as connection:
        assert await incidents.copy_new(connection, ids.day_of(NOW - DAY_MS), batch_points=7) == 30
        assert await connection.fetchval("SELECT count(*) FROM incident_points") == 30
    assert (await run_once(settings, NOW)).incident_points == 0, "nothing is copied twice"


STRANGERS = [("t2", "d1"), ("t1", "d2")]
"""Another tenant's driver of the same id, and another driver of the same tenant."""


@pytest.mark.parametrize(("tenant", "stranger"), STRANGERS)
@pytest.mark.parametrize("by_press", [False, True])
async def test_an_alert_of_another_driver_that_names_a_journey_does_not_copy_its_points(
    settings: Settings, db: Database, tenant: str, stranger: str, by_press: bool
) -> None:
    await make_old(settings, -33)
    theirs = await journey(db, 33, 6)
    await alert_of(db, tenant, stranger, theirs, by_press=by_press)
    report = await run_once(settings, NOW)
    assert (report.dropped, report.incident_points) == ([name(-33)], 0)
    assert await read(db, theirs) == []


@pytest.mark.parametrize(("tenant", "stranger"), STRANGERS)
@pytest.mark.parametrize("by_press", [False, True])
async def test_an_open_alert_of_another_driver_does_not_prolong_the_keeping(
    settings: Settings, db: Database, tenant: str, stranger: str, by_press: bool
) -> None:
    await make_old(settings, -33)
    theirs = await journey(db, 33, 6)
    await alert(db, theirs, closed_ms=NOW - 366 * DAY_MS)
    async with db.writer() as connection:
        assert await incidents.copy_new(connection, ids.day_of(NOW - 40 * DAY_MS)) == 6
    await alert_of(db, tenant, stranger, theirs, by_press=by_press)
    await run_once(settings, NOW)
    assert await read(db, theirs) == []


async def alert_of(db: Database, tenant: str, driver: str, journey_id: UUID, *, by_press: bool) -> None:
    """An open alert of another driver, which names the journey itself or in its press alone."""
    await put_driver(db, tenant, "north", driver)
    of_its_own = (None, journey_id) if by_press else (journey_id, None)
    await alert(db, *of_its_own, tenant=tenant, driver=driver, state="active", closed_ms=None)


async def test_journeys_of_two_tenants_are_counted_apart(settings: Settings, db: Database) -> None:
    mine = await journey(db, 0, 4)
    await alert(db, mine, state="active", closed_ms=None)
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO incident_points (journey_id, seq, tenant_id, received_ms) VALUES ($1, 9, 't2', 1)",
            mine,
        )
        assert await incidents.copy_new(connection, ids.day_of(NOW - DAY_MS)) == 4
