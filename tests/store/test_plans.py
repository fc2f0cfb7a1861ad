"""What the queries by journey touch: one day's partition, whatever the retention."""

import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from realtime.settings import Settings
from realtime.store.alerts import circumstances
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.journeys import journeys, partitions, points, upkeep
from realtime.store.people import tenants

NOW = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
JOURNEY = ids.uuid7(NOW - 5 * DAY_MS, Random(1))
ITS_PARTITION = partitions.name_of(ids.day_of(NOW - 5 * DAY_MS))


@pytest.fixture
async def month(settings: Settings, db: Database) -> AsyncIterator[Database]:
    """Partitions as after a month of service: for every day of it upkeep has run."""
    for n in range(-31, 0, partitions.AHEAD_DAYS):
        await upkeep.run_once(settings, NOW + n * DAY_MS)
    yield db


def tables_planned(plan: dict[str, Any]) -> set[str]:
    tables = {plan["Relation Name"]} if "Relation Name" in plan else set()
    return tables.union(*(tables_planned(child) for child in plan.get("Plans", [])))


async def explained(connection: Any, query: str, *args: object) -> dict[str, Any]:
    text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT json) {query}", *args)
    plan: dict[str, Any] = msgspec.json.decode(text)[0]["Plan"]
    return plan


@pytest.mark.parametrize(
    ("query", "args"),
    [
        (points._SQL["after"].format(points="journey_points"), ("t1", JOURNEY, 0, 100)),
        (points._SQL["records_after"].format(points="journey_points"), ("t1", JOURNEY, 0, 100)),
        (points._SQL["last_seq"], ("t1", JOURNEY)),
        (journeys._SQL["head"], ("t1", JOURNEY)),
        (journeys._SQL["get"], ("t1", JOURNEY)),
    ],
)
async def test_a_read_by_journey_plans_one_partition(
    month: Database, query: str, args: tuple[Any, ...]
) -> None:
    async with month.reader("t1") as connection:
        plan = await explained(connection, query, *args)
    assert tables_planned(plan) - {"journeys"} == {ITS_PARTITION}


async def test_an_end_plans_one_partition(month: Database) -> None:
    async with month.writer() as connection:
        plan = await explained(connection, journeys._SQL["end"], "t1", "d1", JOURNEY, NOW, 5)
    assert tables_planned(plan) - {"journeys"} == {ITS_PARTITION}


async def test_last_seqs_look_only_at_the_days_asked_for(month: Database) -> None:
    asked = sorted(ids.uuid7(NOW - n * DAY_MS, Random(n)) for n in (0, 1))
    async with month.writer() as connection:
        plan = await explained(
            connection, points._SQL["last_seqs"], ["t1"] * 2, asked, min(asked), max(asked)
        )
    days = {partitions.name_of(ids.day_of(NOW - n * DAY_MS)) for n in (0, 1)}
    assert tables_planned(plan) - {"wanted"} == days


async def test_the_latest_of_a_vendor_look_at_two_days(month: Database) -> None:
    since = ids.floor_of(NOW - 2 * DAY_MS)
    async with month.reader("t1") as connection:
        plan = await explained(connection, points._SQL["latest_of_vendor"], "t1", "north", since)
    oldest = partitions.name_of(ids.day_of(NOW - 2 * DAY_MS))
    assert min(tables_planned(plan) - {"journeys"}) == oldest
    async with month.reader("t1") as connection:
        plan = await explained(connection, points._SQL["latest_of_driver"], "t1", "north", since, "d1")
    assert min(tables_planned(plan) - {"journeys"}) == oldest


MANY = """
INSERT INTO journeys (journey_id, tenant_id, vendor_id, driver_id, client_journey_id, created_ms, started_ms)
SELECT uuidv7(), tenant, 'north', 'd1', gen_random_uuid(), 1, 1
FROM (VALUES ('t1', 20), ('t2', 5000)) many (tenant, n), generate_series(1, n)
"""


async def test_a_reader_s_tenant_is_looked_up_by_index(month: Database, database_url: str) -> None:
    for tenant in ("t1", "t2"):
        await tenants.connect_driver(month, tenant, "north", "d1")
    async with month.writer() as connection:
        await connection.execute(MANY)
    owner = await asyncpg.connect(database_url)
    await owner.execute("ANALYZE journeys")
    await owner.close()
    async with month.reader("t1") as connection:
        everything = ("t1", UUID(int=0), UUID(int=2**128 - 1), None, None, 10)
        plan = await explained(connection, journeys._SQL["list"], *everything)
    assert [c for c in index_conditions(plan) if "tenant_id" in c]


def index_conditions(plan: dict[str, Any]) -> list[str]:
    mine = [plan["Index Cond"]] if "Index Cond" in plan else []
    return mine + [c for child in plan.get("Plans", []) for c in index_conditions(child)]


async def test_where_a_driver_was_seen_plans_three_days(month: Database) -> None:
    args = (["t1"], ["d1"], [JOURNEY], *circumstances.seen_bounds(NOW))
    async with month.reader("t1") as connection:
        plan = await explained(connection, circumstances._SQL["drivers_seen"], *args)
    partitions_ = {table for table in tables_planned(plan) if table.startswith("journey_points")}
    days = {partitions.name_of(ids.day_of(NOW - n * DAY_MS)) for n in (-1, 0, 1, 2)}
    assert partitions_ <= days, "each partition costs every press time"


LONG = """
INSERT INTO journey_points (journey_id, seq, tenant_id, t_ms, lat, lon, received_ms)
SELECT $1, seq, 't1', $2::bigint + seq,
       CASE WHEN seq <= 4000 THEN 53.4 END, CASE WHEN seq <= 4000 THEN -2.9 END, $2 + seq
FROM generate_series(1, 4000 + $3::int) seq
"""


@pytest.mark.parametrize("is_analysed", [True, False])
@pytest.mark.parametrize(("voids", "rows"), [(0, 1), (300, 301)])
async def test_the_search_for_the_last_position_stops_at_the_first(
    month: Database, database_url: str, is_analysed: bool, voids: int, rows: int
) -> None:
    """With eight journeys of 4,000 entries each, as deep as a search goes."""
    await tenants.connect_driver(month, "t1", "north", "d1")
    async with month.writer() as connection:
        for number in range(8):
            journey = ids.uuid7(NOW - number * DAY_MS, Random(number))
            await connection.execute(
                "INSERT INTO journeys (journey_id, tenant_id, vendor_id, driver_id, client_journey_id,"
                " created_ms, started_ms) VALUES ($1, 't1', 'north', 'd1', gen_random_uuid(), 1, 1)",
                journey,
            )
            await connection.execute(LONG, journey, NOW - number * DAY_MS, voids)
    if is_analysed:
        owner = await asyncpg.connect(database_url)
        await owner.execute("ANALYZE journeys, journey_points")
        await owner.close()
    args = (["t1"], ["d1"], [None], *circumstances.seen_bounds(NOW, circumstances.FAR))
    async with month.reader("t1") as connection:
        plan = await explained(connection, circumstances._SQL["drivers_seen"], *args)
        (seen,) = await circumstances.seen_of(
            connection, [circumstances.DriverQuery("t1", "d1")], NOW, circumstances.FAR
        )
    assert points_read(plan) <= 8 * (rows + 1)
    assert [journey.place and journey.place.seq for journey in seen.journeys] == [4000] * 8


def points_read(plan: dict[str, Any]) -> int:
    """Rows of positions that were taken from their tables, those thrown away included."""
    inner = sum(points_read(child) for child in plan.get("Plans", []))
    if not plan.get("Relation Name", "").startswith("journey_points"):
        return inner
    removed = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return inner + int((plan["Actual Rows"] + removed) * plan["Actual Loops"])
