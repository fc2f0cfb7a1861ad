"""Handshakes and connects that come at once are served a few in each iteration of the event loop."""

import asyncio
from typing import Any

import pytest
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from realtime.fanout.engineio.pacing import PER_ITERATION
from realtime.fanout.socketio.server import TIMEOUT_SPREAD, Refusals
from tests.fanout.socketio.kit import BOTH, plain, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CROWD = 60


class Iterations:
    """Notes in which iteration of the running event loop something happened."""

    def __init__(self) -> None:
        self.number = 0
        self.noted: list[int] = []
        self._handle: asyncio.Handle
        self._next()

    def _next(self) -> None:
        self.number += 1
        self._handle = asyncio.get_running_loop().call_soon(self._next)

    def note(self) -> None:
        self.noted.append(self.number)

    @property
    def most(self) -> int:
        """The most that was noted in one iteration."""
        self._handle.cancel()
        return max(self.noted.count(number) for number in self.noted)


@pytest.mark.both_loops
async def test_connects_that_come_at_once_do_not_fill_one_iteration() -> None:
    server = plain()
    iterations = Iterations()

    @server.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        iterations.note()
        raise SocketRefused("no")

    async with serving(server) as here:
        clients = [await here.client() for _ in range(CROWD)]
        for client in clients:
            await client.send("0")
        for client in clients:
            assert await client.recv() == '4{"message":"no"}'
    assert len(iterations.noted) == CROWD
    assert iterations.most <= PER_ITERATION


@pytest.mark.parametrize("transport", BOTH)
async def test_handshakes_that_come_at_once_do_not_fill_one_iteration(transport: str) -> None:
    server = plain()
    iterations = Iterations()
    made = server.eio.generate_id

    def generate_id() -> str:
        iterations.note()
        return made()

    server.eio.generate_id = generate_id
    async with serving(server) as here:
        await asyncio.gather(*(here.client(transport) for _ in range(CROWD)))
    assert len(iterations.noted) == CROWD
    assert iterations.most <= PER_ITERATION


async def test_sessions_that_join_nothing_are_not_all_closed_at_the_same_time() -> None:
    server = plain(connect_timeout_s=1_000.0)
    async with serving(server) as here:
        begun_s = asyncio.get_running_loop().time()
        for _ in range(20):
            await here.client()
        left_s = [deadline.when() - begun_s for deadline in server._deadlines.values()]
    assert len(left_s) == 20
    assert all(1_000.0 <= left <= 1_010.0 + 1_000.0 * TIMEOUT_SPREAD for left in left_s)
    assert max(left_s) - min(left_s) > 100.0


async def test_the_pause_of_a_refused_session_depends_on_its_subscribers_others() -> None:
    asked: list[Refusals] = []

    def pause_s(refusals: Refusals, namespace: str, data: Any) -> float:
        asked.append(refusals)
        return 0.0

    server = plain(refusal_pause_s=pause_s)

    @server.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        raise SocketRefused("no")

    async with serving(server) as here:
        clients = [await here.client() for _ in range(5)]
        for client in clients:
            await client.send("0")
            await client.recv()
        assert asked == []
        await clients[0].send("0")
        await clients[0].recv()
        await clients[0].send("0")
        await clients[0].recv()
        for client in clients[1:4]:
            await client.close()
        while len(server.eio.sockets) > 2:
            await asyncio.sleep(0.001)
        await clients[4].send("0")
        await clients[4].recv()
    assert asked == [Refusals(1, 4), Refusals(2, 4), Refusals(1, 1)]
    while server.eio.sockets:
        await asyncio.sleep(0.001)
    assert not server._refused_sessions
    assert not server._refusals


async def test_connect_handlers_get_what_is_kept_of_the_request_and_no_more() -> None:
    server = plain(kept_environ=("REMOTE_ADDR", "HTTP_USER_AGENT", "HTTP_NONE"))
    seen: list[dict[str, Any]] = []
    server.on("connect", lambda sid, environ: seen.append(environ))
    async with serving(server) as here:
        client = await here.client()
        await client.join()
    assert [set(environ) for environ in seen] == [{"REMOTE_ADDR", "HTTP_USER_AGENT"}]
