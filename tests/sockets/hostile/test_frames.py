"""What is no event: text, bytes and packets that no client sends."""

import json

import pytest

from tests.sockets.hostile.kit import World, code
from tests.sockets.kit import Raw, good


@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
@pytest.mark.parametrize(
    "event", ["nope", "connect", "disconnect", "__proto__", "", "\0", "x" * 10_000, "mayday"]
)
async def test_an_event_nobody_knows_is_said_to_be_unknown(world: World, namespace: str, event: str) -> None:
    client = world.driver if namespace == "/driver" else world.viewer
    assert code(await client.ask(namespace, event, {})) == "unknown_event"


@pytest.mark.parametrize(
    "body", ["[]", "[5]", "[null,{}]", "{}", '"x"', "", "[[]]", '["positions"', "nonsense"]
)
async def test_an_event_without_a_name_is_malformed(world: World, body: str) -> None:
    answer = json.loads(await world.driver.ask_text("/driver", body))[0]
    assert code(answer) == "malformed"


async def test_events_before_connect_and_to_other_namespaces_are_not_let_in(world: World) -> None:
    raw = await world.server.raw()
    before = await world.before()
    for namespace in ("/driver", "/watch", "/admin", "/" + "x" * 60):
        assert code(await raw.ask(namespace, "positions", {})) == "unauthenticated"
    assert json.loads(await _root_ack(raw))[0]["error"]["code"] == "unauthenticated"
    await world.unchanged(before)


async def _root_ack(raw: Raw) -> str:
    await raw.say('421["x"]')
    return await raw.packet("431")


@pytest.mark.parametrize("namespace", ["/admin", "/driver/x", "/DRIVER", "/%2e", "/" + "n" * 100])
async def test_a_namespace_nobody_knows_is_invalid(world: World, namespace: str) -> None:
    raw = await world.server.raw()
    await raw.say(f"40{namespace},{{}}")
    assert json.loads(await raw.packet(f"44{namespace},")) == {"message": "Invalid namespace"}


async def test_binary_is_refused_and_what_follows_is_served(world: World) -> None:
    before = await world.before()
    raw = await world.server.driver("binary")
    await raw.socket.send_bytes(b"\x00\x01\x02")
    await raw.say('451-/driver,9["positions",{"_placeholder":true,"num":0}]')
    await raw.socket.send_bytes(b"\x04anything")
    assert code(json.loads(await raw.packet("43/driver,9"))[0]) == "binary_refused"
    await raw.say("461-/driver,9[]")
    await raw.say("bAAAA")
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    after = await world.before()
    assert after["journey_points"] == before["journey_points"]
    await world.others_are_served()


async def test_a_frame_of_257_kib_ends_the_connection_with_1009(world: World) -> None:
    before = await world.before()
    raw = await world.server.raw()
    await raw.say("4" + "x" * (257 * 1024))
    assert await raw.has_ended() == 1009
    await world.unchanged(before)


async def test_text_that_is_no_utf8_ends_the_connection(world: World) -> None:
    raw = await world.server.raw()
    transport = raw.socket._writer.transport  # type: ignore[attr-defined]
    transport.write(b"\x81\x84\0\0\0\0\xff\xfe\xfd\xfc")
    assert await raw.has_ended() in {1007, 1006, 1002}
    await world.others_are_served()


async def test_an_unmasked_position_is_not_stored_and_ends_the_connection_with_1002(world: World) -> None:
    before = await world.before()
    driver = await world.server.driver("d1")  # the one of the world is for the other tests
    body = json.dumps(["positions", {"journey_id": world.journey, "points": [good(4)]}])
    packet = f"42/driver,77{body}".encode()
    assert 125 < len(packet) < 65_536
    driver.socket._writer.transport.write(  # type: ignore[attr-defined]
        b"\x81\x7e" + len(packet).to_bytes(2, "big") + packet
    )
    assert await driver.has_ended() == 1002
    await world.unchanged(before)


@pytest.mark.parametrize(
    "text", ["", "9", "x", "0{}", "0" + "[" * 50_000, "2probe", "5", "6", "2" * 100_000, "-1", "٣"]
)
async def test_an_engine_packet_no_client_sends_ends_the_connection(world: World, text: str) -> None:
    raw = await world.server.raw()
    await raw.say(text)
    await raw.has_ended()
    await world.others_are_served()


@pytest.mark.parametrize(
    "text",
    [
        *(
            "4",
            "49",
            "4x",
            "4\0",
            "4٣[]",
            "41",
            "41/nowhere,",
            "42",
            "42/driver",
            "42/driver,",
            "42,[]",
            "42-1",
            "45",
        ),
        *("43/driver,1", "43/driver,99999999999999999999[]", "44/driver,{}", "499-", "40/driver,5-"),
        *("42/driver,123456789012345678901234567890[1]", "451234567890123-/driver,[]"),
        "43/watch,1" + "[" * 9_000,
        "40" + "/" * 9_000,
    ],
)
async def test_a_packet_that_means_nothing_harms_nobody(world: World, text: str) -> None:
    raw = await world.server.driver("odd-packets")
    await raw.say(text)
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    await world.others_are_served()
