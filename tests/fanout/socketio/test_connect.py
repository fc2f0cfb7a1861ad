"""Joining a namespace: the official test-suite's cases, refusals, and what is said before one is let in."""

import asyncio
import json
from typing import Any

import pytest
from socketio import AsyncNamespace
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from tests.fanout.socketio.kit import BOTH, plain, reference, serving, settled

WEBSOCKET_REQUEST = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize(
    ("connect", "prefix", "said"),
    [
        ("0", "0", '2["auth",{}]'),
        ('0{"token":"123"}', "0", '2["auth",{"token":"123"}]'),
        ("0/custom,", "0/custom,", '2/custom,["auth",{}]'),
        ("0/custom", "0/custom,", '2/custom,["auth",{}]'),
        ('0/custom,{"token":"abc"}', "0/custom,", '2/custom,["auth",{"token":"abc"}]'),
        ("0/custom?token=in-vain,", "0/custom,", '2/custom,["auth",{}]'),
    ],
)
async def test_a_client_joins_and_hears_its_sid_before_anything_else(
    transport: str, connect: str, prefix: str, said: str
) -> None:
    async with serving(reference()) as here:
        client = await here.client(transport)
        await client.send(connect)
        answer = await client.recv()
        assert isinstance(answer, str)
        assert answer.startswith(prefix)
        assert set(json.loads(answer[len(prefix) :])) == {"sid"}
        assert await client.recv() == said


async def test_what_a_connect_handler_emits_comes_by_a_later_write_than_the_connect() -> None:
    """A client that attaches a listener for each message misses the second message of one read."""
    async with serving(reference()) as here:
        reader, writer = await asyncio.open_connection("127.0.0.1", here.port)
        writer.write(WEBSOCKET_REQUEST)
        await reader.readuntil(b"}")  # the opening packet
        writer.write(b"\x81\x82\x00\x00\x00\x0040")
        first = await reader.read(65_536)
        assert b'40{"sid"' in first
        assert b"auth" not in first
        assert b'42["auth",{}]' in await reader.read(65_536)
        writer.close()


async def test_an_answer_does_not_overtake_what_the_connect_handler_emitted() -> None:
    async with serving(reference()) as here:
        client = await here.client()
        await client.send("0", '2["message-with-ack",1]', '27["message-with-ack",1]')
        said = [str(await client.recv()) for _ in range(3)]
        assert said[0].startswith('0{"sid"')
        assert said[1:] == ['2["auth",{}]', "37[1]"]


async def test_a_session_that_is_closed_at_once_still_hears_what_was_emitted() -> None:
    server = reference()

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("last", {}, to=sid)

    server.on("connect", connect)
    async with serving(server) as here:
        client, sid = await here.joined()
        await server.disconnect(sid)
        assert [await client.recv() for _ in range(2)] == ['2["last",{}]', "1"]


@pytest.mark.parametrize("transport", BOTH)
async def test_an_unknown_namespace_is_refused_and_another_may_follow(transport: str) -> None:
    async with serving(reference()) as here:
        client = await here.client(transport)
        await client.send("0/random")
        assert await client.recv() == '4/random,{"message":"Invalid namespace"}'
        await client.join("/custom")


@pytest.mark.parametrize(
    ("namespaces", "joins"), [("*", ["/", "/any"]), (["/a"], ["/a"]), (None, ["/"]), (["/b"], ["/b"])]
)
async def test_namespaces_without_handlers_are_those_the_option_names(
    namespaces: Any, joins: list[str]
) -> None:
    async with serving(plain(namespaces=namespaces)) as here:
        for namespace in joins:
            client = await here.client()
            await client.join(namespace)
        if namespaces != "*":
            await client.send("0/other,")
            assert await client.recv() == '4/other,{"message":"Invalid namespace"}'


@pytest.mark.parametrize("always", [False, True])
@pytest.mark.parametrize(
    ("refuse", "told"),
    [
        (lambda: False, '{"message":"Connection rejected by server"}'),
        (SocketRefused, '{"message":"Connection rejected by server"}'),
        (lambda: SocketRefused("no"), '{"message":"no"}'),
        (lambda: SocketRefused("no", {"code": 7}), '{"message":"no","data":{"code":7}}'),
        (lambda: SocketRefused("no", 1, 2), '{"message":"no","data":[1,2]}'),
        (lambda: ConnectionRefusedError("secret"), '{"message":"Connection refused by server"}'),
        (lambda: ZeroDivisionError("secret"), '{"message":"Internal server error"}'),
    ],
)
async def test_a_refusal_says_why_and_leaves_nothing_behind(always: bool, refuse: Any, told: str) -> None:
    server = plain(always_connect=always)
    left: list[str] = []

    @server.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> Any:
        await server.enter_room(sid, "hall")
        await server.emit("secret", to=sid)
        outcome = refuse()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    server.on("disconnect", lambda sid, reason: left.append(reason))
    async with serving(server) as here:
        client = await here.client()
        await client.send("0")
        if always:
            assert str(await client.recv()).startswith('0{"sid":')
            assert await client.texts(2) == ['2["secret"]', "1"]
        else:
            assert await client.recv() == "4" + told
        assert server.manager.rooms == {}
        assert left == []
        await client.close()
        await settled(server)
        assert left == []


async def test_what_is_sent_while_the_handler_decides_waits_for_its_answer() -> None:
    """Authentication takes time: neither the packets of the client nor those for it overtake it."""
    server = reference()
    decide = asyncio.Event()

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("early", to=sid, namespace="/slow")
        await decide.wait()

    async def ask(sid: str) -> str:
        return "answer"

    server.on("connect", connect, namespace="/slow")
    server.on("ask", ask, namespace="/slow")
    async with serving(server) as here:
        client, other = await here.client(), await here.client()
        await client.send("0/slow,", '2/slow,1["ask"]')
        while not server.manager.members_in("/slow", None):
            await asyncio.sleep(0.001)
        await other.join()
        await server.emit("to all", namespace="/slow")
        decide.set()
        said = await client.texts(3)
        assert str(said[0]).startswith('0/slow,{"sid":')
        assert said[1:] == ['2/slow,["early"]', '3/slow,1["answer"]']


@pytest.mark.both_loops
async def test_who_is_told_too_much_before_it_is_let_in_is_cut_off() -> None:
    server = plain(buffer_limit_bytes=10_000)

    @server.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        for _ in range(12):
            await server.emit("much", "x" * 1_000, to=sid)

    async with serving(server) as here:
        client = await here.client()
        await client.send("0")
        assert await client.ended() == []
        await settled(server)
        assert server.manager.rooms == {}


async def test_who_leaves_while_the_handler_decides_is_said_goodbye_once_it_was_accepted() -> None:
    server = plain(connect_timeout_s=0.2)
    decide, events = asyncio.Event(), []

    @server.event
    async def connect(sid: str, environ: dict[str, Any]) -> None:
        events.append("connect")
        await decide.wait()

    @server.event
    def disconnect(sid: str, reason: str) -> None:
        events.append(reason)

    async with serving(server) as here:
        client = await here.client()
        await client.send("0")
        while not events:
            await asyncio.sleep(0.001)
        await client.close()
        while server.eio.sockets:
            await asyncio.sleep(0.001)
        assert events == ["connect"]
        decide.set()
        await settled(server)
        assert len(events) == 2
        assert events[1] != "client disconnect"
        assert server.manager.rooms == {}


async def test_handlers_may_take_credentials_or_not() -> None:
    server = plain()
    seen: list[Any] = []
    server.on("connect", lambda sid, environ: seen.append("old"), namespace="/old")
    server.on("connect", lambda sid, environ, auth: seen.append(auth), namespace="/new")

    class Rooms(AsyncNamespace):
        async def on_connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
            seen.append(("class", auth))

    server.register_namespace(Rooms("/class"))
    async with serving(server) as here:
        client = await here.client()
        await client.join("/old")
        await client.join("/new")
        await client.join("/class", '{"a":1}')
        assert seen == ["old", None, ("class", {"a": 1})]
        await client.send('0/third,{"a":1}')
        assert await client.recv() == '4/third,{"message":"Invalid namespace"}'


@pytest.mark.both_loops
async def test_a_session_that_is_in_no_namespace_in_time_is_closed() -> None:
    server = reference(connect_timeout_s=0.15)
    async with serving(server) as here:
        silent, refused, left, stays = [await here.client() for _ in range(4)]
        await refused.send("0/random")
        await left.join()
        await left.send("1")
        await stays.join("/custom")
        for client in (silent, refused, left):
            await client.ended()
        await stays.send('2/custom,5["message-with-ack"]')
        assert await stays.texts(2) == ['2/custom,["auth",{}]', "3/custom,5[]"]
        assert len(server.eio.sockets) == 1


async def test_the_second_connect_of_a_namespace_ends_the_session() -> None:
    async with serving(reference()) as here:
        client, _ = await here.joined()
        await client.send("0")
        assert await client.ended() == ['2["auth",{}]']
