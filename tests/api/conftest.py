"""A running API a test."""

from collections.abc import AsyncIterator

import pytest

from tests.api.harness import Api, running


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[Api]:
    """The API on a fresh database."""
    async with running(database_url) as one:
        yield one
