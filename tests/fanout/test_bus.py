"""The bus on a real Redis: interest, confirmation, gaps, and every way a connection goes bad."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
import redis.asyncio as redis

from realtime.bus.bus import MAX_MESSAGE_BYTES, REDIS_FAULTS, BusItem, BusTimings, Envelope, Message, RedisBus
from realtime.engines.redis import EmbeddedRedis
from realtime.redis.client import client
from tests.engines_fixtures import engine_folder
from tests.fanout.kit import until
from tests.rediscluster import RedisCluster

TIMINGS = BusTimings(heartbeat_s=0.1, heartbeat_lost_s=15.0, reconnect_s=0.05)
"""Heartbeats ten times as often. One that is late because the machine is busy is not lost."""
FREEZING = BusTimings(heartbeat_s=0.1, heartbeat_lost_s=1.0, reconnect_s=0.05)
"""For a server that is frozen: only a lost heartbeat tells."""


@dataclass
class Ear:
    """A listener that remembers. ``fails`` makes it raise on the next message."""

    messages: list[tuple[str, str, list[int]]] = field(default_factory=list)
    doubts: list[tuple[str, str]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    fails: bool = False

    def on_message(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        if self.fails:
            self.fails = False
            raise RuntimeError("a bug")
        self.messages.append((channel, kind, [item.order for item in items]))

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        self.doubts += [(channel, reason) for channel in channels]

    def on_dropped(self, reason: str) -> None:
        self.dropped.append(reason)

    def orders(self, channel: str) -> list[int]:
        return [order for name, _, orders in self.messages if name == channel for order in orders]


@dataclass
class End:
    """One instance's end of the bus."""

    bus: RedisBus
    ear: Ear

    async def say(self, channel: str, *orders: int, kind: str = "k") -> None:
        await self.bus.publish([Message(channel, kind, [BusItem("a", o, b"1")], 7) for o in orders])


class Ends:
    """Any number of ends on one Redis or Cluster, and what is needed for mischief there."""

    def __init__(self, url: str, servers: Sequence[str] = ()) -> None:
        self.url = url
        self.is_cluster = bool(servers)
        self.client: Any = client(url, timeout_s=10, max_connections=10)
        self._servers = [redis.Redis.from_url(server, socket_timeout=10) for server in servers or [url]]
        self._made: list[End] = []

    async def publish(self, channel: str, body: bytes) -> None:
        """As somebody would who is none of us."""
        command = "SPUBLISH" if self.is_cluster else "PUBLISH"
        await self.client.execute_command(command, channel, body)

    async def channels(self) -> set[str]:
        """What anybody has subscribed to, but for heartbeats."""
        what = "SHARDCHANNELS" if self.is_cluster else "CHANNELS"
        names = [await server.execute_command("PUBSUB", what, "wg:*") for server in self._servers]  # type: ignore[no-untyped-call]
        return {name.decode() for some in names for name in some if b"canary" not in name}

    async def subscribed(self, names: set[str]) -> None:
        """Wait until exactly ``names`` are subscribed to."""
        seen = set[str]()
        for _ in range(1000):
            if (seen := await self.channels()) == names:
                return
            await asyncio.sleep(0.01)
        pytest.fail(f"subscribed to: {sorted(seen)}")

    async def cut(self) -> None:
        """Kill every connection that listens."""
        for server in self._servers:
            await server.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # type: ignore[no-untyped-call]

    async def end(self, timeout_s: float = 5.0, timings: BusTimings = TIMINGS) -> End:
        made = End(RedisBus(self.url, timeout_s=timeout_s, timings=timings), Ear())
        made.bus.start(made.ear)
        self._made.append(made)
        await until(lambda: made.bus.is_up, "the bus")
        return made

    async def close(self) -> None:
        for made in self._made:
            await made.bus.stop()
        for closed in (self.client, *self._servers):
            await closed.aclose()


@pytest.fixture
async def ends(
    redis_kind: str, redis_url_of_kind: str, request: pytest.FixtureRequest
) -> AsyncIterator[Ends]:
    """The contract holds on each kind."""
    servers: list[str] = []
    if redis_kind == "cluster":
        cluster: RedisCluster = request.getfixturevalue("redis_cluster_of_three")
        servers = [node.url for node in cluster.masters]
    made = Ends(redis_url_of_kind, servers)
    await made.subscribed(set())  # whoever of an earlier test still listens
    yield made
    await made.close()


@pytest.mark.every_redis
async def test_what_is_confirmed_is_received_in_order_and_not_by_oneself(ends: Ends) -> None:
    one, two = await ends.end(), await ends.end()
    assert await one.bus.subscribe("c", 5.0)
    assert await two.bus.subscribe("c", 5.0)
    for start in range(0, 50, 5):
        await one.say("c", *range(start, start + 5))
    await until(lambda: len(two.ear.orders("c")) == 50, "the messages")
    assert two.ear.orders("c") == list(range(50))
    assert one.ear.messages == []
    assert two.ear.doubts == []


@pytest.mark.every_redis
async def test_without_a_wish_nothing_but_the_canary_is_delivered(ends: Ends) -> None:
    idle, watcher, speaker = await ends.end(), await ends.end(), await ends.end()
    heard: list[str] = []
    for link in idle.bus._links.values():

        def count(name: str, data: bytes, take: Any = link._take) -> None:
            heard.append(name)
            take(name, data)

        link._take = count  # type: ignore[method-assign]
    assert await watcher.bus.subscribe("c", 5.0)
    assert await idle.bus.subscribe("left", 5.0)
    await idle.bus.unsubscribe("left")
    await ends.subscribed({"wg:c"})  # what is said before Redis knows of the parting still arrives
    for n in range(30):
        await speaker.say("c", n)
        await speaker.say("left", n)
    await until(lambda: len(watcher.ear.orders("c")) == 30, "the messages")
    heard.clear()
    await until(lambda: len(heard) >= 3, "heartbeats")
    assert set(heard) <= {link.heartbeat for link in idle.bus._links.values()}
    assert await ends.channels() == {"wg:c"}


@pytest.mark.every_redis
async def test_leaving_and_coming_back_quickly_ends_as_wished(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    for number in range(20):
        waiting = asyncio.ensure_future(here.bus.subscribe("c", 5.0))
        await asyncio.sleep(0)
        leaving = asyncio.ensure_future(here.bus.unsubscribe("c"))
        again = asyncio.ensure_future(here.bus.subscribe("c", 5.0))
        first, _, second = await asyncio.gather(waiting, leaving, again)
        assert isinstance(first, bool), "who waited is told, not cancelled"
        assert second
        await speaker.say("c", number)
    await until(lambda: len(here.ear.orders("c")) == 20, "the messages")
    assert here.bus.subscriptions == ["c"]
    await here.bus.unsubscribe("c")
    await until(lambda: not any(link._unconfirmed for link in here.bus._links.values()), "nothing kept of it")


async def test_a_missing_number_is_a_gap(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    await speaker.say("c", 1)
    speaker.bus._numbers.skip("c")  # one that Redis never got
    await speaker.say("c", 3)
    await until(lambda: here.ear.doubts, "the doubt")
    assert here.ear.orders("c") == [1, 3]
    assert here.ear.doubts == [("c", "gap")]


async def test_two_publishers_are_counted_apart(ends: Ends) -> None:
    here, one, two = await ends.end(), await ends.end(), await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    for n in range(10):
        await one.say("c", n)
        await two.say("c", 100 + n)
    await until(lambda: len(here.ear.orders("c")) == 20, "the messages")
    assert here.ear.doubts == []


@pytest.mark.every_redis
async def test_a_killed_connection_comes_back_with_a_doubt(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    for channel in ("c", "d"):
        assert await here.bus.subscribe(channel, 5.0)
    await speaker.say("c", 1)
    await until(lambda: here.ear.orders("c") == [1], "the first")
    await ends.cut()
    await until(lambda: len(here.ear.doubts) >= 2, "the doubts")
    assert sorted(set(here.ear.doubts)) == [("c", "resubscribed"), ("d", "resubscribed")]
    await speaker.say("c", 2)
    await until(lambda: 2 in here.ear.orders("c"), "what is said afterwards")


@pytest.mark.every_redis
async def test_a_wish_changed_while_it_connects_is_what_counts_afterwards(ends: Ends) -> None:
    here = await ends.end()
    assert await here.bus.subscribe("old", 5.0)
    connecting, go_on = asyncio.Event(), asyncio.Event()
    link = here.bus._links[here.bus._placed["old"]]
    make = link._reading.pubsub

    def held() -> Any:
        pubsub = make()
        name = "ssubscribe" if ends.is_cluster else "subscribe"
        subscribe = getattr(pubsub, name)

        async def wait_first(*channels: str) -> None:
            connecting.set()
            await go_on.wait()
            await subscribe(*channels)
            setattr(pubsub, name, subscribe)

        setattr(pubsub, name, wait_first)
        return pubsub

    link._reading.pubsub = held  # type: ignore[method-assign]
    await ends.cut()
    async with asyncio.timeout(20):
        await connecting.wait()
    await here.bus.unsubscribe("old")
    asking = asyncio.ensure_future(here.bus.subscribe("new", 10.0))
    await asyncio.sleep(0)
    go_on.set()
    assert await asking
    for _ in range(500):
        names = await ends.channels()
        if names == {"wg:new"}:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"still subscribed to {names}")


async def test_a_redis_that_stops_answering_is_noticed_by_the_canary() -> None:
    with engine_folder() as folder:
        server = EmbeddedRedis(folder, port=0)
        server.start()
        mine = Ends(server.url)
        assert server.pid is not None
        try:
            here, speaker = await mine.end(0.5, FREEZING), await mine.end(0.5, FREEZING)
            assert await here.bus.subscribe("c", 5.0)
            os.kill(server.pid, signal.SIGSTOP)
            await until(lambda: not here.bus.is_up, "the notice")
            assert not await here.bus.subscribe("d", 0.05), "nothing is confirmed by the dead"
            with pytest.raises(REDIS_FAULTS):
                await speaker.say("c", 1)
            os.kill(server.pid, signal.SIGCONT)
            await until(lambda: here.bus.is_up and speaker.bus.is_up, "the return")
            await until(lambda: {c for c, _ in here.ear.doubts} == {"c", "d"}, "the doubts")
            await speaker.say("c", 2)
            await until(lambda: 2 in here.ear.orders("c"), "what is said afterwards")
        finally:
            os.kill(server.pid, signal.SIGCONT)
            await mine.close()
            server.stop()


async def test_with_redis_away_a_wish_stands_and_is_kept_later() -> None:
    with engine_folder() as folder:
        server = EmbeddedRedis(folder, port=0)
        server.start()
        url = server.url
        server.stop()
        made = End(RedisBus(url, timeout_s=0.5, timings=TIMINGS), Ear())
        made.bus.start(made.ear)
        try:
            assert not await made.bus.subscribe("c", 0.05)
            assert made.bus.subscriptions == ["c"]
            server.start()
            await until(lambda: made.bus.is_up, "the bus")
            await until(lambda: made.ear.doubts == [("c", "resubscribed")], "the doubt")
            assert await made.bus.subscribe("c", 5.0)
        finally:
            await made.bus.stop()
            server.stop()


FORGED: list[Any] = [
    b"",
    b"x",
    b"\xc1",
    b"[]",
    msgspec.msgpack.encode(5),
    msgspec.msgpack.encode([]),
    msgspec.msgpack.encode(["p", "1", "k", [], 7]),
    msgspec.msgpack.encode(["p", 1, "k", [["a", "x", b"1"]], 7]),
    msgspec.msgpack.encode(["p", 1, "k", [["a", 1]], 7]),
    msgspec.msgpack.encode(["p", 1, b"k", [["a", 1, b"1"]], 7]),
    b"\x95" * 20_000,
    b"\xdd\xff\xff\xff\xff",
]


async def test_forged_and_malformed_messages_are_dropped_counted_and_survived(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    for body in FORGED:
        await ends.publish("wg:c", body)
    await until(lambda: len(here.ear.dropped) == len(FORGED), "the drops")
    assert set(here.ear.dropped) == {"malformed"}
    await speaker.say("c", 1)
    await until(lambda: here.ear.orders("c") == [1], "what is sound")
    assert here.ear.doubts == []


async def test_an_oversize_message_is_dropped_and_then_missed(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    await speaker.say("c", 1)
    huge = BusItem("a", 2, b"x" * (MAX_MESSAGE_BYTES + 1))
    await speaker.bus.publish([Message("c", "k", [huge], 7)])
    await speaker.say("c", 3)
    await until(lambda: here.ear.orders("c") == [1, 3], "the small ones")
    assert here.ear.dropped == ["oversize"]
    assert here.ear.doubts == [("c", "gap")], "what was not taken is read from the truth"


async def test_a_listener_that_raises_does_not_end_the_bus(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    here.ear.fails = True
    await speaker.say("c", 1, 2)
    await until(lambda: here.ear.orders("c") == [2], "the second")
    assert here.ear.dropped == ["malformed"]


@pytest.mark.every_redis
async def test_a_foreign_canary_and_a_foreign_channel_do_no_harm(ends: Ends) -> None:
    here = await ends.end()
    assert await here.bus.subscribe("c", 5.0)
    for link in here.bus._links.values():
        await ends.publish(link.heartbeat, b"forged")
    body = msgspec.msgpack.encode(Envelope(here.bus.publisher, 99, "k", [BusItem("a", 1, b"1")], 7))
    await ends.publish("wg:c", body)  # in our own name: not taken
    body = msgspec.msgpack.encode(Envelope("other", 99, "k", [BusItem("a", 2, b"1")], 7))
    await ends.publish("wg:c", body)
    await until(lambda: here.ear.orders("c") == [2], "the other's")


@pytest.mark.every_redis
async def test_many_channels_at_once_each_confirmed(ends: Ends) -> None:
    here, speaker = await ends.end(), await ends.end()
    channels = [f"c{n}" for n in range(300)]
    assert all(await asyncio.gather(*(here.bus.subscribe(channel, 10.0) for channel in channels)))
    await speaker.bus.publish([Message(channel, "k", [BusItem("a", 1, b"1")], 7) for channel in channels])
    await until(lambda: len(here.ear.messages) == 300, "the messages")
    await asyncio.gather(*(here.bus.unsubscribe(channel) for channel in channels))
    await until(lambda: not any(link._unconfirmed for link in here.bus._links.values()), "nothing kept")
    assert here.bus.subscriptions == []
