"""What a test needs of the machine, judged from its fixtures and its folder.

The mark ``engines`` is for a test that starts a database, a balancer, a browser or Node, or reads what Node
has built. `./test --fast` leaves these out, and `forbid_engines` makes one without the mark fail there: a
test may carry the mark itself, or be found here by its folder, its module or a fixture.
"""

import asyncio
import sys
from pathlib import PurePath
from typing import Any, Final

import pytest

FIXTURES: Final = frozenset(
    {
        "browser",
        "cluster",
        "pages_built",
        "postgres_server",
        "real_redis_server",
        "redis_server",
        "cluster_of_the_session",
        "redis_kind",
        "scene",
    }
)
"""Fixtures that start a program or need what Node has built."""

FOLDERS: Final = ("tests/e2e/", "tests/engines/", "tests/loadtests/", "tests/matrix/")
"""Every test in these starts programs."""

MODULES: Final = (
    "tests/client/test_examples.py",
    "tests/fanout/socketio/test_official_client.py",
    "tests/fanout/test_bus.py",
    "tests/fanout/test_bus_cluster.py",
    "tests/live/test_on_redis.py",
    "tests/pages/test_wheel.py",
    "tests/sessions/test_on_redis.py",
    "tests/store/test_own_servers.py",
)
"""These start programs, and none of their fixtures says so by its name."""

BUILT: Final = ("/realtime/pages/static/", "/node_modules/")
"""Folders of what Node has built or installed, which `./test --fast` does not make."""

PROGRAMS: Final = frozenset(
    {
        *("chromium", "haproxy", "initdb", "locust", "node", "npm", "postgres"),
        *("pg_basebackup", "redis-server", "valkey-server"),
    }
)
"""Programs that no fast test may start."""


def needs_engines(item: pytest.Item) -> bool:
    """Return whether ``item`` starts a program of `PROGRAMS` or needs the built pages."""
    if item.nodeid.startswith((*FOLDERS, *MODULES)):
        return True
    return not FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def forbid_engines() -> None:
    """Let a start of a program of `PROGRAMS` by this process, or a read of `BUILT`, raise RuntimeError.

    Cannot be undone. A program that a child process starts is not noticed.
    """

    def check(program: object) -> None:
        name = PurePath(str(program)).name
        if name in PROGRAMS:
            raise RuntimeError(f"a test without the mark `engines` starts {name}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            check(arguments[0])
        elif event == "open" and any(folder in str(arguments[0]) for folder in BUILT):
            raise RuntimeError("a test without the mark `engines` reads what Node has built")

    create = asyncio.create_subprocess_exec

    async def create_checked(program: Any, *arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        check(program)
        return await create(program, *arguments, **options)

    sys.addaudithook(hook)
    asyncio.create_subprocess_exec = create_checked  # uvloop starts programs without an audit event
