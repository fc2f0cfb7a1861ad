"""Binary packets: in and out, with and without acks, by both transports at once, and within bounds."""

import json
from typing import Any

import pytest
from socketio.packet import Packet

from realtime.fanout.socketio.dispatch import PARSE_ERROR, TOO_LARGE
from tests.fanout.socketio.kit import BOTH, plain, reference, serving, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

TWO = '["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
ONE, OTHER = bytes([1, 2, 3]), bytes(range(256)) * 3


@pytest.mark.parametrize("transport", BOTH)
async def test_a_binary_message_comes_back(transport: str) -> None:
    async with serving(reference()) as here:
        client, _ = await here.joined(transport)
        await client.recv()
        await client.send("52-" + TWO.replace("x", "message"), ONE, OTHER)
        assert await client.texts(3) == [
            '52-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            ONE,
            OTHER,
        ]


@pytest.mark.parametrize("transport", BOTH)
async def test_a_binary_message_with_an_ack_is_answered_in_kind(transport: str) -> None:
    async with serving(reference()) as here:
        client, _ = await here.joined(transport, "/custom")
        await client.recv()
        await client.send(f"52-/custom,789{TWO.replace('x', 'message-with-ack')}", ONE, b"")
        assert await client.texts(3) == [
            '62-/custom,789[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
            ONE,
            b"",
        ]


async def test_placeholders_stand_anywhere_and_may_repeat() -> None:
    server = plain()
    seen: list[Any] = []
    server.on("x", lambda sid, *args: seen.append(args))
    async with serving(server) as here:
        client, _ = await here.joined()
        mark = '{"_placeholder":true,"num":%d}'
        await client.send(f'52-1["x",{{"a":[{mark % 1}]}},{mark % 0},{mark % 1}]', ONE, OTHER)
        assert await client.recv() == "31[]"
        assert seen == [({"a": [OTHER]}, ONE, OTHER)]
        await client.send('50-2["x",{"_placeholder":false}]', '23["x"]')
        assert await client.texts(2) == ["32[]", "33[]"]


@pytest.mark.parametrize("transport", BOTH)
async def test_call_takes_a_binary_answer(transport: str) -> None:
    server = plain()
    heard: list[Any] = []
    async with serving(server) as here:
        client, sid = await here.joined(transport)
        await server.emit("q", {"deep": [bytearray(ONE)]}, to=sid, callback=lambda *args: heard.append(args))
        assert await client.texts(2) == ['51-1["q",{"deep":[{"_placeholder":true,"num":0}]}]', ONE]
        await client.send('62-1[{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]', ONE, OTHER)
        await client.send("0/other,")
        await client.recv()
        assert heard == [(OTHER, ONE)]


async def test_a_binary_broadcast_is_whole_for_members_of_both_transports() -> None:
    server = plain()
    async with serving(server) as here:
        clients = [(await here.joined(transport))[0] for transport in BOTH * 3]
        for number in range(20):
            await server.emit("b", (number, ONE, {"k": OTHER}))
        for client in clients:
            for number in range(20):
                first, second = ('{"_placeholder":true,"num":' + n + "}" for n in "01")
                text = f'52-["b",{number},{first},{{"k":{second}}}]'
                assert await client.texts(3) == [text, ONE, OTHER]


@pytest.mark.parametrize("transport", BOTH)
@pytest.mark.parametrize(
    "messages",
    [
        [ONE],
        ["51-" + TWO, ONE],
        ["52-" + TWO, '2["x"]'],
        ["52-" + TWO, ONE, '2["x"]'],
        ["52-" + TWO, ONE, "1"],
        ['51-["x",{"_placeholder":true,"num":-1}]', ONE],
        ['51-["x",{"_placeholder":true,"num":1.0}]', ONE],
        ['51-["x",{"_placeholder":true,"num":true}]', ONE],
        ['51-["x",{"_placeholder":true}]', ONE],
        ['5["x"]'],
        ['5-["x"]'],
        ['5x-["x"]'],
        ['5²-["x"]'],
        ['51-{"a":1}'],
        ["61-[]"],
        ['51-/other,["x"]'],
    ],
)
async def test_binary_that_no_client_sends_ends_the_session(transport: str, messages: list[Any]) -> None:
    server = plain()
    reasons: list[str] = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serving(server) as here:
        client, _ = await here.joined(transport)
        await client.send(*messages)
        assert await client.ended() == []
        await settled(server)
        assert reasons == [PARSE_ERROR]


@pytest.mark.parametrize("messages", [['54-["x"]'], ['599999-["x"]'], ["52-" + TWO, b"x" * 600, b"x" * 600]])
async def test_binary_beyond_its_bounds_ends_the_session_and_says_so(messages: list[Any]) -> None:
    server = plain(max_attachments=3, max_binary_bytes=1_000)
    reasons: list[str] = []
    server.on("disconnect", lambda sid, reason: reasons.append(reason))
    async with serving(server) as here:
        client, _ = await here.joined()
        other, _ = await here.joined()
        await client.send(*messages)
        assert await client.ended() == []
        while not reasons:
            await other.send("0/other,")
            await other.recv()
        assert reasons == [TOO_LARGE]


async def test_a_serializer_of_the_applications_own_is_used() -> None:
    class Whole(Packet):  # type: ignore[misc]
        """Every packet is one binary message, as with MessagePack."""

        uses_binary_events = False

        def encode(self) -> bytes:
            return json.dumps(self._to_dict()).encode()

        def decode(self, encoded_packet: bytes) -> None:
            decoded = json.loads(encoded_packet)
            self.packet_type, self.namespace = decoded["type"], decoded["nsp"]
            self.data, self.id = decoded.get("data"), decoded.get("id")

    server = plain(serializer=Whole)
    server.on("x", lambda sid, *args: args)
    async with serving(server) as here:
        client = await here.client()
        await client.send(b'{"type":0,"nsp":"/"}')
        answer = json.loads(await client.recv())
        assert (answer["type"], set(answer["data"])) == (0, {"sid"})
        await client.send(b'{"type":2,"nsp":"/","data":["x",1],"id":5}')
        assert json.loads(await client.recv()) == {"type": 3, "nsp": "/", "data": [1], "id": 5}
        await client.send(b"{")
        assert await client.ended() == []
