"""Sessions over polling and websocket: order, ends, bounds, and nothing left behind."""

import asyncio
import gc
import json
import shutil
import socket as plain_socket
from pathlib import Path

import pytest
from aiohttp import WSMsgType

from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import HARD_LIMIT_FACTOR, EngineSocket
from tests.fanout.kit import NS, PATIENCE_S, engine, until

PEER = Path(__file__).with_name("peer.mjs")
NODE_MODULES = Path(__file__).parents[1] / "node" / "node_modules" / "socket.io-client"


def numbered(*numbers: int) -> str:
    return "\x1e".join(f'42{NS},{n}["echo",{n}]' for n in numbers)


def acks(packets: list[str]) -> list[int]:
    start = f"43{NS},"
    return [int(p[len(start) :].partition("[")[0]) for p in packets if p.startswith(start)]


@pytest.mark.engines
@pytest.mark.parametrize(
    ("transports", "transport"),
    [("websocket", "websocket"), ("polling", "polling"), ("polling,websocket", "websocket")],
)
async def test_the_official_client_is_answered_in_order_by_every_transport(
    transports: str, transport: str
) -> None:
    node = shutil.which("node")
    assert node and NODE_MODULES.is_dir(), "run `npm ci` in tests/node"
    async with engine() as here:
        process = await asyncio.create_subprocess_exec(
            node, str(PEER), f"http://127.0.0.1:{here.port}", transports, "600",
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = json.loads(out)
        assert process.returncode == 0, said
        assert said["answered"] >= 600
        assert said["transport"] == transport
        assert here.router.seen == list(range(len(here.router.seen)))
        await until(lambda: not here.sockets, "the session's end")


async def test_a_post_in_pieces_is_read_whole() -> None:
    async with engine() as here:
        sid = await here.polling()
        body = numbered(*range(40)).encode()
        head = (
            f"POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(head.encode() + body[:7])
        await writer.drain()
        for at in range(7, len(body), 100):
            writer.write(body[at : at + 100])
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        assert acks(await here.poll(sid)) == list(range(40))


async def test_a_chunked_post_is_read_whole() -> None:
    async with engine() as here:
        sid = await here.polling()

        async def parts():  # type: ignore[no-untyped-def]
            for n in range(3):
                yield (("\x1e" if n else "") + numbered(n)).encode()

        async with here.http.post(f"{here.url}&transport=polling&sid={sid}", data=parts()) as response:
            assert response.status == 200
        assert acks(await here.poll(sid)) == [0, 1, 2]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"x",
        b"0",
        b"0{}",
        b"2",
        b"9",
        b"4a\x1e\x1e",
        b"0" + b"[" * 50_000,
        b"d=4x",
        b"x" * (257 * 1024),
    ],
)
async def test_a_post_no_client_sends_is_400_and_ends_the_session(body: bytes) -> None:
    async with engine(max_http_buffer_size=256 * 1024) as here:
        sid, other = await here.polling(), await here.polling()
        assert await here.post(sid, body) == 400
        await until(lambda: sid not in here.sockets, "the session's end")
        assert await here.post(sid, "3") == 400
        assert await here.post(other, numbered(1)) == 200
        assert acks(await here.poll(other)) == [1]


@pytest.mark.parametrize(
    "message", ["4", "4[1,2]", "4{}", "4null", '4"x"', "4" + "[" * 50_000, "4b", "bAAAA", "b$"]
)
async def test_a_message_that_is_no_packet_ends_nothing(message: str) -> None:
    async with engine() as here:
        sid = await here.polling()
        assert await here.post(sid, message) == 200
        assert await here.post(sid, numbered(1)) == 200
        assert acks(await here.poll(sid)) == [1]


@pytest.mark.parametrize("query", ["sid=nobody", "sid=w1.", "sid=%00", "transport=carrier-pigeon&sid=x"])
async def test_an_unknown_session_is_400(query: str) -> None:
    async with engine() as here:
        for request in (here.http.get, here.http.post):
            async with request(f"{here.url}&transport=polling&{query}") as response:
                assert response.status == 400


async def test_a_body_that_never_comes_ends_its_session_alone() -> None:
    async with engine(ping_interval=0.3, ping_timeout=0.3) as here:
        sid = await here.polling()
        _, writer = await asyncio.open_connection("127.0.0.1", here.port)
        path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
        writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n4".encode())
        await until(lambda: sid not in here.sockets, "the session's end")
        writer.close()
        await here.polling()


async def test_order_is_kept_across_the_upgrade_while_messages_flow() -> None:
    async with engine() as here:
        sid = await here.polling()
        session = here.sockets[sid]
        wanted = iter(range(10_000))

        def push(many: int) -> None:
            for _ in range(many):
                session.write(frames.event(NS, "n", str(next(wanted)).encode()))

        async def flow() -> None:
            while True:
                push(3)
                await asyncio.sleep(0)

        heard: list[int] = []

        def take(packets: list[str]) -> None:
            start = f'42{NS},["n",'
            heard.extend(int(p[len(start) : -1]) for p in packets if p.startswith(start))

        flowing = asyncio.ensure_future(flow())
        take(await here.poll(sid))
        probe = await here.websocket(sid)
        await probe.send_str("2probe")
        pending = asyncio.ensure_future(here.poll(sid))
        assert await probe.receive_str(timeout=PATIENCE_S) == "3probe"
        take(await pending)
        await probe.send_str("5")
        await until(lambda: session.wire is not None, "the upgrade")
        push(50)
        flowing.cancel()
        last = next(wanted) - 1
        while not heard or heard[-1] < last:
            take([await probe.receive_str(timeout=PATIENCE_S)])
        assert heard == list(range(last + 1))
        await probe.close()


async def test_a_session_is_upgraded_by_one_websocket_only() -> None:
    async with engine() as here:
        sid = await here.polling()
        first, second = await here.websocket(sid), await here.websocket(sid)
        for probe in (first, second):
            await probe.send_str("2probe")
        answers = [await each.receive(timeout=PATIENCE_S) for each in (first, second)]
        assert sorted(a.type is WSMsgType.TEXT for a in answers) == [False, True]
        winner = first if answers[0].type is WSMsgType.TEXT else second
        await winner.send_str("5")
        await winner.send_str(numbered(7))
        said = await winner.receive_str(timeout=PATIENCE_S)
        while said == "6":
            said = await winner.receive_str(timeout=PATIENCE_S)
        assert acks([said]) == [7]
        await winner.close()
        await until(lambda: not here.sockets, "the session's end")


@pytest.mark.parametrize("words", [[], ["2probe"], ["hello"], ["2probe", "6"], ["5"]])
async def test_a_websocket_that_does_not_finish_its_upgrade_does_not_stay(words: list[str]) -> None:
    async with engine(ping_interval=0.4, ping_timeout=0.4) as here:
        sid = await here.polling()
        probe = await here.websocket(sid)
        for word in words:
            await probe.send_str(word)
        async with asyncio.timeout(PATIENCE_S):
            async for _ in probe:
                pass
        assert probe.closed


async def test_who_does_not_answer_a_ping_is_gone() -> None:
    async with engine(ping_interval=0.2, ping_timeout=0.2) as here:
        silent = await here.websocket()
        polling = await here.polling()
        assert await silent.receive_str(timeout=PATIENCE_S) == "2"
        await until(lambda: not here.sockets, "the end of both")
        assert polling not in here.sockets
        async with asyncio.timeout(PATIENCE_S):
            async for _ in silent:
                pass


async def test_who_answers_pings_stays() -> None:
    async with engine(ping_interval=0.05, ping_timeout=5) as here:
        client = await here.websocket()
        for _ in range(5):
            assert await client.receive_str(timeout=PATIENCE_S) == "2"
            await client.send_str("3")
        await client.send_str(numbered(1))
        said = await client.receive_str(timeout=PATIENCE_S)
        while said == "2":
            said = await client.receive_str(timeout=PATIENCE_S)
        assert acks([said]) == [1]
        await client.close()


async def test_connect_and_say_nothing_is_closed() -> None:
    async with engine(connect_timeout_s=0.2, close_grace_s=0.2) as here:
        quiet = await here.http.ws_connect(f"{here.url}&transport=websocket")
        joined = await here.websocket()
        async with here.http.get(f"{here.url}&transport=polling") as response:
            assert response.status == 200
        async with asyncio.timeout(PATIENCE_S):
            async for _ in quiet:
                pass
        await until(lambda: len(here.sockets) == 1, "only who joined")
        await joined.send_str(numbered(1))
        assert acks([await joined.receive_str(timeout=PATIENCE_S)]) == [1]
        await joined.close()


async def test_a_polling_client_that_never_polls_is_bounded() -> None:
    limit = 16 * 1024
    async with engine(buffer_limit_bytes=limit) as here:
        sid = await here.polling()
        session = here.sockets[sid]
        frame = frames.event(NS, "n", frames.json_bytes("x" * 1_000))
        most = 0
        while not session.is_leaving and most < limit * HARD_LIMIT_FACTOR * 4:
            session.write(frame)
            most = max(most, session.buffered_bytes)
            await asyncio.sleep(0)
        assert session.is_leaving
        assert most <= limit * HARD_LIMIT_FACTOR + len(frame.packet)
        await until(lambda: sid not in here.sockets, "the session's end")


async def test_a_client_that_asks_and_never_reads_is_cut_off() -> None:
    """With a raw socket whose kernel buffers are small, so that what it does not read stays ours."""
    limit = 16 * 1024
    async with engine(buffer_limit_bytes=limit) as here:
        raw = plain_socket.socket()
        raw.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(raw, ("127.0.0.1", here.port))
        upgrade = (
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await loop.sock_sendall(raw, upgrade.encode() + masked(f"40{NS},"))
        await until(lambda: here.sockets, "the session")
        session = next(iter(here.sockets.values()))
        other = await here.websocket()
        most = 0
        ask = masked(f'42{NS},1["pour",30000]')
        try:
            while not session.closed:
                await loop.sock_sendall(raw, ask)
                most = max(most, session.buffered_bytes)
                await asyncio.sleep(0.001)
        except OSError:
            pass  # cut off
        await until(lambda: session.closed, "the cut")
        assert most <= limit * HARD_LIMIT_FACTOR + 31_000
        raw.close()
        await other.send_str(numbered(1))
        assert acks([await other.receive_str(timeout=PATIENCE_S)]) == [1]
        await other.close()


def masked(text: str) -> bytes:
    """``text`` as a client's websocket frame with a mask of zeros."""
    payload = text.encode()
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload


async def test_the_servers_close_reaches_a_polling_client_that_polls() -> None:
    async with engine() as here:
        sid = await here.polling()
        session = here.sockets[sid]
        pending = asyncio.ensure_future(here.poll(sid))
        await until(lambda: session.outbox and session.outbox.is_polled, "the poll")
        session.write(frames.event(NS, "closing"))
        await session.close(wait=False)
        said = await pending
        if said[-1] != "1":
            said += await here.poll(sid)
        assert said == [f'42{NS},["closing"]', "1"]
        await until(lambda: not here.sockets, "the session's end")


@pytest.mark.usefixtures("young_heap")
@pytest.mark.parametrize("goodbye", ["polite", "rude"])
async def test_hundreds_of_visits_leave_nothing_behind(goodbye: str) -> None:
    async with engine() as here:
        await (await here.websocket()).close()
        await until(lambda: not here.sockets, "an empty server")
        gc.collect()
        tasks = len(asyncio.all_tasks())

        async def visit(number: int) -> None:
            if number % 5 == 0:
                sid = await here.polling()
                await here.post(sid, numbered(1))
                await here.poll(sid)
                await here.post(sid, "1")
                return
            client = await here.websocket()
            await client.send_str(numbered(1))
            await client.receive_str(timeout=PATIENCE_S)
            if goodbye == "polite":
                await client.send_str(f"41{NS},")
                await client.close()
            else:
                transport = client._writer.transport  # type: ignore[attr-defined]
                transport.abort()

        for start in range(0, 250, 25):
            await asyncio.gather(*(visit(n) for n in range(start, start + 25)))
        await until(lambda: not here.sockets, "an empty server")
        server = here.server
        assert server._deadlines == {}
        assert server.environ == {}
        assert server.manager.rooms == {}
        assert server.manager.pending_connect == {}
        assert server.manager.pending_disconnect == {}
        await until(lambda: not server.eio._tasks, "no background task")
        await until(lambda: len(asyncio.all_tasks()) <= tasks, "no task left")
        gc.collect()
        left = [o for o in gc.get_objects() if isinstance(o, EngineSocket) and o.server is server.eio]
        assert len(left) <= 2, left
