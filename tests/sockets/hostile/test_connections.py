"""Namespaces entered twice, left early, or never."""

import json
from uuid import UUID

from realtime.processes.web import InstanceTimings
from realtime.settings import Settings
from realtime.sockets.timings import SocketTimings
from tests.sockets.hostile.kit import World, code
from tests.sockets.kit import good, serving, until


async def test_two_connects_to_one_namespace_the_first_stands(world: World) -> None:
    raw = await world.server.driver("twice")
    token = world.server.token("driver", "t2", ["v2"], driver="victim")
    error = await raw.connect("/driver", token=token)
    assert "message" in error
    journey_id = await world.server.journey(raw, points=1)
    async with world.server.db.writer() as connection:
        row = await connection.fetchrow("SELECT * FROM journeys WHERE journey_id = $1", UUID(journey_id))
    assert (row["tenant_id"], row["driver_id"]) == ("t1", "twice")


async def test_both_namespaces_on_one_connection_each_with_its_own_token(world: World) -> None:
    raw = await world.server.driver("both")
    assert await raw.connect("/watch", token=world.server.token("dispatcher", "t2", ["v2"])) == {}
    assert (await raw.ask("/watch", "whoami"))["tenant"] == "t2"
    journey_id = await world.server.journey(raw, points=1)
    assert code(await raw.ask("/watch", "watch", {"feed": {"journey": journey_id}})) == "not_found"
    await raw.say("41/watch,")
    assert code(await raw.ask("/watch", "whoami")) == "unauthenticated"
    assert (await raw.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(2)]}))["ok"]


async def test_leaving_while_a_watch_is_answered_leaves_nothing_behind(world: World) -> None:
    hub = world.server.instance.live.hub
    before = hub.counts()
    raw = await world.server.driver("leaver")
    for _ in range(5):
        assert await raw.connect("/watch", token=world.server.token("dispatcher")) == {}
        await raw.say(f'42/watch,901["watch",{{"feed":{{"journey":"{world.journey}"}}}}]')
        await raw.say('42/watch,902["watch",{"feed":{"vendor":"v1"}}]')
        await raw.say("41/watch,")
        for number in (901, 902):  # answered, the socket still there
            await raw.packet(f"43/watch,{number}")
    await raw.close()
    await until(lambda: hub.counts() == before, "an empty hub")


async def test_connect_and_say_nothing_is_closed(settings: Settings) -> None:
    # An upgrade that was begun is given up when no pong would be waited for any more either.
    changed = Settings(**{**settings.model_dump(), "connect_timeout_s": 0.6, "ping_timeout_s": 1.5})
    async with serving(changed) as server:
        quiet = [await server.raw() for _ in range(5)]
        refused = await server.raw()
        await refused.connect("/watch", token="x")
        async with server.session.get(f"{server.url}/socket.io/?EIO=4&transport=polling") as response:
            sid = json.loads((await response.text())[1:])["sid"]
        upgrade = await server.raw(sid=sid)
        for raw in [*quiet, refused, upgrade]:
            await raw.has_ended()
        await until(lambda: not server.instance.gateway.server.eio.sockets, "no sessions")


async def test_a_socket_that_is_refused_again_and_again_is_closed_in_time(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "connect_timeout_s": 0.6})
    timings = InstanceTimings(sockets=SocketTimings(refusal_pauses_s=(0.1,)))
    async with serving(changed, timings) as server:
        raw = await server.raw()
        for _ in range(200):
            await raw.say('40/watch,{"share":"no.thing"}')
        await raw.has_ended()
        assert len(raw.packets) < 50


async def test_who_leaves_the_last_namespace_is_closed_like_who_says_nothing(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "connect_timeout_s": 0.6})
    async with serving(changed) as server:
        viewer = await server.viewer()
        await viewer.say("41/watch,")
        await viewer.has_ended()
        await until(lambda: not server.instance.gateway.server.eio.sockets, "no sessions")
