"""An instance receives only what its own viewers watch: counted at Redis, in bytes."""

from uuid import uuid4

import redis.asyncio as redis

from realtime.client import DriverClient
from tests.e2e.clients import journey_of
from tests.e2e.cluster import until
from tests.e2e.world import World, now_ms

POINTS = 100
PROCESSES = 4
"""Two instances and two workers: each listens to its canary, to alerts, and to changes of contacts."""
QUIET = 3
"""The channels of whoever has no viewers."""


class Subscriber:
    """One connection that Redis pushes messages to: an instance's ear."""

    def __init__(self, client: "redis.Redis", row: dict[str, str]) -> None:
        self._client, self.address = client, row["addr"]
        self.start_bytes = int(row["tot-net-out"])

    async def delivered_bytes(self) -> int:
        """Since this object was made."""
        rows = await ears(self._client)
        return int(rows[self.address]["tot-net-out"]) - self.start_bytes


async def ears(client: "redis.Redis") -> dict[str, dict[str, str]]:
    """Address → row of CLIENT LIST, of the connections that have subscribed to anything."""
    rows = await client.client_list(_type="pubsub")
    return {row["addr"]: row for row in rows}


async def with_channels(client: "redis.Redis", count: int) -> list[Subscriber]:
    """The connections that have subscribed to exactly so many channels."""
    rows = (await ears(client)).values()
    return [Subscriber(client, row) for row in rows if int(row["sub"]) == count]


def on_the_wire(channel: str) -> int:
    """Bytes of one canary: a push of three parts, the last one empty."""
    return len(f">3\r\n$7\r\nmessage\r\n${len(channel)}\r\n{channel}\r\n$0\r\n\r\n")


async def busy(driver: DriverClient, points: int) -> None:
    """Send so many points, a batch each."""
    for _ in range(points):
        driver.add(now_ms(), 53.4, -2.9)
        assert await driver.flush(30.0)


async def test_redis_delivers_nothing_but_its_canary_to_an_instance_without_viewers(world: World) -> None:
    cluster = world.cluster
    here = cluster.url_of(cluster.instances[0])
    async with cluster.redis_client() as client, world.driver("d1", here) as driver:
        await until(lambda: everybody_is_quiet(client), "no channel but the canaries and what all hear")
        channels = [c.decode() for c in await client.pubsub_channels()]
        canaries = [c for c in channels if c.startswith("wg:canary:")]
        assert len(canaries) == PROCESSES and len(channels) == PROCESSES + QUIET - 1
        a_canary = on_the_wire(canaries[0])

        driver.start(str(uuid4()), now_ms())
        async with world.watcher(here) as watcher:
            view = await watcher.watch_journey(await journey_of(driver))
            await watcher.watch_vendor(world.vendor)
            (with_viewers,) = await with_channels(client, QUIET + 2)
            others = await with_channels(client, QUIET)
            assert len(others) == PROCESSES - 1
            begun_ms = now_ms()
            await busy(driver, POINTS)
            await watcher.until(lambda: view.through == POINTS, 30.0)
            for without in others:
                heard = await without.delivered_bytes()
                canaries_heard, rest = divmod(heard, a_canary)
                assert rest == 0, f"{rest} bytes that are no canary"
                assert canaries_heard <= (now_ms() - begun_ms) / 1000 + 2
            # The same traffic does reach who watches, so it would have been seen.
            assert await with_viewers.delivered_bytes() > POINTS * a_canary
        # With its last viewer an instance leaves.
        await until(lambda: everybody_is_quiet(client), "the channels are left")
        left = await with_channels(client, QUIET)
        await busy(driver, POINTS)
        for ear in left:
            assert await ear.delivered_bytes() % a_canary == 0


async def everybody_is_quiet(client: "redis.Redis") -> bool:
    """Whether every process has an ear, and none listens for a viewer."""
    return [int(row["sub"]) for row in (await ears(client)).values()] == [QUIET] * PROCESSES
