"""Migrations: each once, in order, by whoever comes first; by a superuser or by a plain owner."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from realtime.engines.postgres import EmbeddedPostgres
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.db.migration import FOLDER, Migration, MigrationError, migrations, pending
from realtime.store.journeys.upkeep import missing_partitions
from realtime.store.migrate import migrate
from realtime.store.people import revocations
from tests.engines_fixtures import as_admin, at_database, discard, engine_folder

from .test_journeys import begin

NOW = time.time_ns() // 1_000_000


async def tracked(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch("SELECT name FROM schema_migrations ORDER BY number")
        return [row["name"] for row in rows]
    finally:
        await connection.close()


async def works(settings: Settings) -> None:
    db = await Database.open(settings)
    try:
        head = await begin(db)
        async with db.reader("t2") as connection:
            assert await connection.fetchval("SELECT count(*) FROM journeys") == 0
        async with db.reader("t1") as connection:
            assert await connection.fetchval("SELECT journey_id FROM journeys") == head.journey_id
        assert await missing_partitions(db, NOW) == []
    finally:
        await db.close()


async def test_four_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    settings = Settings(database_url=empty_database_url)
    ran = await asyncio.gather(*(migrate(settings) for _ in range(4)))
    assert sorted(map(len, ran)) == [0, 0, 0, len(migrations())]
    assert await tracked(empty_database_url) == [m.name for m in migrations()]
    await works(settings)
    assert await migrate(settings) == []


@pytest.mark.engines
async def test_a_superuser_may_migrate_a_server_that_has_nothing_yet() -> None:
    with engine_folder() as folder:
        server = EmbeddedPostgres(folder)
        try:
            server.start()
            await works_after_migrating(server.admin_url)
            # The roles are there now and are the superuser's: a second database of the server shares them.
            await asyncio.to_thread(as_admin, server, "create database second")
            await works_after_migrating(at_database(server.admin_url, "second"))
            await asyncio.to_thread(
                as_admin,
                server,
                "grant wayguard_reader, wayguard_writer to wayguard with inherit false, set true",
            )
            await works_after_migrating(server.url)
        finally:
            await asyncio.to_thread(discard, server)


async def works_after_migrating(url: str) -> None:
    settings = Settings(database_url=url)
    await migrate(settings)
    await works(settings)


async def test_a_migration_that_fails_leaves_nothing(empty_database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=empty_database_url)
    good = sorted(FOLDER.glob("*.sql"))
    for path in good:
        (tmp_path / path.name).write_text(path.read_text())
    bad = tmp_path / f"{len(good) + 1:03}_bad.sql"
    bad.write_text("CREATE TABLE half (id int);\nSELECT 1/0;\n")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(settings, tmp_path)
    assert await tracked(empty_database_url) == [path.name for path in good]
    bad.write_text("CREATE TABLE half (id int);\n")
    assert await migrate(settings, tmp_path) == [bad.name]
    await works(settings)


TABLES_LOCKED = """SELECT relation FROM pg_locks JOIN pg_class ON pg_class.oid = relation
WHERE pid = pg_backend_pid() AND mode = 'AccessExclusiveLock' AND relkind IN ('r', 'p')"""
INDEXES = "SELECT indexrelid, indrelid FROM pg_index"
TABLES = "SELECT oid FROM pg_class WHERE relkind IN ('r', 'p')"
RELEASED = 5
"""Migrations up to this one have run at customers' and stay as they are."""


async def test_no_migration_builds_an_index_while_it_locks_out_the_readers_of_the_table(
    empty_database_url: str,
) -> None:
    """An SOS is read and written meanwhile: the table is read for as long as the index is built."""
    connection = await asyncpg.connect(empty_database_url)
    try:
        for migration in migrations():
            if migration.concurrent_index is not None:
                await connection.execute(migration.sql)
                continue
            tables = {row["oid"] for row in await connection.fetch(TABLES)}
            indexes = {row["indexrelid"] for row in await connection.fetch(INDEXES)}
            async with connection.transaction():
                await connection.execute(migration.sql)
                locked = {row["relation"] for row in await connection.fetch(TABLES_LOCKED)}
                made = {
                    row["indrelid"]
                    for row in await connection.fetch(INDEXES)
                    if row["indexrelid"] not in indexes
                }
            if migration.number > RELEASED:
                assert not locked & made & tables, migration.name
    finally:
        await connection.close()


async def test_revocations_of_before_are_kept_for_ever(empty_database_url: str) -> None:
    """Their expiry was claimed: in seconds, it would be over since 1970."""
    settings = Settings(database_url=empty_database_url)
    last = next(m for m in migrations() if "expiry_verified" in m.sql)
    connection = await asyncpg.connect(empty_database_url)
    try:
        for migration in migrations()[: last.number - 1]:
            await connection.execute(migration.sql)
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE wayguard_writer")
            await connection.execute(
                "INSERT INTO revoked_tokens (tenant_id, jti, expires_ms) VALUES ('t1', 'j1', 1700000000)"
            )
        async with connection.transaction():
            await connection.execute(last.sql)
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE wayguard_writer")
            row = await connection.fetchrow("SELECT expires_ms, expiry_verified FROM revoked_tokens")
    finally:
        await connection.close()
    assert tuple(row) == (revocations.FOR_EVER_MS, False), "an older process forgets none of them either"
    db = await Database.open(settings)
    try:
        assert await revocations.is_revoked(db, "t1", "j1")
        tokens = revocations.RevokedTokens()
        assert await tokens.poll(db) == 1
    finally:
        await db.close()


def test_what_is_pending_follows_from_the_record() -> None:
    one, two = Migration(1, "001_a.sql", "a"), Migration(2, "002_b.sql", "b")
    assert pending([one, two], {}) == [one, two]
    assert pending([one, two], {1: (one.name, one.checksum)}) == [two]
    with pytest.raises(MigrationError, match=r"001_a\.sql was changed"):
        pending([one, two], {1: (one.name, two.checksum)})
    with pytest.raises(MigrationError, match=r"newer than this release: it has 002_b\.sql"):
        pending([one], {1: (one.name, one.checksum), 2: (two.name, two.checksum)})


@pytest.mark.parametrize("names", [["002_a.sql"], ["001_a.sql", "001_b.sql"], ["1_a.sql"], ["001_A.sql"]])
def test_misnumbered_files_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(MigrationError):
        migrations(tmp_path)
