"""Row-level security: a reader sees one tenant's rows, in every table, by whatever way it asks."""

import time
from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from geo.position import Point
from realtime.store.db.database import Database
from realtime.store.journeys import shares
from realtime.store.journeys.partitions import name_of
from realtime.store.journeys.upkeep import ids
from realtime.store.people import revocations

from .alert_rows import put_alert_rows
from .conftest import put
from .test_journeys import begin

NOW = time.time_ns() // 1_000_000
TABLES = [
    "tenants",
    "vendors",
    "drivers",
    "journeys",
    "journey_points",
    "shares",
    "share_views",
    "revoked_tokens",
    "pairings",
    "contacts",
    "contact_codes",
    "code_sends",
    "opt_outs",
    "alert_policies",
    "driver_safety",
    "driver_changes",
    "devices",
    "alerts",
    "alert_presses",
    "alert_attempts",
    "alert_events",
    "safety_timers",
    "incident_points",
    "erasures",
]


@pytest.fixture
async def two_tenants(db: Database) -> AsyncIterator[dict[str, UUID]]:
    """The same rows for t1 and t2; gives each one's journey."""
    journeys = {}
    for tenant in ("t1", "t2"):
        head = await begin(db, tenant=tenant)
        journeys[tenant] = head.journey_id
        await put(db, tenant, head.journey_id, [Point(1, NOW, 53.4, -2.9)])
        share_id, _ = await shares.create(db, tenant, head.journey_id, "live", NOW + 60_000, "someone")
        await shares.viewed(db, share_id, "192.0.2.1", "browser")
        await revocations.revoke(db, tenant, "j1")
        async with db.writer() as connection:
            await put_alert_rows(connection, tenant, "d1")
    yield journeys


async def tables_with_tenants(db: Database) -> list[str]:
    async with db.writer() as connection:
        rows = await connection.fetch(
            "SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
            "WHERE a.attname = 'tenant_id' AND c.relkind IN ('r', 'p') ORDER BY 1"
        )
    return [row["name"] for row in rows]


async def test_every_table_with_a_tenant_is_known_to_these_tests(db: Database) -> None:
    found = await tables_with_tenants(db)
    assert [name for name in found if not name.startswith("journey_points_2")] == sorted(TABLES)
    assert len(found) > len(TABLES)


async def test_every_table_with_a_tenant_forces_row_level_security(db: Database) -> None:
    async with db.writer() as connection:
        rows = await connection.fetch(
            "SELECT relname, relrowsecurity AND relforcerowsecurity AS is_forced FROM pg_class "
            "WHERE oid = ANY ($1::text[]::regclass[])",
            await tables_with_tenants(db),
        )
    assert [row["relname"] for row in rows if not row["is_forced"]] == []


@pytest.mark.parametrize("table", TABLES)
async def test_a_reader_sees_its_tenant_only(db: Database, two_tenants: dict[str, UUID], table: str) -> None:
    for tenant in two_tenants:
        async with db.reader(tenant) as connection:
            rows = await connection.fetch(f"SELECT tenant_id FROM {table}")
        assert [row["tenant_id"] for row in rows] == [tenant]


async def test_a_reader_gets_nothing_by_id_of_another_tenant(
    db: Database, two_tenants: dict[str, UUID]
) -> None:
    partition = name_of(ids.day_of(NOW))
    async with db.reader("t1") as connection:
        for table in ("journeys", "journey_points", partition):
            query = f"SELECT count(*) FROM {table} WHERE journey_id = $1"
            assert await connection.fetchval(query, two_tenants["t1"]) == 1
            assert await connection.fetchval(query, two_tenants["t2"]) == 0


@pytest.mark.parametrize(
    "tenant",
    [
        "",
        "t3",
        "t1' OR true --",
        "\\' OR true --",
        "%",
        "t1\n",
        "t1', true); SELECT set_config('app.tenant', 't1",
    ],
)
async def test_a_reader_of_no_such_tenant_sees_nothing(
    db: Database, two_tenants: dict[str, UUID], tenant: str
) -> None:
    async with db.reader(tenant) as connection:
        for table in TABLES:
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_the_login_itself_sees_nothing(
    database_url: str, db: Database, two_tenants: dict[str, UUID]
) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM journeys") == 0
        assert await connection.fetchval("SELECT count(*) FROM journey_points") == 0
    finally:
        await connection.close()


async def test_a_reader_writes_nothing(db: Database, two_tenants: dict[str, UUID]) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with db.reader("t1") as connection:
            await connection.execute("DELETE FROM journey_points")
    for table in (*TABLES, name_of(ids.day_of(NOW))):
        async with db.writer() as connection:
            for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
                may = "SELECT has_table_privilege('wayguard_reader', $1, $2)"
                assert not await connection.fetchval(may, table, privilege)
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journey_points") == 2


async def test_the_role_and_tenant_end_with_the_transaction(settings: object, database_url: str) -> None:
    from realtime.settings import Settings

    db = await Database.open(Settings(database_url=database_url, db_pool_size=2))
    try:
        for _ in range(2):
            async with db.writer() as connection:
                assert await connection.fetchval("SELECT current_user") == "wayguard_writer"
                assert await connection.fetchval("SELECT current_setting('app.tenant', true)") in (None, "")
            async with db.reader("t1") as connection:
                assert await connection.fetchval("SELECT current_user") == "wayguard_reader"
                assert await connection.fetchval("SELECT current_setting('app.tenant', true)") == "t1"
        async with db._pool.acquire() as connection:
            assert await connection.fetchval("SELECT current_user") == "wayguard"
            assert await connection.fetchval("SELECT current_setting('app.tenant', true)") == ""
    finally:
        await db.close()
