"""What no client may send ends its session and nobody else's; what may have crossed is ignored."""

import asyncio
import contextlib
from typing import Any

import pytest

from realtime.fanout.socketio.dispatch import PARSE_ERROR
from tests.fanout.socketio.kit import BOTH, Ended, plain, reference, serving, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize(
    "message",
    [
        "",
        "abc",
        "7",
        '²["x"]',
        "2",
        "2{}",
        "2[]",
        "2[null]",
        "2[[1]]",
        "2[true]",
        '2abc["message-with-ack",1]',
        '21234567890123456["x"]',
        '2["x"',
        '2["x",NaN]',
        "2" + "[" * 50_000,
        '2["connect"]',
        '2["disconnect","me"]',
        '2["connect_error"]',
        '2/never,["x"]',
        "1/never,",
        '1{"a":1}',
        "3[1]",
        "31{}",
        "31",
        '4{"message":"mine"}',
        "0",
        "0/other,[1]",
        '0/other,"x"',
        "0/" + "n" * 200 + ",",
    ],
)
async def test_what_no_client_sends_ends_its_session_alone(transport: str, message: str) -> None:
    server = reference(namespaces="*")
    reasons: list[str] = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serving(server) as here:
        other, _ = await here.joined(namespace="/custom")
        client, _ = await here.joined(transport)
        await client.recv()
        with contextlib.suppress(Ended):
            await client.send(message, '2["message","after"]')
        assert await client.ended() == []
        async with asyncio.timeout(10):
            while not reasons:
                await asyncio.sleep(0.005)
        assert reasons == [PARSE_ERROR]
        await other.send('2/custom,1["message-with-ack"]')
        assert await other.texts(2) == ['2/custom,["auth",{}]', "3/custom,1[]"]


@pytest.mark.parametrize("first", ["1", '2["x"]', "31[]", "abc", '51-["x",{"_placeholder":true,"num":0}]'])
async def test_a_session_that_begins_with_anything_but_a_connect_ends(first: str) -> None:
    async with serving(reference()) as here:
        client = await here.client()
        await client.send(first)
        assert await client.ended() == []
        await settled(here.server)


@pytest.mark.parametrize("transport", BOTH)
async def test_leaving_one_namespace_leaves_the_others(transport: str) -> None:
    server = reference()
    reasons: list[Any] = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason), namespace="/custom")
    async with serving(server) as here:
        client, _ = await here.joined(transport)
        await client.recv()
        await client.join("/custom")
        assert await client.recv() == '2/custom,["auth",{}]'
        await client.send("1/custom,", '2/custom,["message","too late"]', '2["message","to main"]')
        assert await client.recv() == '2["message-back","to main"]'
        assert reasons == ["client disconnect"]
        await client.join("/custom")


async def test_what_crosses_a_disconnect_by_the_server_is_ignored() -> None:
    server = reference()
    reasons: list[Any] = []
    server.on("disconnect", lambda sid: reasons.append(sid))  # an old handler, without the reason
    async with serving(server) as here:
        client, sid = await here.joined()
        await client.recv()
        await server.disconnect(sid)
        await server.disconnect(sid)
        await client.send('2["message"]', "1", "31[]", '51-["x",{"_placeholder":true,"num":0}]', b"x")
        assert await client.recv() == "1"
        await client.join("/custom")
        assert reasons == [sid]


async def test_a_disconnect_handler_that_fails_does_not_keep_the_client() -> None:
    server = plain()

    @server.event
    async def disconnect(sid: str, reason: str) -> None:
        raise ZeroDivisionError

    async with serving(server) as here:
        client, sid = await here.joined()
        await server.disconnect(sid)
        assert await client.recv() == "1"
        await client.join()
        await client.close()
        await settled(server)


async def test_every_namespace_hears_that_the_session_has_ended() -> None:
    server = plain(namespaces="*")
    heard: list[Any] = []
    server.on("disconnect", lambda namespace, sid, reason: heard.append(namespace), namespace="*")
    async with serving(server) as here:
        client, _ = await here.joined(namespace="/a")
        await client.join("/b")
        await client.close()
        await settled(server)
        assert sorted(heard) == ["/a", "/b"]
