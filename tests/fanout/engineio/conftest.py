"""Every test here runs on both event loops; see `tests.variants`."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from tests.variants import LOOPS


def pytest_asyncio_loop_factories(
    config: Any, item: Any
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes a module's loops with."""
    return LOOPS
