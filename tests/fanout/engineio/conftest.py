"""Every test here runs on both event loops."""

import asyncio
from collections.abc import Callable
from typing import Any

import uvloop


def pytest_asyncio_loop_factories(
    config: Any, item: Any
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What pytest-asyncio makes a module's loops with."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
