"""The shortest way through everything: a driver on one instance, a viewer on the other."""

from uuid import uuid4

from tests.e2e.world import World, assert_complete, ledger_of, now_ms


async def test_a_point_goes_from_a_driver_to_a_map_on_the_other_instance(world: World) -> None:
    here, there = (world.cluster.url_of(name) for name in world.cluster.instances)
    async with world.driver("d1", here) as driver, world.watcher(there) as watcher:
        driver.start(str(uuid4()), now_ms())
        for n in range(100):
            driver.add(now_ms(), 53.0 + n / 1e4, -2.9)
        assert await driver.flush(30.0)
        (journey_id,) = ledger_of(driver).promised
        view = await watcher.watch_journey(journey_id)
        assert view.through == 100
        driver.add(now_ms(), 53.5, -2.9)
        await watcher.until(lambda: view.through == 101, 30.0)
        await world.check_promises([ledger_of(driver)])
        assert_complete(view, await world.stored(journey_id))
        await world.until_presence({"d1": "online"})
    await world.until_presence({"d1": "offline"})
    assert (await world.latest())["d1"] == (journey_id, 101)


async def test_the_balancer_or_a_worker_is_killed_and_nothing_acknowledged_is_lost(world: World) -> None:
    cluster = world.cluster
    async with world.driver("d1") as driver, world.watcher() as watcher:
        driver.start(str(uuid4()), now_ms())
        driver.add(now_ms(), 53.0, -2.9)
        assert await driver.flush(30.0)
        (journey_id,) = ledger_of(driver).promised
        view = await watcher.watch_journey(journey_id)
        for kill in (cluster.kill_balancer, lambda: cluster.kill(cluster.workers[0])):
            for n in range(50):
                driver.add(now_ms(), 53.0 + n / 1e4, -2.9)
            await kill()
            for n in range(50):
                driver.add(now_ms(), 53.1 + n / 1e4, -2.9)
            assert await driver.flush(30.0)
        await watcher.until(lambda: view.through == 201, 30.0)
        await world.check_promises([ledger_of(driver)])
        assert_complete(view, await world.stored(journey_id))
        await world.until_presence({"d1": "online"})
