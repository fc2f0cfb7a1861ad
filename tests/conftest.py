"""Fixtures every test may ask for."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

pytest_plugins = ["tests.engines_fixtures"]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of production. Tests of what differs between loops name both."""
    return {"uvloop": uvloop.new_event_loop}
