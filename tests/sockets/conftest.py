"""One instance on real engines for all tests of a module; credentials are looked at often."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
import redis as sync_redis

from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings
from tests.engines_fixtures import TEMPLATE, database
from tests.sockets.kit import SECRET, Server, serving


@pytest.fixture(scope="package")
def shared_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """One database for the package: every test makes drivers and journeys of its own."""
    with database(postgres_server, "sockets", TEMPLATE) as url:
        yield url


@pytest.fixture(scope="package")
def settings(shared_url: str, redis_server: EmbeddedRedis) -> Settings:
    with sync_redis.Redis.from_url(redis_server.url, socket_timeout=10) as client:
        client.flushall()
    return Settings(
        database_url=shared_url,
        redis_url=redis_server.url,
        auth_secret=SECRET,
        db_timeout_s=15,
        fanout_tick_ms=5,
        commit_window_ms=1,
        allowed_origins=("https://app.example",),
    )


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def server(settings: Settings) -> AsyncIterator[Server]:
    async with serving(settings) as made:
        yield made
