"""What needs a Postgres of its own: a replica, and a server that lies about its disk."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from realtime.engines.embedded import free_port
from realtime.engines.postgres import OWNER, EmbeddedPostgres
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.db.durability import UnsafeDatabase, assert_durable
from realtime.store.db.pools import make_pool
from realtime.store.db.replica import HISTORY_AGE_S, LogPositions, ReadReplica
from realtime.store.migrate import migrate
from tests.engines_fixtures import as_admin, discard, engine_folder, in_thread


@pytest.fixture(scope="module")
def durable() -> Iterator[EmbeddedPostgres]:
    """A server with the settings of `./run`."""
    with engine_folder() as folder:
        server = EmbeddedPostgres(folder, port=0)
        try:
            server.start()
            in_thread(lambda: migrate(Settings(database_url=server.url)))
            yield server
        finally:
            discard(server)


async def test_a_database_that_flushes_its_commits_is_accepted(durable: EmbeddedPostgres) -> None:
    db = await Database.open(Settings(database_url=durable.url))
    assert await assert_durable(db, allow_unsafe=False) == {}
    await db.close()


async def test_a_database_whose_sessions_do_not_wait_for_the_disk_is_refused_by_name(
    durable: EmbeddedPostgres,
) -> None:
    """Not by the server's setting but by the login's in this database."""
    setting = f"alter role {OWNER} in database {OWNER}"
    as_admin(durable, f"{setting} set synchronous_commit = off")
    db = await Database.open(Settings(database_url=durable.url))
    try:
        with pytest.raises(UnsafeDatabase, match="synchronous_commit is off"):
            await assert_durable(db, allow_unsafe=False)
        assert await assert_durable(db, allow_unsafe=True) == {"synchronous_commit": "off"}
    finally:
        await db.close()
        as_admin(durable, f"{setting} reset synchronous_commit")


async def test_a_server_that_does_not_flush_is_refused_by_name(database_url: str) -> None:
    """The server of the tests is one."""
    db = await Database.open(Settings(database_url=database_url))
    with pytest.raises(UnsafeDatabase, match=r"fsync is off.*full_page_writes is off"):
        await assert_durable(db, allow_unsafe=False)
    assert await assert_durable(db, allow_unsafe=True) == {"fsync": "off", "full_page_writes": "off"}
    await db.close()


def test_a_replica_suffices_once_it_is_where_the_primary_was() -> None:
    seen = LogPositions()
    assert not seen.suffices(0, 10**9)
    for moment in range(0, 101, 5):
        seen.record(moment, moment * 10)
    assert not seen.suffices(100, None)
    assert seen.suffices(100, 500)
    assert not seen.suffices(100, 499)
    # A primary away for longer than the age of history leaves nothing to compare with.
    assert not seen.suffices(100 + HISTORY_AGE_S, 10**9)


class Pair(NamedTuple):
    primary: EmbeddedPostgres
    standby: EmbeddedPostgres


def base_backup(primary: EmbeddedPostgres, folder: Path) -> EmbeddedPostgres:
    """A standby in ``folder`` that follows ``primary``."""
    standby = EmbeddedPostgres(folder, port=free_port())
    standby.data.prepare()
    shutil.copytree(primary.data.path / "secrets", standby.data.path / "secrets", dirs_exist_ok=True)
    standby.folder.mkdir(mode=0o700)
    standby.data.account.own(standby.folder)
    subprocess.run(
        [str(primary._program("pg_basebackup")), "-D", str(standby.folder), "-R", "-X", "stream",
         "-c", "fast", "-N", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"],
        env=os.environ | {"PGPASSWORD": primary.data.secret("postgres-admin")},
        cwd="/", check=True, timeout=60, **standby.data.account.popen_options(),
    )  # fmt: skip
    return standby


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A migrated primary and its streaming standby."""
    with engine_folder() as one, engine_folder() as two:
        primary = EmbeddedPostgres(one, port=0)
        servers = [primary]
        try:
            primary.start()
            in_thread(lambda: migrate(Settings(database_url=primary.url)))
            standby = base_backup(primary, two)
            servers.append(standby)
            standby.start()
            yield Pair(primary, standby)
        finally:
            for server in reversed(servers):
                discard(server)


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def replica(pair: Pair, clock: Clock) -> ReadReplica:
    return ReadReplica(await make_pool(pair.standby.url, Settings(db_timeout_s=5)), 5, clock)


@pytest.fixture
async def db(pair: Pair, replica: ReadReplica) -> AsyncIterator[Database]:
    settings = Settings(database_url=pair.primary.url)
    opened = Database(await make_pool(pair.primary.url, settings), settings.db_timeout_s, replica)
    yield opened
    await opened.close()


async def reads_replica(db: Database) -> bool:
    async with await db.history("t1") as connection:
        assert await connection.fetchval("SELECT current_user") == "wayguard_reader"
        assert await connection.fetchval("SELECT current_setting('app.tenant')") == "t1"
        on_replica: bool = await connection.fetchval("SELECT pg_is_in_recovery()")
    return on_replica


async def write(db: Database, tenant: str) -> None:
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ($1)", tenant)


async def caught_up(db: Database, replica: ReadReplica) -> None:
    while not replica.is_fresh:
        await replica.look(db.reader)
        await asyncio.sleep(0.01)


async def test_history_reads_the_replica_only_while_it_keeps_up(
    pair: Pair, db: Database, replica: ReadReplica, clock: Clock
) -> None:
    assert not await reads_replica(db)
    await caught_up(db, replica)
    assert await reads_replica(db)
    async with db.reader("t1") as connection:
        assert not await connection.fetchval("SELECT pg_is_in_recovery()")
    admin = await asyncpg.connect(pair.standby.admin_url)
    try:
        await admin.execute("SELECT pg_wal_replay_pause()")
        while await admin.fetchval("SELECT pg_get_wal_replay_pause_state()") != "paused":
            await asyncio.sleep(0.01)
        await write(db, "lagging")
        # What was written a moment ago is no history yet, so the replica still has all of it.
        await replica.look(db.reader)
        assert await reads_replica(db)
        for _ in range(13):
            clock.now_s += 5
            await replica.look(db.reader)
        assert not await reads_replica(db)
        await admin.execute("SELECT pg_wal_replay_resume()")
        await caught_up(db, replica)
        assert await reads_replica(db)
        # Nobody has looked for a while: it is not believed any longer.
        clock.now_s += 11
        assert not await reads_replica(db)
    finally:
        await admin.close()


async def test_history_falls_back_to_the_primary_when_the_replica_dies(
    pair: Pair, db: Database, replica: ReadReplica
) -> None:
    await caught_up(db, replica)
    await asyncio.to_thread(pair.standby.kill)
    try:
        assert replica.is_fresh
        assert not await reads_replica(db)
        assert not replica.is_fresh
        assert db.is_up
    finally:
        pair.standby.start()
    await caught_up(db, replica)
    assert await reads_replica(db)


async def db_sees_doomed(db: Database) -> bool:
    async with await db.history("t1") as connection:
        seen: bool = await connection.fetchval("SELECT to_regclass('doomed') IS NOT NULL")
    return seen


async def test_a_read_that_replay_breaks_may_be_tried_again(
    pair: Pair, db: Database, replica: ReadReplica
) -> None:
    admin = await asyncpg.connect(pair.standby.admin_url)
    await admin.execute("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    owner = await asyncpg.connect(pair.primary.url)
    await owner.execute("CREATE TABLE doomed (); GRANT SELECT ON doomed TO wayguard_reader")
    await caught_up(db, replica)
    while not await db_sees_doomed(db):
        await asyncio.sleep(0.01)
    with pytest.raises(Refused) as refused:
        async with await db.history("t1") as connection:
            assert await connection.fetchval("SELECT pg_is_in_recovery()")
            await connection.fetch("SELECT * FROM doomed")
            await owner.execute("DROP TABLE doomed")
            while True:
                await connection.fetchval("SELECT count(*) FROM doomed")
    assert refused.value.code is Code.UNAVAILABLE
    await owner.close()


async def test_a_replica_is_watched_from_the_start(pair: Pair) -> None:
    settings = Settings(database_url=pair.primary.url, database_replica_url=pair.standby.url)
    db = await Database.open(settings)
    try:
        while not await reads_replica(db):
            await asyncio.sleep(0.05)
    finally:
        await db.close()


async def test_a_replica_that_is_not_there_harms_nothing(pair: Pair) -> None:
    away = f"postgresql://nobody@127.0.0.1:{free_port()}/x"
    db = await Database.open(Settings(database_url=pair.primary.url, database_replica_url=away))
    try:
        assert db.is_up
        assert not await reads_replica(db)
    finally:
        await db.close()
