"""Whoever watches a journey is told of its end, whatever is away at that moment."""

from uuid import uuid4

from tests.e2e.test_engines_away import journey_of
from tests.e2e.world import World, now_ms


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
        assert [change["state"] for change in view.states] == ["ended"], "once"
