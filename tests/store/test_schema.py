"""A process on an empty, older or newer schema says so, is not ready, stores SOS, and recovers by itself."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest
from aiohttp import web

from realtime.auth.tokens import mint
from realtime.cli.findings import postgres
from realtime.processes.web import Instance, InstanceTimings
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.db.migration import Migration, MigrationError, migrations
from realtime.store.db.queries import load
from realtime.store.db.schema import SchemaCode, judge
from realtime.store.migrate import migrate
from tests.api.harness import served

POLL_S = 0.1
SHIPPED = migrations()
NEEDS = SHIPPED[-1].number
FUTURE = "INSERT INTO schema_migrations (number, name, sha256) VALUES (900, '900_future.sql', 'x')"


def test_the_finding_follows_from_the_record_and_has_both_numbers() -> None:
    one, two = Migration(1, "001_a.sql", "a"), Migration(2, "002_b.sql", "b")
    ran = {m.number: (m.name, m.checksum) for m in (one, two)}
    assert judge([one, two], ran).code is SchemaCode.OK
    assert judge([one, two], {}).code is SchemaCode.EMPTY
    unrecorded = judge([one, two], {}, has_tables=True)
    assert (unrecorded.code, unrecorded.has, unrecorded.needs) == (SchemaCode.UNRECORDED, 0, 2)
    assert "backup" in unrecorded.advice
    older = judge([one, two], {1: ran[1]})
    assert (older.code, older.has, older.needs) == (SchemaCode.OLDER, 1, 2)
    assert str(older) == (
        "schema_older: the database has migration 1, this release needs 2 (1 pending, first 002_b.sql)"
    )
    newer = judge([one], ran)
    assert (newer.code, newer.has, newer.needs, newer.detail) == (SchemaCode.NEWER, 2, 1, "002_b.sql")
    assert judge([one, two], {1: ran[1], 2: ("002_b.sql", one.checksum)}).code is SchemaCode.CHANGED
    assert judge([one, two], {2: ran[2]}).code is SchemaCode.OLDER, "a gap is a migration that is missing"


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def leave_empty(url: str, folder: Path) -> None:
    pass


async def leave_older(url: str, folder: Path) -> None:
    """All migrations but the last have run."""
    statements = load("migrate")
    connection = await asyncpg.connect(url)
    await connection.execute(statements["make_record"])
    for migration in migrations()[:-1]:
        await connection.execute(migration.sql)
        await connection.execute(statements["record"], migration.number, migration.name, migration.checksum)
    await connection.close()


async def leave_newer(url: str, folder: Path) -> None:
    """A migration of a later release has run."""
    await migrate(Settings(database_url=url))
    await execute(url, FUTURE)


async def leave_without_record(url: str, folder: Path) -> None:
    """All migrations have run, and their record was dropped."""
    await migrate(Settings(database_url=url))
    await execute(url, "ALTER TABLE schema_migrations RENAME TO lost_record")


async def leave_empty_record(url: str, folder: Path) -> None:
    """All migrations have run, and their record has lost its rows."""
    await migrate(Settings(database_url=url))
    await execute(
        url,
        "ALTER TABLE schema_migrations RENAME TO lost_record;"
        "CREATE TABLE schema_migrations (LIKE lost_record INCLUDING ALL)",
    )


async def make_current(url: str) -> None:
    if await rows(url, "SELECT 1 WHERE to_regclass('lost_record') IS NOT NULL"):
        with pytest.raises(MigrationError, match="restore schema_migrations from a backup"):
            await migrate(Settings(database_url=url))
        await execute(
            url,
            "DROP TABLE IF EXISTS schema_migrations; ALTER TABLE lost_record RENAME TO schema_migrations",
        )
    if await rows(url, "SELECT 1 WHERE to_regclass('schema_migrations') IS NOT NULL"):
        await execute(url, "DELETE FROM schema_migrations WHERE number = 900")
    await migrate(Settings(database_url=url))


async def rows(url: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


SCHEMAS = pytest.mark.parametrize(
    ("leave", "code", "has"),
    [
        (leave_empty, "schema_empty", 0),
        (leave_older, "schema_older", NEEDS - 1),
        (leave_newer, "schema_newer", 900),
    ],
)
Leave = Callable[[str, Path], Awaitable[None]]


@pytest.fixture
def settings(empty_database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        database_url=empty_database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret=secrets.token_hex(32),  # type: ignore[arg-type]
        data_dir=tmp_path / "data",
    )


@asynccontextmanager
async def running(process: str, settings: Settings) -> AsyncIterator[str]:
    """The URL of a web instance or a worker in this process."""
    opened: AbstractAsyncContextManager[Any]
    if process == "serve":
        opened = Instance.open(settings, InstanceTimings(schema_poll_s=POLL_S))
    else:
        opened = Worker.open(settings, schema_poll_s=POLL_S)
    async with opened as made:
        app: web.Application = made.app
        async with served(app) as url:
            yield url


@pytest.mark.parametrize(
    ("leave", "code", "has", "process"),
    [
        (leave_empty, "schema_empty", 0, "serve"),
        (leave_older, "schema_older", NEEDS - 1, "serve"),
        (leave_newer, "schema_newer", 900, "serve"),
        (leave_without_record, "schema_unrecorded", 0, "serve"),
        (leave_empty_record, "schema_unrecorded", 0, "worker"),
        (leave_older, "schema_older", NEEDS - 1, "worker"),
        pytest.param(leave_empty, "schema_empty", 0, "worker", marks=pytest.mark.long),
        pytest.param(leave_newer, "schema_newer", 900, "worker", marks=pytest.mark.long),
    ],
)
async def test_a_process_on_another_schema_is_not_ready_keeps_sos_and_recovers(
    settings: Settings,
    tmp_path: Path,
    leave: Leave,
    code: str,
    has: int,
    process: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    url = settings.database_url.get_secret_value()
    folder = tmp_path / "older"
    folder.mkdir()
    await leave(url, folder)
    driver = mint(settings, role="driver", tenant="t1", vendors=["v1"], driver="d1")
    sos_id = uuid4()
    async with running(process, settings) as base, aiohttp.ClientSession() as session:
        async with session.get(f"{base}/readyz") as answer:
            assert answer.status == 503
            error = (await answer.json())["error"]
        assert error["checks"]["schema"] is False
        numbers = f"{code}: the database has migration {has}, this release needs {NEEDS}"
        assert error["details"]["schema"].startswith(numbers)
        assert caplog.text.count(numbers) == 1, "said once"
        headers = {"Authorization": f"Bearer {driver}"}
        async with session.post(
            f"{base}/api/v1/sos", json={"sos_id": str(sos_id)}, headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()
            taken = await answer.json()
        assert taken["durability"] in ("local", "replicated")
        await asyncio.sleep(3 * POLL_S)
        async with session.get(f"{base}/readyz") as answer:
            assert answer.status == 503, "it stays so until the schema fits"
        await make_current(url)
        async with asyncio.timeout(20):
            while True:
                async with session.get(f"{base}/readyz") as answer:
                    if answer.status == 200:
                        break
                await asyncio.sleep(0.05)
            while await stored(url) != [UUID(taken["alert_id"])]:
                await asyncio.sleep(0.1)
    assert "Traceback" not in caplog.text


async def stored(url: str) -> list[UUID]:
    """The alerts in Postgres."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL ROLE wayguard_writer")
            return [row["alert_id"] for row in await connection.fetch("SELECT alert_id FROM alerts")]
    finally:
        await connection.close()


@SCHEMAS
async def test_the_doctor_names_another_schema_with_its_numbers(
    settings: Settings, tmp_path: Path, leave: Leave, code: str, has: int
) -> None:
    await leave(settings.database_url.get_secret_value(), tmp_path)
    found = (await postgres(settings))[-1]
    assert found.subject == "schema"
    assert found.text.startswith(f"{code}: the database has migration {has}, this release needs {NEEDS}")
    assert found.advice


async def test_a_login_that_is_not_the_owner_reads_the_record_of_migrations(settings: Settings) -> None:
    url = settings.database_url.get_secret_value()
    await migrate(settings)
    await execute(url, "REVOKE SELECT ON schema_migrations FROM PUBLIC")
    assert await migrate(settings) == []
    assert await rows(url, "SELECT 1 WHERE has_table_privilege('public', 'schema_migrations', 'SELECT')")
