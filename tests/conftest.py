"""Fixtures every test may ask for."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

pytest_plugins = ["tests.engines_fixtures"]


@pytest.fixture(autouse=True)
def _journal_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test's processes keep on disk is no other's."""
    folder: Path = tmp_path_factory.mktemp("journal")
    monkeypatch.setenv("JOURNAL_DIR", str(folder))


STARTS_PROCESSES = ("tests/e2e", "tests/engines", "tests/loadtests", "tests/matrix")
"""What is tested here runs in processes with a loop of their own; uvloop cannot start one as another user."""


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of production. Tests of what differs between loops name both."""
    if item.nodeid.startswith(STARTS_PROCESSES):
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
