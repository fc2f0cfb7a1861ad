"""The cluster of the system tests, and a tenant of its own for each test."""

from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from tests.e2e.cluster import Cluster
from tests.e2e.world import World, new_world
from tests.engines_fixtures import engine_folder

LOG_LINES = 80


@pytest.fixture(scope="package")
async def cluster() -> AsyncIterator[Cluster]:
    """Real engines, two instances, two workers and the balancer.

    It is stopped after the last system test of this process: idle, it still costs a tenth of a core.
    """
    with engine_folder() as folder:
        async with Cluster(folder) as cluster:
            yield cluster


@pytest.fixture
async def world(cluster: Cluster) -> AsyncIterator[World]:
    """A tenant of this test's own in a cluster that is whole."""
    await cluster.whole()
    async with new_world(cluster) as world:
        yield world


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """A failure comes with what the processes said last."""
    report: Any = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        lines = cluster.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        report.sections.append(("the cluster's log", "\n".join(lines)))
    return report
