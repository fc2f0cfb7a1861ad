"""Real engines for tests: a Postgres and a Redis a session, an emptied database and an empty Redis a test."""

import asyncio
import os
import re
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import asyncpg
import pytest
import redis

from realtime.engines.postgres import OWNER, EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings
from realtime.store import migrate
from tests.databases import TEMPLATE, DatabasePool, at_database
from tests.rediscluster import RedisCluster, Server, real_redis, redis_cluster

T = TypeVar("T")

QUICK: Final = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off"}
"""Options of the session's Postgres. Tests of durability have servers of their own."""


@contextmanager
def engine_folder() -> Iterator[Path]:
    """A directory for an engine that root's ``nobody`` can enter too, removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="wayguard-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def discard(server: EmbeddedPostgres) -> None:
    """End a server whose data nobody needs: at once, leaving no shared memory behind."""
    if server.pid is not None:
        os.kill(server.pid, signal.SIGQUIT)
    server.stop()


def ask_for_cheap_passwords(server: EmbeddedPostgres) -> None:
    """Hash the passwords once instead of 4,096 times: a connection then takes 4 ms instead of 7."""
    passwords = {OWNER: server.data.secret("postgres"), "postgres": server.data.secret("postgres-admin")}
    statements = [f"alter role {role} password '{password}'" for role, password in passwords.items()]
    as_admin(server, "set scram_iterations = 1", *statements)


def in_thread(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine to its end off the tests' event loop, so that plain fixtures can."""
    results: list[T] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            results.append(asyncio.run(make()))
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


def as_admin(server: EmbeddedPostgres, *statements: str, database: str = "postgres") -> None:
    """Run each statement by itself as the superuser."""

    async def run() -> None:
        connection = await asyncpg.connect(at_database(server.admin_url, database), timeout=30)
        try:
            for statement in statements:
                await connection.execute(statement, timeout=60)
        finally:
            await connection.close(timeout=10)

    in_thread(run)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """The session's Postgres, with a migrated template that tests lease clones of.

    What starts on it is told that it may: it does not flush what it commits.
    """
    with engine_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALLOW_UNSAFE_DURABILITY", "true")
        server = EmbeddedPostgres(folder, port=0, max_connections=200, options=QUICK)
        try:
            server.start()
            ask_for_cheap_passwords(server)
            as_admin(server, f"create database {TEMPLATE} owner {OWNER}")
            url = at_database(server.url, TEMPLATE)
            in_thread(lambda: migrate.migrate(Settings(database_url=url)))
            yield server
        finally:
            discard(server)


@contextmanager
def database(server: EmbeddedPostgres, label: str, template: str) -> Iterator[str]:
    """A new database of the application's login, a clone of ``template``, dropped at the end."""
    name = re.sub(r"[^a-z0-9]+", "_", label.lower())[:40] + "_" + secrets.token_hex(4)
    as_admin(server, f'create database "{name}" template {template} owner {OWNER}')
    try:
        yield at_database(server.url, name)
    finally:
        as_admin(server, f'drop database if exists "{name}" with (force)')


@pytest.fixture(scope="session")
def database_pool(postgres_server: EmbeddedPostgres) -> Iterator[DatabasePool]:
    """The session's databases to lease."""
    pool = DatabasePool(postgres_server.url, postgres_server.admin_url)
    yield pool
    pool.close()


@pytest.fixture
def database_url(database_pool: DatabasePool) -> Iterator[str]:
    """A migrated database without rows, leased to this test; the login is its owner and no superuser."""
    with database_pool.leased() as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[str]:
    """Like ``database_url``, but not migrated."""
    with database(postgres_server, request.node.name, "template1") as url:
        yield url


@pytest.fixture(scope="session")
def redis_server() -> Iterator[EmbeddedRedis]:
    """The session's Redis."""
    with engine_folder() as folder:
        server = EmbeddedRedis(folder, port=0)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The session's Redis, emptied."""
    with redis.Redis.from_url(redis_server.url, socket_timeout=10) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture(scope="session")
def real_redis_server() -> Iterator[Server]:
    """The session's Redis that is Redis itself, and not Valkey."""
    with engine_folder() as folder:
        server = Server(real_redis(), folder / "redis")
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def real_redis_url(real_redis_server: Server) -> str:
    """The same, emptied."""
    real_redis_server.ask("FLUSHALL")
    return real_redis_server.url


@pytest.fixture(scope="session")
def cluster_of_the_session() -> Iterator[RedisCluster]:
    """A Cluster of three that no test breaks."""
    with engine_folder() as folder, redis_cluster(folder) as cluster:
        yield cluster


@pytest.fixture
def redis_cluster_of_three(cluster_of_the_session: RedisCluster) -> RedisCluster:
    """The same, emptied."""
    for node in cluster_of_the_session.masters:
        node.ask("FLUSHALL")
    return cluster_of_the_session
