"""Upkeep on a real database: nobody waits for it, and whatever a crash left is put right."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from geo.position import Point
from realtime.settings import Settings
from realtime.store.db import ids
from realtime.store.db.advisory_lock import Lock, locked
from realtime.store.db.database import Database
from realtime.store.journeys import points, upkeep
from realtime.store.journeys.partitions import AHEAD_DAYS, PartitionState, name_of
from realtime.store.journeys.upkeep import missing_partitions, run_once

from .conftest import put
from .test_journeys import begin

NOW = time.time_ns() // 1_000_000
TODAY = ids.day_of(NOW)
DAY_MS = 86_400_000


def day(n: int) -> date:
    return TODAY + timedelta(days=n)


def name(n: int) -> str:
    return name_of(day(n))


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def states(db: Database) -> dict[date, PartitionState]:
    async with db.writer() as connection:
        return upkeep._states(await connection.fetch(upkeep._SQL["partitions"]))


async def make_old(settings: Settings, n: int) -> None:
    """An attached partition ``n`` days from today, with one point in it."""
    async with session(settings.direct_url) as connection:
        for statement in upkeep._statement("make", day(n)).split(";"):
            await connection.execute(statement)
    db = await Database.open(settings)
    try:
        journey = ids.uuid7(NOW + n * DAY_MS, Random(n))
        await put(db, "t1", journey, [Point(1, NOW, 53.4, -2.9)])
    finally:
        await db.close()


async def reading(connection: Any) -> Any:
    """A transaction that has read everything and stays open, as a long export does."""
    transaction = connection.transaction(isolation="repeatable_read", readonly=True)
    await transaction.start()
    await connection.execute("SELECT set_config('role', 'wayguard_writer', true)")
    await connection.fetchval("SELECT count(*) FROM journey_points")
    return transaction


async def test_the_coming_days_are_made_and_old_ones_dropped(settings: Settings, db: Database) -> None:
    for n in (-33, -34, -32):
        await make_old(settings, n)
    report = await run_once(settings, NOW)
    assert report.dropped == [name(-34), name(-33)]
    assert (report.made, report.deferred) == ([], [])
    assert await missing_partitions(db, NOW) == []
    later = await run_once(settings, NOW + 2 * DAY_MS)
    assert later.made == [name(AHEAD_DAYS + 1), name(AHEAD_DAYS + 2)]
    assert later.dropped == [name(-32)]
    assert set(await states(db)) == {day(n) for n in range(-1, AHEAD_DAYS + 3)}


async def test_missing_days_are_told(db: Database) -> None:
    assert await missing_partitions(db, NOW + 2 * DAY_MS) == [day(AHEAD_DAYS + 1)]
    assert len(await missing_partitions(db, NOW + 30 * DAY_MS)) == AHEAD_DAYS


class Inserting:
    """Points of one journey stored one after the other until the block ends."""

    def __init__(self, db: Database, journey: UUID) -> None:
        self._db = db
        self._journey = journey
        self._stop = asyncio.Event()
        self.stored = 0

    async def __aenter__(self) -> "Inserting":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task

    async def _run(self) -> None:
        while not self._stop.is_set():
            await put(self._db, "t1", self._journey, [Point(self.stored + 1, NOW, 53.4, -2.9)])
            self.stored += 1

    async def go_on(self) -> None:
        """Wait until several more were stored."""
        enough = self.stored + 5
        while self.stored < enough:
            await asyncio.sleep(0.01)


WAITS_FOR_A_READER = """
SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.datname = current_database() AND l.locktype = 'virtualxid' AND NOT l.granted AND a.query ~ $1
"""


@pytest.mark.parametrize("begun", [False, True])
async def test_while_upkeep_waits_for_a_long_reader_nobody_waits_for_upkeep(
    settings: Settings, db: Database, begun: bool
) -> None:
    await make_old(settings, -40)
    await make_old(settings, -41)
    if begun:
        await leave_detaching(settings, -41)
    journey = (await begin(db)).journey_id
    tomorrow = NOW + 2 * DAY_MS
    async with (
        session(settings.direct_url) as reader,
        session(settings.direct_url) as other,
        Inserting(db, journey) as inserting,
    ):
        transaction = await reading(reader)
        seen = await reader.fetchval("SELECT count(*) FROM journey_points")
        running = asyncio.create_task(run_once(settings, tomorrow, lock_timeout_ms=60_000))
        while not await other.fetchval(WAITS_FOR_A_READER, "FINALIZE" if begun else "CONCURRENTLY"):
            await asyncio.sleep(0.01)
        await inserting.go_on()
        assert await missing_partitions(db, tomorrow) == []
        assert await reader.fetchval("SELECT count(*) FROM journey_points") == seen
        assert not running.done()
        await transaction.rollback()
        report = await running
        assert report.made == [name(AHEAD_DAYS + 1), name(AHEAD_DAYS + 2)]
        assert (report.dropped, report.deferred) == ([name(-41), name(-40)], [])
    assert await points.last_seqs(db, [("t1", journey)]) == {journey: inserting.stored}


async def test_upkeep_gives_up_on_a_long_reader_and_comes_back(settings: Settings, db: Database) -> None:
    await make_old(settings, -40)
    await make_old(settings, -41)
    async with session(settings.direct_url) as reader:
        transaction = await reading(reader)
        seen = await reader.fetchval("SELECT count(*) FROM journey_points")
        for _ in range(2):
            report = await run_once(settings, NOW, lock_timeout_ms=200)
            assert (report.dropped, report.deferred) == ([], [name(-41), name(-40)])
            assert (await states(db))[day(-41)] is PartitionState.DETACHING
            assert await reader.fetchval("SELECT count(*) FROM journey_points") == seen
        await transaction.rollback()
    assert (await run_once(settings, NOW)).dropped == [name(-41), name(-40)]


async def test_a_journey_begun_before_midnight_stays_whole(settings: Settings, db: Database) -> None:
    midnight = ids.minted_ms(ids.partition_bounds(TODAY)[0])
    head = await begin(db, now_ms=midnight - 1)
    sent = [Point(n, midnight - 2_000 + n * 1_000, 53.4, -2.9) for n in range(1, 6)]
    await put(db, "t1", head.journey_id, sent)
    await run_once(settings, NOW)
    async with db.writer() as connection:
        assert await connection.fetchval(f"SELECT count(*) FROM {name(-1)}") == 5
    assert await points.after(db, "t1", head.journey_id, 0, 10) == sent
    # It goes with its day, retention and two days later, and not one day before.
    assert name(-1) not in (await run_once(settings, midnight - 1 + 32 * DAY_MS)).dropped
    assert await points.after(db, "t1", head.journey_id, 0, 10) == sent
    assert name(-1) in (await run_once(settings, midnight - 1 + 33 * DAY_MS)).dropped
    assert await points.after(db, "t1", head.journey_id, 0, 10) == []


async def test_a_crash_between_detach_and_drop_is_made_good(settings: Settings, db: Database) -> None:
    await make_old(settings, -40)
    async with session(settings.direct_url) as connection:
        await connection.execute(f"ALTER TABLE journey_points DETACH PARTITION {name(-40)} CONCURRENTLY")
    assert (await states(db))[day(-40)] is PartitionState.LOOSE
    assert (await run_once(settings, NOW)).dropped == [name(-40)]


async def leave_detaching(settings: Settings, n: int) -> None:
    """A detach that stops half-way, as when its worker dies."""
    async with session(settings.direct_url) as reader, session(settings.direct_url) as worker:
        transaction = await reading(reader)
        await worker.execute("SET lock_timeout = '100ms'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await worker.execute(f"ALTER TABLE journey_points DETACH PARTITION {name(n)} CONCURRENTLY")
        await transaction.rollback()


async def test_a_crash_inside_a_detach_is_made_good(settings: Settings, db: Database) -> None:
    await make_old(settings, -40)
    await make_old(settings, -50)
    await leave_detaching(settings, -40)
    assert (await states(db))[day(-40)] is PartitionState.DETACHING
    assert (await run_once(settings, NOW)).dropped == [name(-50), name(-40)]


async def test_a_detached_day_that_is_to_be_kept_after_all_comes_back(
    database_url: str, db: Database
) -> None:
    settings = Settings(database_url=database_url)
    await make_old(settings, -40)
    await leave_detaching(settings, -40)
    report = await run_once(Settings(database_url=database_url, retention_days=60), NOW)
    assert (report.attached, report.dropped) == ([name(-40)], [])
    journey = ids.uuid7(NOW - 40 * DAY_MS, Random(-40))
    assert len(await points.after(db, "t1", journey, 0, 10)) == 1


async def test_new_partitions_are_as_protected_as_the_first(settings: Settings, db: Database) -> None:
    await run_once(settings, NOW + 2 * DAY_MS)
    async with db.writer() as connection:
        rows = await connection.fetch(
            "SELECT c.relname, relrowsecurity AND relforcerowsecurity AS is_forced, "
            "  (SELECT count(*) FROM pg_policies p WHERE p.tablename = c.relname) AS policies, "
            "  has_table_privilege('wayguard_writer', c.oid, 'INSERT') AS may_write, "
            "  has_table_privilege('wayguard_reader', c.oid, 'INSERT') AS reader_may_write "
            "FROM pg_class c WHERE relname ~ '^journey_points_2' AND relkind = 'r'"
        )
    assert len(rows) == AHEAD_DAYS + 4
    assert {tuple(row)[1:] for row in rows} == {(True, 2, True, False)}


async def test_two_workers_take_turns(settings: Settings) -> None:
    async with locked(settings.direct_url, Lock.UPKEEP):
        second = asyncio.create_task(run_once(settings, NOW + 2 * DAY_MS))
        async with session(settings.direct_url) as watcher:
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = "
            )
            waiting += "(SELECT oid FROM pg_database WHERE datname = current_database())"
            while not await watcher.fetchval(waiting):
                await asyncio.sleep(0.01)
        assert not second.done()
    assert len((await second).made) == 2
    both = await asyncio.gather(*(run_once(settings, NOW + 3 * DAY_MS) for _ in range(2)))
    assert sorted(len(report.made) for report in both) == [0, 1]
