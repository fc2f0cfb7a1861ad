"""A hub that hurries."""

from collections.abc import AsyncIterator

import pytest

from tests.fanout.hub.kit import Here


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    made = Here()
    yield made
    await made.hub.stop()
