"""Two, three and five instances, on one Redis and on a Cluster, with parts that die: all is seen."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any

import pytest

from realtime.client import DriverClient, JourneyView, LatestView, Watcher
from realtime.live.topics import journey_channel, vendor_channel
from tests.e2e.clients import begin, dot, drive, journey_of
from tests.e2e.cluster import Cluster, until
from tests.e2e.world import World, assert_complete, ledger_of
from tests.engines_fixtures import engine_folder
from tests.rediscluster import RedisCluster, Server, redis_cluster

PATIENCE_S = 60.0
PAUSE_S = 0.05
"""Between two points of a driver."""
NODE_TIMEOUT_MS = 2_000
TWO, THREE, FIVE, ON_A_CLUSTER = "two", "three", "five", "three on a redis cluster"
SIZES = {TWO: 2, THREE: 3, FIVE: 5, ON_A_CLUSTER: 3}


@pytest.fixture(scope="module")
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    """As many instances as the test names."""
    clustered = request.param == ON_A_CLUSTER
    with (
        engine_folder() as folder,
        engine_folder() as redis_folder,
        redis_cluster(redis_folder, replicas=True, node_timeout_ms=NODE_TIMEOUT_MS)
        if clustered
        else nullcontext() as nodes,
    ):
        async with Cluster(folder, SIZES[request.param], workers=1, nodes=nodes) as cluster:
            yield cluster


def instances(*names: str) -> Any:
    """Run the test on these clusters; on those that show no more than others only among the long ones."""
    cases = [pytest.param(name, marks=[pytest.mark.long] if name in (TWO, FIVE) else []) for name in names]
    return pytest.mark.parametrize("cluster", cases, indirect=True, scope="module")


class Crowd:
    """Drivers behind every door, and behind every door somebody who watches each of them, and all at once.

    A door is an instance or the balancer. The drivers move until `all_is_there`.
    """

    def __init__(self, world: World, per_door: int = 2) -> None:
        self.world = world
        self.doors = [world.cluster.url, *map(world.cluster.url_of, world.cluster.instances)]
        self.drivers = {
            f"d{number}": world.driver(f"d{number}", self.doors[number % len(self.doors)])
            for number in range(per_door * len(self.doors))
        }
        self.journeys: dict[str, str] = {}
        self.viewers: list[dict[str, JourneyView]] = []
        self.dispatchers: list[LatestView] = []
        self._watchers: list[Watcher] = []
        self._stopping = asyncio.Event()
        self._driving: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def moving(self) -> AsyncIterator["Crowd"]:
        """Connected, watched and on the road."""
        async with AsyncExitStack() as stack:
            for driver in self.drivers.values():
                begin(await stack.enter_async_context(driver))
            for name, driver in self.drivers.items():
                self.journeys[name] = await journey_of(driver)
            self._watchers = [
                await stack.enter_async_context(self.world.watcher(door)) for door in self.doors
            ]
            await asyncio.gather(*map(self._watch, self._watchers))
            self._driving = asyncio.create_task(self._drive())
            try:
                yield self
            finally:
                self._stopping.set()
                await self._driving

    async def _watch(self, watcher: Watcher) -> None:
        self.dispatchers.append(await watcher.watch_vendor(self.world.vendor))
        names = list(self.journeys)
        views = await asyncio.gather(*(watcher.watch_journey(self.journeys[name]) for name in names))
        self.viewers.append(dict(zip(names, views, strict=True)))

    async def _drive(self) -> None:
        while not self._stopping.is_set():
            for driver in self.drivers.values():
                drive(driver, 1)
            await asyncio.sleep(PAUSE_S)

    def behind(self, door: str) -> dict[str, DriverClient]:
        """The drivers who came in by ``door``."""
        return {name: driver for name, driver in self.drivers.items() if driver.link.url == door}

    def acknowledged(self) -> dict[str, int]:
        """Driver → its points that the server has."""
        return {name: driver.outbox.stats.acknowledged for name, driver in self.drivers.items()}

    async def acks_go_on(self, points: int = 10, without: str = "") -> None:
        """Everybody but who came in by the door ``without`` gets so many more acks."""
        spared = self.behind(without)
        before = {name: n for name, n in self.acknowledged().items() if name not in spared}

        def more() -> bool:
            now = self.acknowledged()
            return all(now[name] >= n + points for name, n in before.items())

        await until(more, "acks go on", PATIENCE_S)

    async def viewers_go_on(self) -> None:
        """Whoever watches a journey sees at least what is acknowledged of it by now."""
        due = self.acknowledged()
        await self._arrives(
            lambda: {
                f"{door} {name}": (views[name].through, n)
                for door, views in zip(self.doors, self.viewers, strict=True)
                for name, n in due.items()
                if views[name].through < n
            },
            "every viewer has what was acknowledged",
        )

    async def all_is_there(self) -> None:
        """The drivers rest; everything they drove is stored once, and everybody has seen it."""
        self._stopping.set()
        for name, driver in self.drivers.items():
            assert await driver.flush(PATIENCE_S), f"{name} keeps {driver.outbox.kept} points: {driver.link}"
        await self.viewers_go_on()
        due = self.acknowledged()
        await self._arrives(
            lambda: {
                f"{door} {name}": (dot(seen, name), n)
                for door, seen in zip(self.doors, self.dispatchers, strict=True)
                for name, n in due.items()
                if dot(seen, name) != n
            },
            "every dispatcher has the newest",
        )
        await self.world.check_promises(ledger_of(driver) for driver in self.drivers.values())
        for name, journey_id in self.journeys.items():
            rows = await self.world.stored(journey_id)
            assert [row.seq for row in rows] == list(range(1, due[name] + 1)), name
            for views in self.viewers:
                assert_complete(views[name], rows)
        assert [seen.went_back for seen in self.dispatchers] == [0] * len(self.doors)
        assert not any(watcher.strays for watcher in self._watchers)
        await self._newcomers_are_told(due)

    async def _newcomers_are_told(self, due: dict[str, int]) -> None:
        expected = {name: (self.journeys[name], n) for name, n in due.items()}
        for door in self.doors:

            async def told(door: str = door) -> bool:
                return await self.world.latest(door) == expected

            await until(told, "an instance tells newcomers the newest", PATIENCE_S, 0.2)
        await self.world.until_presence(dict.fromkeys(self.drivers, "online"), PATIENCE_S)

    @staticmethod
    async def _arrives(missing: Callable[[], dict[str, tuple[int, int]]], what: str) -> None:
        try:
            await until(lambda: not missing(), what, PATIENCE_S)
        except AssertionError as late:
            raise AssertionError(f"{late}; (has, should have) {missing()}") from None


@instances(TWO, THREE, FIVE, ON_A_CLUSTER)
async def test_who_watches_on_any_instance_sees_every_driver_of_every_other(world: World) -> None:
    async with Crowd(world).moving() as crowd:
        await crowd.acks_go_on(20)
        await crowd.all_is_there()


async def kill_an_instance(crowd: Crowd, name: str) -> None:
    """Kill it with -9 and wait until it is back; the others' drivers do not wait for that."""
    cluster = crowd.world.cluster
    await cluster.kill(name)
    await crowd.acks_go_on(without=cluster.url_of(name))
    await cluster.until_up(name)


@instances(THREE)
async def test_an_instance_of_three_is_killed_and_nobody_misses_anything(world: World) -> None:
    async with Crowd(world).moving() as crowd:
        await crowd.acks_go_on()
        await kill_an_instance(crowd, world.cluster.instances[1])
        await crowd.acks_go_on()
        await crowd.all_is_there()


def nodes_of(world: World) -> RedisCluster:
    """The Redis Cluster that the instances are on."""
    assert world.cluster.nodes is not None
    return world.cluster.nodes


async def owner_of(world: World, channel: str) -> Server:
    """The node that has a bus channel."""
    return await asyncio.to_thread(nodes_of(world).owner, f"wg:{channel}")


async def kill_a_node(crowd: Crowd, channel: str) -> Server:
    """Kill the node that has ``channel``; acks and journeys go on. The node."""
    victim = await owner_of(crowd.world, channel)
    await asyncio.to_thread(victim.kill)
    await crowd.acks_go_on()
    await crowd.viewers_go_on()
    return victim


@instances(ON_A_CLUSTER)
async def test_a_replica_takes_over_from_a_killed_node_and_nobody_misses_anything(world: World) -> None:
    nodes = nodes_of(world)
    async with Crowd(world).moving() as crowd:
        channel = vendor_channel(world.tenant, world.vendor)
        victim = await kill_a_node(crowd, channel)

        async def taken_over() -> bool:
            return await owner_of(world, channel) is not victim

        await until(taken_over, "the replica takes over", PATIENCE_S)
        await asyncio.to_thread(nodes.wait_whole)
        await crowd.acks_go_on()
        await crowd.all_is_there()


@instances(ON_A_CLUSTER)
async def test_a_killed_node_without_a_replica_comes_back_empty_and_nobody_misses_anything(
    world: World,
) -> None:
    nodes = nodes_of(world)
    async with Crowd(world).moving() as crowd:
        owner = await owner_of(world, vendor_channel(world.tenant, world.vendor))
        await asyncio.to_thread((await asyncio.to_thread(nodes.replica_of, owner)).kill)
        victim = await kill_a_node(crowd, vendor_channel(world.tenant, world.vendor))
        assert victim is owner
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(nodes.wait_whole)
        await crowd.acks_go_on()
        await crowd.all_is_there()


@pytest.mark.long
@instances(ON_A_CLUSTER)
async def test_with_every_node_killed_acks_and_journeys_go_on_and_nobody_misses_anything(
    world: World,
) -> None:
    nodes = nodes_of(world)
    async with Crowd(world).moving() as crowd:
        await asyncio.to_thread(nodes.stop)
        await crowd.acks_go_on()
        await crowd.viewers_go_on()
        async with world.watcher() as late:
            view = await late.watch_journey(crowd.journeys["d0"])
            assert view.points, "who comes now is served too"
        await asyncio.to_thread(nodes.start_again)
        await crowd.acks_go_on()
        await crowd.all_is_there()


@pytest.mark.long
@instances(ON_A_CLUSTER)
async def test_a_frozen_node_is_replaced_and_nobody_misses_anything(world: World) -> None:
    nodes = nodes_of(world)
    async with Crowd(world).moving() as crowd:
        victim = await owner_of(world, vendor_channel(world.tenant, world.vendor))
        successor = await asyncio.to_thread(nodes.replica_of, victim)
        victim.signal(signal.SIGSTOP)
        try:
            await crowd.acks_go_on()
            await crowd.viewers_go_on()
            await asyncio.to_thread(nodes.wait_replaced, victim, successor)
            await crowd.acks_go_on()
            await crowd.viewers_go_on()
        finally:
            victim.signal(signal.SIGCONT)
        await asyncio.to_thread(nodes.start_again)
        await crowd.acks_go_on()
        await crowd.all_is_there()


@pytest.mark.long
@pytest.mark.timeout(600)
@instances(ON_A_CLUSTER)
async def test_instances_and_nodes_are_killed_one_after_the_other(world: World) -> None:
    nodes = nodes_of(world)
    async with Crowd(world, per_door=8).moving() as crowd:
        for name, driver in zip(world.cluster.instances * 2, list(crowd.journeys), strict=False):
            await kill_a_node(crowd, journey_channel(world.tenant, crowd.journeys[driver]))
            await kill_an_instance(crowd, name)
            await asyncio.to_thread(nodes.start_again)
            await crowd.acks_go_on()
            await crowd.viewers_go_on()
        await crowd.all_is_there()
