"""What several packages of these tests use."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture
def young_heap() -> Iterator[None]:
    """Let `gc.collect` look through what the test made alone: what was loaded before takes 0.1 s a call."""
    gc.freeze()
    yield
    gc.unfreeze()
