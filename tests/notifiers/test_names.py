"""Look-ups of names on threads of their own: bounded, shared, and in the way of no exit."""

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts.notifiers.guarded import Forbidden, GuardedHttp
from alerts.notifiers.names import Names

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))]


class NameServer:
    """Answers for no name that begins with "hangs" until `answered` is set."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host.startswith("hangs"):
            self.answered.wait(60.0)
        return FOUND


@pytest.fixture
async def server() -> AsyncIterator[NameServer]:
    made = NameServer()
    yield made
    made.answered.set()


def look_up_threads() -> int:
    return sum(thread.name == "names" for thread in threading.enumerate())


async def until_asked(server: NameServer, count: int) -> None:
    async with asyncio.timeout(10):
        while len(server.asked) < count:
            await asyncio.sleep(0.002)


async def test_one_more_name_than_threads_waits_and_is_dropped_with_its_callers(server: NameServer) -> None:
    names = Names(2, server)
    hanging = [asyncio.ensure_future(names.resolve(f"hangs{n}")) for n in range(2)]
    await until_asked(server, 2)
    for n in range(20):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(names.resolve(f"dropped{n}"), 0.001)
    assert len(names._look_ups) == 2
    waiting = asyncio.ensure_future(names.resolve("waits"))
    await asyncio.sleep(0)
    server.answered.set()
    assert [found["host"] for found in await waiting] == ["127.0.0.1"]
    await asyncio.gather(*hanging)
    assert server.asked[2:] == ["waits"]
    assert (names._running, names._look_ups) == (0, {})


async def test_closing_fails_what_is_looked_up_and_begins_no_more(server: NameServer) -> None:
    names = Names(1, server)
    under_way = [asyncio.ensure_future(names.resolve(host)) for host in ("hangs", "waits")]
    await until_asked(server, 1)
    await names.close()
    for one in under_way:
        with pytest.raises(OSError, match="closed"):
            await asyncio.wait_for(one, 5)
    with pytest.raises(OSError, match="closed"):
        await names.resolve("later")
    server.answered.set()
    async with asyncio.timeout(10):
        while names._running:
            await asyncio.sleep(0.002)
    assert server.asked == ["hangs"]


async def test_a_system_without_a_thread_left_fails_the_look_up(
    server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = Names(1, server)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        with pytest.raises(OSError, match="no thread"):
            await names.resolve("well")
    assert await names.resolve("well")


async def test_closing_the_http_client_closes_its_look_ups(server: NameServer) -> None:
    before = look_up_threads()
    for n in range(5):
        http = GuardedHttp(get_addresses=server)
        with contextlib.suppress(Forbidden):  # once its name has been looked up
            await http.post(f"https://well{n}.example/", b"", {}, 0.2)
        names = http._names
        assert names is not None
        await http.close()
        with pytest.raises(OSError, match="closed"):
            await names.resolve("later")
    async with asyncio.timeout(10):
        while look_up_threads() > before:
            await asyncio.sleep(0.002)


STUCK = """
import asyncio, time
from alerts.notifiers.guarded import GuardedHttp, NotConnected

def stuck(*_, **__):
    time.sleep(600)

async def main():
    http = GuardedHttp(get_addresses=stuck)
    try:
        await http.post("https://hangs.example/", b"", {}, 0.2)
    except NotConnected as error:
        print(error)
    await http.close()

asyncio.run(main())
"""


def test_a_name_server_that_never_answers_does_not_delay_the_exit_of_the_process() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=30, check=True
    )
    assert ended.stdout == "timeout\n"
