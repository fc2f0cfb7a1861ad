"""The pool of databases that tests lease: each lease is as a fresh clone, whatever the test before it did."""

from collections.abc import Iterator

import asyncpg
import pytest

from realtime.engines.postgres import EmbeddedPostgres
from tests.databases import DatabasePool, at_database


@pytest.fixture
def pool(postgres_server: EmbeddedPostgres) -> Iterator[DatabasePool]:
    """A pool of this test alone: what is returned to it is leased next."""
    made = DatabasePool(postgres_server.url, postgres_server.admin_url)
    yield made
    made.close()


async def run(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        return await connection.fetchval(query, timeout=60)
    finally:
        await connection.close(timeout=10)


def as_superuser(server: EmbeddedPostgres, url: str) -> str:
    return at_database(server.admin_url, url.rpartition("/")[2])


async def test_a_returned_database_has_no_rows_and_is_leased_again(
    pool: DatabasePool, postgres_server: EmbeddedPostgres
) -> None:
    with pool.leased() as first:
        await run(
            as_superuser(postgres_server, first),
            "INSERT INTO tenants (tenant_id) VALUES ('t1')",
            "INSERT INTO vendors (tenant_id, vendor_id) VALUES ('t1', 'north')",
        )
    with pool.leased() as second:
        admin_url = as_superuser(postgres_server, second)
        assert second == first, "it is the same database"
        assert await value(admin_url, "SELECT count(*) FROM tenants") == 0
        assert await value(admin_url, "SELECT count(*) FROM vendors") == 0
    assert pool.made == 1


async def test_a_large_table_is_emptied_too(pool: DatabasePool, postgres_server: EmbeddedPostgres) -> None:
    many = "INSERT INTO tenants (tenant_id) SELECT md5(n::text) FROM generate_series(1, 30000) AS n"
    with pool.leased() as first:
        await run(as_superuser(postgres_server, first), many)
    with pool.leased() as second:
        admin_url = as_superuser(postgres_server, second)
        assert second == first
        assert await value(admin_url, "SELECT count(*) FROM tenants") == 0
        assert await value(admin_url, "SELECT pg_relation_size('tenants')") == 0, "no dead rows are left"
    with pool.leased() as third:
        assert third == first, "truncating it has not changed its shape"


async def test_sequences_of_a_returned_database_begin_again(
    pool: DatabasePool, postgres_server: EmbeddedPostgres
) -> None:
    sequences = "SELECT min(sequencename) FROM pg_sequences WHERE schemaname = 'public'"
    with pool.leased() as first:
        admin_url = as_superuser(postgres_server, first)
        name = await value(admin_url, sequences)
        assert name is not None, "the schema has identity columns"
        beginning = await value(admin_url, f"SELECT nextval('{name}')")
        await run(admin_url, f"SELECT nextval('{name}')")
    with pool.leased() as second:
        assert second == first
        next_value = await value(as_superuser(postgres_server, second), f"SELECT nextval('{name}')")
        assert next_value == beginning


async def test_a_replaced_clock_is_put_back(pool: DatabasePool, postgres_server: EmbeddedPostgres) -> None:
    replaced = "CREATE OR REPLACE FUNCTION now_ms() RETURNS bigint LANGUAGE sql STABLE PARALLEL SAFE RETURN 7"
    with pool.leased() as first:
        admin_url = as_superuser(postgres_server, first)
        await run(admin_url, replaced)
        assert await value(admin_url, "SELECT now_ms()") == 7
    with pool.leased() as second:
        assert second == first
        now_ms = await value(as_superuser(postgres_server, second), "SELECT now_ms()")
        assert isinstance(now_ms, int) and now_ms > 1_500_000_000_000


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("CREATE TABLE extra (id int)", id="added_table"),
        pytest.param("ALTER TABLE tenants ADD COLUMN extra int", id="added_column"),
        pytest.param("REVOKE SELECT ON tenants FROM wayguard_reader", id="revoked_right"),
        pytest.param("ALTER TABLE drivers DISABLE ROW LEVEL SECURITY", id="row_security_off"),
        pytest.param(
            "CREATE TABLE extra PARTITION OF journey_points FOR VALUES FROM "
            "('00000000-0000-7000-8000-000000000000') TO ('00000001-0000-7000-8000-000000000000')",
            id="extra_partition",
        ),
        pytest.param(
            "DO $$ BEGIN EXECUTE format('ALTER ROLE wayguard_reader IN DATABASE %I SET work_mem = ''1MB''', "
            "current_database()); END $$",
            id="role_setting",
        ),
        pytest.param("ANALYZE alerts", id="analyzed"),
        pytest.param(
            "INSERT INTO tenants (tenant_id) VALUES ('t1'); ANALYZE tenants", id="analyzed_with_rows"
        ),
        pytest.param("CREATE SCHEMA extra", id="added_schema"),
        pytest.param("CREATE FUNCTION extra() RETURNS int LANGUAGE sql RETURN 1", id="added_function"),
    ],
)
async def test_a_database_of_another_shape_is_not_leased_again(
    pool: DatabasePool, postgres_server: EmbeddedPostgres, change: str
) -> None:
    with pool.leased() as first:
        await run(as_superuser(postgres_server, first), change)
    with pool.leased() as second:
        assert second != first
    name = first.rpartition("/")[2]
    left = await value(
        postgres_server.admin_url, f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"
    )
    assert left == 0, "it is dropped"


async def test_a_connection_left_open_by_a_test_is_ended(pool: DatabasePool) -> None:
    with pool.leased() as first:
        forgotten = await asyncpg.connect(first, timeout=30)
        transaction = forgotten.transaction()
        await transaction.start()
        await forgotten.execute("SELECT pg_advisory_lock(1)")
    with pool.leased() as second:
        assert second == first
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await forgotten.fetchval("SELECT 1")
        assert await value(second, "SELECT pg_try_advisory_lock(1)") is True
    forgotten.terminate()


async def test_two_leases_at_once_are_two_databases(pool: DatabasePool) -> None:
    with pool.leased() as first, pool.leased() as second:
        assert first != second
    assert pool.made == 2
