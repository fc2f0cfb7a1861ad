"""Two processes' worth of servers on a real Redis: rooms, clients and answers of the other one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from realtime.bus.bus import BusItem, Message, RedisBus
from realtime.fanout.socketio.redis_manager import BusUnavailable, Order, RedisManager
from tests.fanout.socketio.kit import BOTH, PATIENCE_S, Here, plain, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def soon(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def pair(url: str) -> AsyncIterator[tuple[Here, Here]]:
    """Two servers that share a Redis, both listening."""
    one, two = (plain(redis_url=url, server_name=name, namespaces="*") for name in ("one", "two"))
    async with serving(one) as here, serving(two) as there:
        await soon(lambda: one.manager.bus.is_up and two.manager.bus.is_up)
        yield here, there


@pytest.mark.parametrize("transport", BOTH)
async def test_everybody_a_room_and_one_client_are_reached_elsewhere_once(
    redis_url: str, transport: str
) -> None:
    async with pair(redis_url) as (here, there):
        near, near_sid = await here.joined(transport)
        far, far_sid = await there.joined(transport)
        await here.server.enter_room(near_sid, "r")
        await there.server.enter_room(far_sid, "r")
        await there.server.enter_room(far_sid, 5)
        await here.server.emit("a", {"x": b"\x00\xff"})
        await here.server.emit("b", (1, 2), room="r", skip_sid=near_sid)
        await here.server.emit("c", room=["r", 5])
        await here.server.emit("d", to=far_sid)
        await here.server.emit("e", room="r", skip_sid=[far_sid])
        await here.server.emit("end")
        a = ['51-["a",{"x":{"_placeholder":true,"num":0}}]', b"\x00\xff"]
        assert await near.texts(5) == [*a, '2["c"]', '2["e"]', '2["end"]']
        assert await far.texts(6) == [*a, '2["b",1,2]', '2["c"]', '2["d"]', '2["end"]']


async def test_a_client_elsewhere_is_moved_called_and_put_out(redis_url: str) -> None:
    async with pair(redis_url) as (here, there):
        far, sid = await there.joined()
        rooms = there.server.manager
        await here.server.enter_room(sid, "r")
        await soon(lambda: "r" in there.server.rooms(sid))
        asking = asyncio.ensure_future(here.server.call("q", b"\x01", to=sid))
        assert await far.texts(2) == ['51-1["q",{"_placeholder":true,"num":0}]', b"\x01"]
        await far.send('61-1["yes",{"_placeholder":true,"num":0}]', b"\x02")
        assert await asking == ("yes", b"\x02")
        await here.server.leave_room(sid, "r")
        await soon(lambda: "r" not in there.server.rooms(sid))
        await there.server.enter_room(sid, "s")
        await here.server.close_room("s")
        await soon(lambda: "s" not in there.server.rooms(sid))
        await here.server.disconnect(sid)
        assert await far.recv() == "1"
        await soon(lambda: rooms.rooms == {})


async def test_a_room_is_listened_to_only_while_it_has_members_here(redis_url: str) -> None:
    async with pair(redis_url) as (_, there):
        bus = there.server.manager.bus
        alone = set(bus.subscriptions)
        far, sid = await there.joined()
        await there.server.enter_room(sid, "r")
        assert set(bus.subscriptions) - alone == {"all:/", "room:/,r"}
        await there.server.leave_room(sid, "r")
        await there.server.enter_room(sid, "r")
        await asyncio.sleep(0.02)
        assert "room:/,r" in bus.subscriptions
        await far.close()
        await soon(lambda: set(bus.subscriptions) == alone)


async def test_what_is_forged_or_broken_is_dropped_and_counted(redis_url: str) -> None:
    async with pair(redis_url) as (here, there):
        far, sid = await there.joined()
        order = msgspec.msgpack.encode(Order("1"))
        bodies = [b"", b"{", b"[]", b'["a"', b'["\xff"]', b'{"a":1}']
        forged = [[BusItem("/", 0, order), BusItem("", 0, body)] for body in bodies]
        forged += [[], [BusItem("/", 0, b"x")], [BusItem("/", 0, order)]]
        forged += [[BusItem("/", 0, msgspec.msgpack.encode([1, 2])), BusItem("", 0, b'["a"]')]]
        messages = [Message("all:/", "emit", items, 0) for items in forged]
        messages += [
            Message("all:/", kind, forged[0], 0) for kind in ("enter", "unheard of", "answer", "close")
        ]
        stranger = RedisBus(redis_url, prefix="sio:")
        await stranger.publish(messages)
        await stranger.stop()
        await here.server.emit("end", to=sid)
        assert await far.recv() == '2["end"]'
        assert there.server.manager.dropped["malformed"] >= len(forged)


async def test_an_emit_that_cannot_be_passed_on_is_the_emitters_error() -> None:
    server = plain(redis_url="redis://127.0.0.1:1/0", namespaces="*")
    async with serving(server) as here:
        near, sid = await here.joined()
        with pytest.raises(BusUnavailable, match="other processes were not told"):
            await server.emit("a", room=["r", sid])
        assert await near.recv() == '2["a"]'
        await server.emit("own", to=sid)
        assert await near.recv() == '2["own"]'


async def test_what_cannot_be_addressed_over_a_bus_is_said(redis_url: str) -> None:
    async with pair(redis_url) as (here, _):
        _, sid = await here.joined()
        assert isinstance(here.server.manager, RedisManager)
        with pytest.raises(ValueError, match="room is a tuple"):
            await here.server.enter_room(sid, (1, 2))
        with pytest.raises(ValueError, match="looks like a sid"):
            await here.server.enter_room(sid, here.server.eio.generate_id())
        with pytest.raises(ValueError, match="callback needs"):
            await here.server.emit("q", callback=print)
