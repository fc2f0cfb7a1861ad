"""What was committed reaches whoever watches, although nobody lived to tell it."""

import asyncio
import contextlib
from uuid import uuid4

from socketio.exceptions import SocketIOError

from tests.e2e.clients import Raw, journey_of
from tests.e2e.cluster import MARGIN_S, WHOLE_S, until
from tests.e2e.world import World, assert_complete, now_ms


async def test_the_end_of_a_journey_reaches_viewers_with_redis_away(world: World) -> None:
    here, there = (world.cluster.url_of(name) for name in world.cluster.instances)
    async with world.driver("d1", here) as driver, world.watcher(there) as watcher:
        driver.start(str(uuid4()), now_ms())
        driver.add(now_ms(), 53.4, -2.9)
        view = await watcher.watch_journey(await journey_of(driver))
        await world.cluster.redis.stop()
        driver.add(now_ms(), 53.4, -2.9)
        driver.end(now_ms())
        assert await driver.flush(30.0)
        await watcher.until(lambda: view.through == 2, 30.0)
        await watcher.until(lambda: view.is_ended, 30.0)
        # Its beginning may still have been on its way when the watch was answered.
        states = [change["state"] for change in view.states if change["state"] != "started"]
        assert states == ["ended"], "once"


async def test_points_of_an_instance_that_died_before_publishing_reach_viewers(world: World) -> None:
    """The app dies with it, so that nobody sends them again: only the comparison with Postgres can tell."""
    cluster = world.cluster
    name, other = cluster.instances
    async with world.watcher(cluster.url_of(other)) as watcher:
        async with Raw(world, cluster.url_of(name), "d1") as app:
            await app.start()
            view = await watcher.watch_journey(app.journey_id)
            pid = cluster.pid(name)
            cluster.arm(name)
            sending = asyncio.create_task(app.send(1, 5))
            await until(lambda: cluster.pid(name) != pid, f"{name} commits and dies")
            sending.cancel()
            with contextlib.suppress(SocketIOError, asyncio.CancelledError):
                await sending
        took_s = await until(lambda: view.through == 5, "the viewer has them", WHOLE_S + MARGIN_S)
        print(f"seen {took_s:.1f} s after the instance was gone")
        rows = await world.stored(app.journey_id)
        assert len(rows) == 5
        assert_complete(view, rows)
        await cluster.until_up(name)
        await world.until_presence({"d1": "offline"}, 60.0)
