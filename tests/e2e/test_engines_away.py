"""Redis away, Postgres away: what goes on, what is refused and how, how soon everything is whole again."""

import asyncio
from typing import Any

from tests.e2e.clients import Raw, Rejected, begin, dot, drive, journey_of, knock
from tests.e2e.cluster import WHOLE_S, until
from tests.e2e.proxy import Proxy
from tests.e2e.world import World, assert_complete, ledger_of


async def test_without_redis_acks_and_viewing_go_on_and_all_is_whole_soon_after(world: World) -> None:
    cluster = world.cluster
    here, there = (cluster.url_of(name) for name in cluster.instances)
    async with (
        world.driver("d1", here) as driver,
        world.watcher(here) as near,
        world.watcher(there) as far,
        world.watcher(there) as late,
    ):
        begin(driver)
        journey_id = await journey_of(driver)
        near_dots, far_dots = await near.watch_vendor(world.vendor), await far.watch_vendor(world.vendor)
        views = [await watcher.watch_journey(journey_id) for watcher in (near, far)]
        await cluster.redis.stop()
        for last in (50, 100, 150):
            drive(driver, last - driver.outbox.journeys[0].tip)
            assert await driver.flush(30.0), "acknowledged without Redis"
            await until(lambda last=last: dot(near_dots, "d1") == last, "the dot on the same instance")
            for view in views:
                await until(lambda last=last, view=view: view.through == last, "the log, from Postgres")
        # Who comes now is served too, from Postgres.
        views.append(await late.watch_journey(journey_id))
        assert views[-1].through == 150
        late_dots = await late.watch_vendor(world.vendor)

        await cluster.redis.start()
        drive(driver, 10)

        def whole() -> bool:
            dots = [dot(seen, "d1") for seen in (near_dots, far_dots, late_dots)]
            return dots == [160] * 3 and all(view.through == 160 for view in views)

        took_s = await until(whole, "everything is whole after Redis came back", WHOLE_S)
        print(f"whole {took_s:.2f} s after Redis came back")
        took_s = await world.until_presence({"d1": "online"}, WHOLE_S)
        print(f"presence is right {took_s:.2f} s after that")
        rows = await world.stored(journey_id)
        for view in views:
            assert_complete(view, rows)
        assert far_dots.went_back == near_dots.went_back == 0


async def test_an_emptied_redis_is_filled_again(world: World) -> None:
    cluster = world.cluster
    here, there = (cluster.url_of(name) for name in cluster.instances)
    async with world.driver("gone", here) as gone:
        begin(gone, 7)
        assert await gone.flush(30.0)
    async with world.driver("here", here) as driver, world.watcher(there) as watcher:
        begin(driver, 5)
        assert await driver.flush(30.0)
        view = await watcher.watch_vendor(world.vendor)
        assert (dot(view, "gone"), dot(view, "here")) == (7, 5)
        await cluster.empty_redis()
        drive(driver, 1)
        took_s = await until(lambda: dot(view, "here") == 6, "live again", WHOLE_S)
        print(f"live again {took_s:.2f} s after Redis came back empty")
        for name in cluster.instances:
            url = cluster.url_of(name)
            latest = {name: seq for name, (_, seq) in (await world.latest(url)).items()}
            assert latest == {"gone": 7, "here": 6}, "who is not driving now is not forgotten"
        await world.until_presence({"here": "online", "gone": "offline"}, WHOLE_S)
        assert dot(view, "gone") == 7


async def test_a_lost_reply_and_a_hostile_network_store_nothing_twice(world: World) -> None:
    cluster = world.cluster
    async with Proxy(cluster.plan.webs[0].port) as proxy:
        options: dict[str, Any] = {"answer_timeout_s": 3.0}
        async with world.driver("d1", proxy.url, **options) as driver, world.watcher() as watcher:
            begin(driver)
            view = await watcher.watch_journey(await journey_of(driver))
            assert await driver.flush(30.0)
            # The batch arrives and is stored; its ack does not come back.
            proxy.accept_then_lose_reply()
            drive(driver, 40)
            assert await driver.flush(60.0)
            assert driver.outbox.stats.acknowledged == 41 and driver.link.connects == 2
            proxy.one_byte_writes = True
            drive(driver, 20)
            assert await driver.flush(60.0)
            proxy.one_byte_writes = False
            proxy.stall()
            drive(driver, 20)
            await until(
                lambda: driver.link.connects > 2 or driver.link.last_error, "the app gives up waiting"
            )
            proxy.resume()
            assert await driver.flush(60.0)
            # Silence, and nobody is told: the app finds out by itself.
            connects = driver.link.connects
            proxy.half_open()
            drive(driver, 20)
            assert await driver.flush(60.0)
            assert driver.link.connects > connects
            await watcher.until(lambda: view.through == 101, 30.0)
            rows = await world.stored(await journey_of(driver))
            assert [row.seq for row in rows] == list(range(1, 102))
            assert_complete(view, rows)


async def turned_away(world: World, name: str) -> bool:
    """Whether an instance lets nobody in and says why. It believes for 6 s what it knows of revocations."""
    for namespace, token in (("/watch", world.token()), ("/driver", world.token("driver", "d3"))):
        try:
            await knock(world.cluster.url_of(name), namespace, token)
        except Rejected as rejected:
            error = rejected.error
            assert error["code"] == "unavailable" and error["retryable"] and error["retry_after_s"] > 0
        else:
            return False
    return True


async def test_without_postgres_points_wait_viewing_goes_on_and_nobody_new_is_let_in(world: World) -> None:
    cluster = world.cluster
    here, there = (cluster.url_of(name) for name in cluster.instances)
    async with (
        world.driver("d1", here) as driver,
        world.watcher(there) as watcher,
        Raw(world, here, "d2") as raw,
    ):
        begin(driver)
        dots = await watcher.watch_vendor(world.vendor)
        view = await watcher.watch_journey(await journey_of(driver))
        await raw.start()
        assert (await raw.send(1, 5))["through"] == 5
        before = (driver.link.connects, watcher.link.connects)
        await cluster.postgres.stop()

        refusal = (await raw.send(6, 9))["error"]
        assert refusal["code"] == "unavailable" and refusal["retryable"] and refusal["retry_after_s"] > 0
        await until(lambda: dot(dots, "d2") == 9, "the dot goes on, on the other instance too")
        drive(driver, 30)
        await until(lambda: dot(dots, "d1") == 31, "the dot of a backlog goes on")
        for name in cluster.instances:
            await until(lambda name=name: turned_away(world, name), f"nobody new is let in at {name}")
        assert driver.outbox.stats.errors["unavailable"] and driver.outbox.kept == 30
        assert (driver.link.connects, watcher.link.connects) == before, "open sockets stay open"
        assert view.through == 1, "what is not committed is in no journey's log"

        await cluster.postgres.start()
        assert await driver.flush(60.0)
        async with asyncio.timeout(30.0):
            while not (answer := await raw.send(6, 9))["ok"]:
                await asyncio.sleep(answer["error"]["retry_after_s"])
        await watcher.until(lambda: view.through == 31, 30.0)
        await world.check_promises([ledger_of(driver)])
        assert_complete(view, await world.stored(await journey_of(driver)))
        assert [row.seq for row in await world.stored(raw.journey_id)] == list(range(1, 10))
        assert driver.link.connects == 1 and watcher.link.connects == 1
