"""The scenes that the tests of this room ask for."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.e2e.proxy import Proxy
from tests.safety_away.fakes import Line
from tests.safety_away.process import PATIENT, PHONE, Bounds, Process, a_process
from tests.safety_away.scene import Scene
from tests.store.people import put_contact, put_driver


@pytest.fixture(params=["valkey", pytest.param("cluster", marks=pytest.mark.long)])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    """Processes on one Redis; `on_each_redis` has a test run on a Cluster in the gate too."""
    given = request.getfixturevalue(
        {"valkey": "redis_url", "cluster": "redis_cluster_of_three"}[request.param]
    )
    made = Scene(tmp_path, given if isinstance(given, str) else given.url)
    yield made
    await made.close()


@pytest.fixture
async def cut(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Scene, Proxy]]:
    """Processes that reach Redis by a line alone."""
    parts = urlsplit(redis_url)
    assert parts.port is not None
    async with Proxy(parts.port) as proxy:
        login = parts.netloc.rpartition("@")[0]
        through = parts._replace(netloc=f"{login}@127.0.0.1:{urlsplit(proxy.url).port}")
        made = Scene(tmp_path, urlunsplit(through))
        yield made, proxy
        await made.close()


@pytest.fixture
def bounds() -> Bounds:
    """What a test may make smaller or larger: it parametrizes ``bounds``."""
    return PATIENT


@pytest.fixture
async def process(
    database_url: str, redis_url: str, tmp_path: Path, bounds: Bounds
) -> AsyncIterator[Process]:
    direct = await Database.open(Settings(database_url=database_url, db_timeout_s=10))  # type: ignore[arg-type]
    await put_driver(direct, "t1", "north", "d1")
    await put_contact(direct, "t1", driver_id="d1", name="Ana", phone=PHONE)
    await direct.close()
    port = urlsplit(database_url).port
    assert port is not None
    async with (
        Proxy(port) as proxy,
        a_process(Line(proxy, database_url), redis_url, tmp_path, bounds) as made,
    ):
        yield made
        made.line.mend()
