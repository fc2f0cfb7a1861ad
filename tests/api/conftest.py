"""A running API a test."""

from collections.abc import AsyncIterator

import pytest

from tests.api.harness import Api, running


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """The API on a fresh database and an empty Redis."""
    async with running(database_url, redis_url) as one:
        yield one
