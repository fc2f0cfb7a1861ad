"""What goes wrong with a Cluster: a node dies and comes back, fails over, freezes; slots move."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import pytest

from realtime.bus.bus import REDIS_FAULTS, BusItem, BusTimings, Message, RedisBus
from realtime.redis.client import ClusterUrl, cluster_url
from realtime.redis.topology import ClusterSlots, Node, read_view
from tests.engines_fixtures import engine_folder
from tests.fanout.kit import until
from tests.fanout.test_bus import FREEZING, TIMINGS, Ear, End
from tests.rediscluster import RedisCluster, redis_cluster

CHANNELS = [f"c{n}" for n in range(40)]


@pytest.fixture(scope="module")
async def replicated() -> AsyncIterator[RedisCluster]:
    """Three masters, each with a replica, for this module to break."""
    with engine_folder() as folder, redis_cluster(folder, replicas=True) as cluster:
        yield cluster


@pytest.fixture(scope="module")
async def masters_alone() -> AsyncIterator[RedisCluster]:
    """Three masters without replicas, for this module to break."""
    with engine_folder() as folder, redis_cluster(folder) as cluster:
        yield cluster


@pytest.fixture
async def unreplicated(masters_alone: RedisCluster) -> RedisCluster:
    """The same, whole whatever the test before has broken."""
    await asyncio.to_thread(masters_alone.start_again)
    return masters_alone


class Pair:
    """Two ends on a cluster, one of which has subscribed to every channel."""

    def __init__(self, cluster: RedisCluster, timings: BusTimings = TIMINGS, timeout_s: float = 5.0) -> None:
        self.cluster = cluster
        self.here = End(RedisBus(cluster.url, timeout_s=timeout_s, timings=timings), Ear())
        self.speaker = End(RedisBus(cluster.url, timeout_s=timeout_s, timings=timings), Ear())

    async def __aenter__(self) -> "Pair":
        for one in (self.here, self.speaker):
            one.bus.start(one.ear)
        await until(lambda: self.here.bus.is_up and self.speaker.bus.is_up, "the bus")
        for channel in CHANNELS:
            assert await self.here.bus.subscribe(channel, 5.0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.here.bus.stop()
        await self.speaker.bus.stop()

    def doubted(self) -> set[str]:
        return {channel for channel, _ in self.here.ear.doubts}

    def of(self, node: object) -> set[str]:
        """The channels that a node has."""
        return {channel for channel in CHANNELS if self.cluster.owner(f"wg:{channel}") is node}

    async def all_heard(self, order: int) -> None:
        """What is said on every channel, as often as need be, arrives on every channel."""

        async def say() -> None:
            while True:
                with contextlib.suppress(*REDIS_FAULTS):
                    await self.speaker.bus.publish(
                        [Message(channel, "k", [BusItem("a", order, b"1")], 7) for channel in CHANNELS]
                    )
                await asyncio.sleep(0.1)

        saying = asyncio.ensure_future(say())
        try:
            await until(lambda: all(order in self.here.ear.orders(c) for c in CHANNELS), "it is heard")
        finally:
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)


async def test_what_a_dead_node_had_is_doubted_once_its_replica_took_over(replicated: RedisCluster) -> None:
    async with Pair(replicated) as pair:
        victim = replicated.owner("wg:c0")
        affected = pair.of(victim)
        victim.kill()
        await until(lambda: not pair.here.bus.is_up, "the notice")
        await until(lambda: affected <= pair.doubted(), "the doubts")
        assert pair.doubted() == affected, "the others went on"
        await until(lambda: pair.here.bus.is_up, "the return")
        await pair.all_heard(1)
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(replicated.wait_whole)


async def test_a_node_that_comes_back_by_itself_is_heard_again(replicated: RedisCluster) -> None:
    async with Pair(replicated, FREEZING, 1.0) as pair:
        victim = replicated.owner("wg:c1")
        affected = pair.of(victim)
        victim.signal(signal.SIGSTOP)
        await until(lambda: not pair.here.bus.is_up, "the notice")
        victim.signal(signal.SIGCONT)
        await until(lambda: pair.here.bus.is_up and affected <= pair.doubted(), "the return")
        await pair.all_heard(1)
        await asyncio.to_thread(replicated.wait_whole)


async def test_with_no_replica_a_node_that_restarts_is_heard_again_and_the_others_all_along(
    unreplicated: RedisCluster,
) -> None:
    cluster = unreplicated
    async with Pair(cluster) as pair:
        victim = cluster.owner("wg:c0")
        affected = pair.of(victim)
        others = [Message(c, "k", [BusItem("a", 5, b"1")], 7) for c in CHANNELS if c not in affected]
        await asyncio.to_thread(victim.kill)
        await until(lambda: not pair.here.bus.is_up, "the notice")
        await pair.speaker.bus.publish(others)
        await until(lambda: len(pair.here.ear.messages) == len(others), "the others")
        with pytest.raises(REDIS_FAULTS):
            await pair.speaker.say("c0", 6)
        assert pair.here.ear.doubts == []
        await asyncio.to_thread(victim.start)
        await until(lambda: affected <= pair.doubted(), "the doubts")
        await pair.all_heard(7)


async def test_a_slot_that_moves_takes_its_channels_along_with_a_doubt(
    unreplicated: RedisCluster,
) -> None:
    cluster = unreplicated
    async with Pair(cluster) as pair:
        for channel in ("c0", "c1"):
            origin = cluster.owner(f"wg:{channel}")
            target = next(node for node in cluster.masters if node is not origin)
            await asyncio.to_thread(cluster.move_slot, f"wg:{channel}", target)
        await until(lambda: pair.doubted() >= {"c0", "c1"}, "the doubts")
        assert pair.doubted() == {"c0", "c1"}
        await pair.all_heard(1)
        assert await pair.here.bus.subscribe("new", 5.0)
        await pair.here.bus.unsubscribe("c0")
        assert "c0" not in pair.here.bus.subscriptions


async def test_a_publisher_that_does_not_listen_finds_moved_slots_too(
    unreplicated: RedisCluster,
) -> None:
    cluster = unreplicated
    async with Pair(cluster) as pair:
        quiet = RedisBus(cluster.url, timeout_s=5.0)
        await quiet.publish([Message("c0", "k", [BusItem("a", 1, b"1")], 7)])
        origin = cluster.owner("wg:c0")
        target = next(node for node in cluster.masters if node is not origin)
        await asyncio.to_thread(cluster.move_slot, "wg:c0", target)
        await until(lambda: "c0" in pair.doubted(), "the doubt")

        def listens() -> bool:
            return target.ask("PUBSUB", "SHARDNUMSUB", "wg:c0")[1] == 1

        # On a busy machine the doubt may come of a late heartbeat, before the subscription has moved.
        await until(listens, "the subscription moves")
        await quiet.publish([Message("c0", "k", [BusItem("a", 2, b"1")], 7)])
        await until(lambda: pair.here.ear.orders("c0") == [1, 2], "both")
        await quiet.stop()


# --- names and answers


def test_a_url_says_which_nodes_to_ask_first() -> None:
    assert cluster_url("redis://h:1/0") is None
    assert cluster_url("unix:///s") is None
    found = cluster_url("redis+cluster://u:p%40@a:1,b:2,[::1]:3/0")
    assert found == ClusterUrl("redis", "u:p%40@", (Node("a", 1), Node("b", 2), Node("::1", 3)))
    assert found.of(found.seeds[2]) == "redis://u:p%40@[::1]:3/0"
    secure = cluster_url("rediss+cluster://a")
    assert secure is not None and secure.of(secure.seeds[0]) == "rediss://a:6379/0"


@pytest.mark.parametrize(
    "url", ["redis+cluster://", "redis+cluster://p@", "redis+cluster://a:x", "redis+cluster://a:99999"]
)
def test_a_url_without_a_host_and_a_port_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="host"):
        cluster_url(url)


def test_a_node_that_does_not_know_its_own_name_is_the_one_that_was_asked() -> None:
    view = read_view(
        Node("a", 1), b"cluster_current_epoch:7\r\n", [[0, 9, [b"", 5]], [10, 11, [b"b", 6], [b"c", 7]]]
    )
    assert view.epoch == 7
    assert (view.slots[9], view.slots[11], view.slots[12]) == (Node("a", 5), Node("b", 6), None)


@pytest.mark.parametrize("rows", [[5], [[0]], [[0, 9, []]], [["x", 9, [b"", 5]]], [[0, 9, [b"", "x"]]]])
def test_an_answer_that_is_none_is_a_fault_like_any_other(rows: list[object]) -> None:
    with pytest.raises(REDIS_FAULTS):
        read_view(Node("a", 1), b"cluster_current_epoch:7\r\n", rows)


async def test_with_no_node_there_it_is_a_fault_and_nothing_hangs() -> None:
    with pytest.raises(REDIS_FAULTS):
        await ClusterSlots(ClusterUrl("redis", "", (Node("127.0.0.1", 1),)), 1.0).look()
