"""Fixtures every test may ask for."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests import kinds
from tests.e2e.scopes import rank_of, scope_of

# An example that takes long on a busy machine is no failure.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

pytest_plugins = ["tests.engines_fixtures", "tests.variants"]


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


class ByFile(LoadScopeScheduling):
    """Tests in several processes (`./test`): those of a file stay together, and so do those that share a
    cluster (`tests.e2e.scopes`).
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """What ``-n`` asks for."""
    return ByFile(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """``-m`` without engines: a test that starts one all the same fails. SIGTERM ends the run in order."""
    if not hasattr(config, "workerinput"):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "not engines" in config.getoption("markexpr"):
        kinds.forbid_engines()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs engines. The longest begin first: no process is left alone with them at the end."""
    for item in items:
        if kinds.needs_engines(item):
            item.add_marker(pytest.mark.engines)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank_of(item.nodeid, STARTS_PROCESSES))
