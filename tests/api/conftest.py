"""A running API a test."""

from collections.abc import AsyncIterator

import pytest

from tests.api.harness import Api, Bounds, running


@pytest.fixture
def bounds() -> Bounds:
    """Those of production. A test that needs others parametrizes ``bounds``."""
    return Bounds()


@pytest.fixture
async def api(database_url: str, redis_url: str, bounds: Bounds) -> AsyncIterator[Api]:
    """The API on a fresh database and an empty Redis."""
    async with running(database_url, redis_url, bounds) as one:
        yield one
