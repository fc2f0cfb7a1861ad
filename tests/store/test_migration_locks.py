"""A migration waits for locks in short steps, and presses are stored meanwhile."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from realtime.settings import Settings
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from realtime.store.db.migration import FOLDER, MigrationError
from realtime.store.migrate import LockPatience, migrate
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press

PRESS_S = 2.0
"""A press at most, on a machine that is busy with other tests; it waits for a lock for 0.2 s of it."""
SHORT = LockPatience(timeout_s=0.2, tries=3, pause_s=0.1)
LONG = LockPatience(timeout_s=0.2, tries=100, pause_s=0.3)
NAME = f"{len(list(FOLDER.glob('*.sql'))) + 1:03}_of_test.sql"


def with_migration(folder: Path, sql: str) -> Path:
    """The migrations of this release and one more."""
    for path in FOLDER.glob("*.sql"):
        (folder / path.name).write_text(path.read_text())
    (folder / NAME).write_text(sql)
    return folder


async def holding(url: str, statement: str) -> asyncpg.Connection:
    """A connection with an open transaction that has read a table, as a dump has."""
    connection = await asyncpg.connect(url)
    await connection.execute("BEGIN")
    await connection.execute(statement)
    return connection


async def columns(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM information_schema.columns WHERE column_name = 'of_test'"
        )
        return count
    finally:
        await connection.close()


async def test_presses_are_stored_while_a_migration_waits_for_a_lock(
    empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url)
    await migrate(settings)
    folder = with_migration(tmp_path, "ALTER TABLE alerts ADD COLUMN of_test integer;")
    db = await Database.open(settings)
    holder = await holding(empty_database_url, "SELECT count(*) FROM alerts")
    try:
        ledger = PostgresLedger(db)
        await ledger.press(a_press(1, driver="first"), CIRCUMSTANCES)
        migrating = asyncio.create_task(migrate(settings, folder, LONG))
        took_s = []
        until_s = time.monotonic() + 3.0
        while time.monotonic() < until_s:
            begun_s = time.monotonic()
            taken = await ledger.press(a_press(1, driver=f"d{len(took_s)}"), CIRCUMSTANCES)
            assert taken.durability == "committed"
            took_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(0.02)
        assert not migrating.done()
        assert max(took_s) < PRESS_S
        assert len(took_s) > 5
        await holder.execute("ROLLBACK")
        assert await asyncio.wait_for(migrating, 60) == [NAME]
        assert await columns(empty_database_url) == 1
    finally:
        await holder.close()
        await db.close()


async def test_a_lock_that_is_never_free_ends_a_migration_with_the_reason(
    empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url)
    await migrate(settings)
    folder = with_migration(
        tmp_path, "CREATE TABLE half (id int);\nALTER TABLE alerts ADD COLUMN of_test integer;"
    )
    holder = await holding(empty_database_url, "SELECT count(*) FROM alerts")
    pid = holder.get_server_pid()
    try:
        with pytest.raises(MigrationError, match=rf"{NAME}: .*3 times.*0\.2 s.*nothing of it ran.*{pid}"):
            await migrate(settings, folder, SHORT)
        await holder.execute("ROLLBACK")
        assert await migrate(settings, folder, SHORT) == [NAME], "as if it had not been tried"
    finally:
        await holder.close()


async def test_an_index_is_built_beside_writers_and_again_after_a_build_that_failed(
    empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url)
    await migrate(settings)
    folder = with_migration(
        tmp_path, "-- By driver.\nCREATE INDEX CONCURRENTLY of_test ON alerts (driver_id, raised_ms);\n"
    )
    connection = await asyncpg.connect(empty_database_url)
    try:
        holder = await holding(empty_database_url, "LOCK TABLE alerts IN ROW EXCLUSIVE MODE")
        await connection.execute("SET statement_timeout = '300ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.execute("CREATE INDEX CONCURRENTLY of_test ON alerts (driver_id)")
        await connection.execute("RESET statement_timeout")
        await holder.close()
        left = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'of_test'::regclass"
        assert await connection.fetchval(left) is False
        assert await migrate(settings, folder, SHORT) == [NAME]
        made = await connection.fetchrow(
            "SELECT indisvalid, indnatts FROM pg_index WHERE indexrelid = 'of_test'::regclass"
        )
        assert tuple(made) == (True, 2)
        assert await migrate(settings, folder, SHORT) == []
    finally:
        await connection.close()


async def test_an_index_that_is_built_beside_writers_is_a_migration_of_its_own(
    empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=empty_database_url)
    folder = with_migration(
        tmp_path, "CREATE TABLE half (id int);\nCREATE INDEX CONCURRENTLY of_test ON alerts (driver_id);\n"
    )
    with pytest.raises(MigrationError, match=rf"{NAME}: CREATE INDEX CONCURRENTLY has to be the only"):
        await migrate(settings, folder, SHORT)
