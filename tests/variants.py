"""What tests run on: event loops and kinds of Redis.

The gate runs every test on the loop and the Redis of production, and on the others those that depend on them:
they are marked ``both_loops`` or ``every_redis``. ``./test --long`` runs all on both loops and every kind.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import pytest
import uvloop


def other_loop() -> asyncio.AbstractEventLoop:
    """The loop of the standard library."""
    return asyncio.new_event_loop()


LOOPS: Final[Mapping[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": other_loop,
    "uvloop": uvloop.new_event_loop,
}
"""For the hook ``pytest_asyncio_loop_factories`` of a package whose tests run on both."""

REDIS_KINDS: Final = {"valkey": "redis_url", "redis": "real_redis_url", "cluster": "redis_cluster_of_three"}
"""What is embedded, Redis itself, a Cluster of three; with the fixture of each."""


@pytest.fixture(params=REDIS_KINDS)
def redis_kind(request: pytest.FixtureRequest) -> str:
    """One of `REDIS_KINDS`."""
    kind: str = request.param
    return kind


@pytest.fixture
def redis_url_of_kind(redis_kind: str, request: pytest.FixtureRequest) -> str:
    """An emptied Redis of the kind."""
    given = request.getfixturevalue(REDIS_KINDS[redis_kind])
    url: str = given if isinstance(given, str) else given.url
    return url


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to the long tests what the gate does not run."""
    for item in items:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        is_other_loop = parameters.get("_asyncio_loop_factory") is other_loop
        is_other_redis = parameters.get("redis_kind", "valkey") != "valkey"
        if (is_other_loop and item.get_closest_marker("both_loops") is None) or (
            is_other_redis and item.get_closest_marker("every_redis") is None
        ):
            item.add_marker(pytest.mark.long)
