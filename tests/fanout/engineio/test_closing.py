"""Every way a session ends, from either side, on both transports."""

import asyncio
import gc
import weakref

import aiohttp
import pytest
from aiohttp import WSMsgType

from realtime.fanout.engineio.frames import Frame
from tests.fanout.engineio.kit import PATIENCE_S, Raw, masked, module_loop, serving, until

pytestmark = [module_loop, pytest.mark.both_loops]


async def test_a_polling_client_that_closes_has_its_pending_poll_ended_well() -> None:
    async with serving() as here:
        sid = await here.open()
        pending = await here.polled(sid)
        assert await here.post(sid, "1") == (200, "ok")
        assert await pending == (200, "6")
        await until(lambda: not here.sockets, "the end")
        assert (await here.poll(sid))[0] == 400
        assert here.ended == [here.engine.reason.CLIENT_DISCONNECT]


async def test_the_packets_behind_a_close_are_not_heard() -> None:
    async with serving() as here:
        sid = await here.open()
        assert (await here.post(sid, "4a\x1e1\x1e4b"))[0] == 200
        assert here.heard == ["a"]
        await until(lambda: not here.sockets, "the end")


async def test_a_websocket_client_that_closes_by_packet_is_closed() -> None:
    async with serving() as here:
        socket = await here.websocket()
        await socket.send_str("1")
        async for message in socket:
            pytest.fail(f"heard {message}")
        await until(lambda: not here.sockets, "the end")
        assert here.ended == [here.engine.reason.CLIENT_DISCONNECT]


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
async def test_a_websocket_close_is_answered_with_its_code(code: int) -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.write(masked(code.to_bytes(2, "big") + b"bye", 0x88))
        assert await raw.frame() == (0x88, code.to_bytes(2, "big"))
        assert await raw.ended() == b""
        await until(lambda: here.ended, "the end")
        assert here.ended == [here.engine.reason.TRANSPORT_CLOSE]
        raw.close()


@pytest.mark.parametrize("rudely", [False, True])
async def test_a_connection_that_ends_without_a_word_ends_the_session(rudely: bool) -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        raw.writer.transport.abort() if rudely else raw.writer.write_eof()
        await until(lambda: not here.sockets, "the end")
        assert here.ended == [here.engine.reason.TRANSPORT_CLOSE]
        raw.close()


async def test_the_servers_close_says_so_and_waits_for_the_clients_half() -> None:
    async with serving() as here:
        raw = await Raw.websocket(here)
        (session,) = here.sockets.values()
        session.write(Frame(b"4last"))
        await session.close()
        assert session.closed
        session.write(Frame(b"4too late"))
        assert [await raw.frame(), await raw.frame(), await raw.frame()] == [
            (0x81, b"4last"),
            (0x81, b"1"),
            (0x88, (1000).to_bytes(2, "big")),
        ]
        assert len(here.engine.closing_websockets) == 1
        raw.writer.write(masked(b"4crossed") + masked((1000).to_bytes(2, "big"), 0x88))
        assert await raw.ended() == b""
        assert here.heard == []
        await until(lambda: not len(here.engine.closing_websockets), "nothing is kept")
        raw.close()


async def test_a_client_that_never_ends_its_half_is_cut_off() -> None:
    async with serving(close_grace_s=0.2) as here:
        raw = await Raw.websocket(here)
        (session,) = here.sockets.values()
        await session.close()
        assert b"\x88\x02\x03\xe8" in await raw.ended()
        assert not len(here.engine.closing_websockets)
        raw.close()


async def test_a_second_poll_at_once_ends_the_session() -> None:
    async with serving() as here:
        sid = await here.open()
        pending = await here.polled(sid)
        assert (await here.poll(sid))[0] == 400
        assert await pending == (200, "1")
        assert (await here.poll(sid))[0] == 400
        assert not here.sockets


async def test_a_second_post_at_once_ends_the_session() -> None:
    async with serving() as here:
        sid = await here.open()
        raw = await Raw.to(here.port)
        head = f"POST /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
        raw.writer.write(f"{head}Content-Length: 2\r\n\r\n4".encode())
        await until(lambda: here.sockets[sid].is_posting, "the first post")
        assert (await here.post(sid, "4b"))[0] == 400
        await until(lambda: not here.sockets, "the end")
        assert here.heard == []
        raw.close()


async def test_a_poll_that_its_client_gives_up_ends_the_session() -> None:
    async with serving() as here:
        sid = await here.open()
        pending = await here.polled(sid)
        pending.cancel()
        await until(lambda: not here.sockets, "the end")
        assert here.ended == [here.engine.reason.TRANSPORT_ERROR]
        assert (await here.poll(sid))[0] == 400


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_a_disconnect_handler_that_fails_leaves_nothing(transport: str) -> None:
    async with serving() as here:

        async def fails(sid: str, reason: str) -> None:
            raise ValueError(reason)

        here.engine.on("disconnect", fails)
        if transport == "polling":
            await here.post(await here.open(), "1")
        else:
            await (await here.websocket()).close()
        await until(lambda: not here.sockets and not here.engine._tasks, "the end")


@pytest.mark.usefixtures("young_heap")
@pytest.mark.parametrize("way", ["client", "server", "abort", "vanish", "poll"])
async def test_nothing_survives_the_end(way: str) -> None:
    async with serving() as here:
        sid = ""
        socket: aiohttp.ClientWebSocketResponse | None = None
        if way == "poll":
            sid = await here.open()
        else:
            socket = await here.websocket()
        (session,) = here.sockets.values()
        session.write(Frame(b"4" + b"x" * 1_000))
        kept = weakref.ref(session)
        connection = weakref.ref(session._websocket) if session._websocket is not None else lambda: None
        if way in ("server", "abort"):
            await session.close(abort=way == "abort")
        del session
        if way == "poll":
            await here.post(sid, "1")
        elif socket is not None and way == "vanish":
            transport = socket._writer.transport  # type: ignore[attr-defined]
            transport.abort()
        elif socket is not None:
            await socket.close()
        await until(lambda: not here.sockets and not here.engine._tasks, "the end")
        if socket is not None:
            await socket.close()

        def is_gone() -> bool:
            gc.collect()
            return kept() is None and connection() is None

        await until(is_gone, "nothing kept")
        engine = here.engine
        lines = (engine.quiet, engine.unanswered, engine.farewells, engine.probes, engine.closing_websockets)
        assert [len(line) for line in lines] == [0] * 5


async def test_when_the_application_stops_every_connection_ends() -> None:
    async with serving() as here:
        direct = await here.websocket()
        sid = await here.open()
        pending = await here.polled(sid)
        probe = await here.websocket(sid)
        await here.runner.cleanup()
        for socket in (direct, probe):
            assert (await socket.receive(timeout=PATIENCE_S)).type in (
                WSMsgType.CLOSED, WSMsgType.CLOSE, WSMsgType.ERROR,
            )  # fmt: skip
        assert not here.sockets
        done, _ = await asyncio.wait([pending], timeout=PATIENCE_S)
        assert done
        pending.exception()
