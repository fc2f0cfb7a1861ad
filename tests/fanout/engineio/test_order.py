"""One message at a time where the receiver is to be awaited: in order, bounded; heartbeats and ends go on."""

import asyncio

import pytest

from realtime.fanout.engineio.backlog import BACKLOG_BYTES, BACKLOG_MESSAGES
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket
from tests.fanout.engineio.kit import PATIENCE_S, Raw, Server, masked, module_loop, serving, until

pytestmark = [module_loop, pytest.mark.both_loops]
MOST_READ_AT_ONCE_BYTES = 512 * 1024


class Gate:
    """A receiver that waits at ``open`` before it echoes."""

    def __init__(self, here: Server) -> None:
        self.open = asyncio.Event()
        self.done: list[str | bytes] = []
        here.answer = self.receive

    async def receive(self, socket: EngineSocket, message: str | bytes) -> None:
        await self.open.wait()
        await asyncio.sleep(0)
        self.done.append(message)
        socket.write(Frame(b"4" + (message if isinstance(message, bytes) else message.encode())))


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_messages_wait_their_turn_in_order(transport: str) -> None:
    async with serving() as here:
        gate = Gate(here)
        sent = [str(n) for n in range(40)]
        if transport == "polling":
            sid = await here.open()
            assert await here.post(sid, "\x1e".join("4" + n for n in sent)) == (200, "ok")
        else:
            raw = await Raw.websocket(here)
            raw.writer.write(b"".join(masked(b"4" + n.encode()) for n in sent))
        await until(lambda: here.heard, "the first")
        assert here.heard == ["0"]
        gate.open.set()
        await until(lambda: len(gate.done) == 40, "all")
        assert here.heard == gate.done == sent


async def test_one_client_that_waits_holds_up_no_other() -> None:
    async with serving() as here:
        gate = Gate(here)
        slow = await here.websocket()
        await slow.send_str("4slow")
        await until(lambda: here.heard, "the slow one's")
        here.answer = None
        quick = await here.websocket()
        await quick.send_str("4quick")
        assert await quick.receive_str(timeout=PATIENCE_S) == "4quick"
        assert gate.done == []
        gate.open.set()
        await slow.close()
        await quick.close()


async def test_a_flood_behind_a_slow_handler_stops_the_reading_and_loses_nothing() -> None:
    async with serving() as here:
        gate = Gate(here)
        raw = await Raw.websocket(here)
        (session,) = here.sockets.values()
        many, message = 400, masked(b"4" + b"x" * 20_000)

        async def flood() -> None:
            for _ in range(many):
                raw.writer.write(message)
                await raw.writer.drain()

        flooding = asyncio.ensure_future(flood())
        await until(lambda: session._backlog is not None and session._backlog.is_full, "the bound")
        for _ in range(50):
            await asyncio.sleep(0)
        assert session._backlog is not None
        assert len(session._backlog) * 20_000 < BACKLOG_BYTES + MOST_READ_AT_ONCE_BYTES
        assert not flooding.done()
        gate.open.set()

        async def read() -> None:
            for _ in range(many):
                await raw.frame()

        await asyncio.wait_for(read(), PATIENCE_S)
        await flooding
        assert len(gate.done) == many
        raw.close()


async def test_a_post_beyond_the_bound_waits_for_its_answer() -> None:
    async with serving() as here:
        gate = Gate(here)
        sid = await here.open()
        body = "\x1e".join(f"4{n}" for n in range(BACKLOG_MESSAGES * 3))
        posting = asyncio.ensure_future(here.post(sid, body))
        session = here.sockets[sid]
        await until(lambda: session._backlog is not None and session._backlog.is_full, "the bound")
        assert session._backlog is not None
        assert len(session._backlog) == BACKLOG_MESSAGES
        assert not posting.done()
        gate.open.set()
        assert await posting == (200, "ok")
        await until(lambda: len(gate.done) == BACKLOG_MESSAGES * 3, "all")
        assert gate.done == [str(n) for n in range(BACKLOG_MESSAGES * 3)]


async def test_heartbeats_and_the_clients_close_are_not_held_up() -> None:
    async with serving(ping_interval=0.05, ping_timeout=5) as here:
        Gate(here)
        socket = await here.websocket()
        await socket.send_str("4wait")
        await socket.send_str("4behind")
        for _ in range(3):
            assert await socket.receive_str(timeout=PATIENCE_S) == "2"
            await socket.send_str("3")
        await socket.send_str("1")
        await until(lambda: not here.sockets, "the end")
        assert here.heard == ["wait"]
        assert here.ended == [here.engine.reason.CLIENT_DISCONNECT]
        await socket.close()


async def test_a_handler_that_fails_is_followed_by_the_next_message() -> None:
    async with serving() as here:

        async def fails(socket: EngineSocket, message: str | bytes) -> None:
            raise ValueError("no")

        here.answer = fails
        socket = await here.websocket()
        for n in range(3):
            await socket.send_str(f"4{n}")
        await until(lambda: len(here.heard) == 3, "all")
        assert here.heard == ["0", "1", "2"]
        await socket.close()
