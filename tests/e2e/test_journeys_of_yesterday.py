"""Journeys older than today: one from before midnight stays whole, one of 48 hours is closed politely."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from realtime.settings import Settings
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.journeys import journeys, partitions, upkeep
from realtime.store.people import tenants
from tests.e2e.clients import Raw, drive
from tests.e2e.cluster import until
from tests.e2e.world import World, assert_complete, ledger_of, now_ms

HOUR_MS = 3_600_000
MIDNIGHT_MS = int(datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


async def begun_at(world: World, driver: str, at_ms: int) -> tuple[str, str]:
    """A journey that the server first saw at ``at_ms``: its id, and the app's own id of it."""
    settings: Settings = world.cluster.settings
    await upkeep.run_once(settings, at_ms)  # its day has a partition, as it had then
    db = await Database.open(settings)
    try:
        await tenants.connect_driver(db, world.tenant, world.vendor, driver)
        own = uuid4()
        head = await journeys.start(
            db, world.tenant, world.vendor, driver, own, at_ms, None, None, None, at_ms
        )
    finally:
        await db.close()
    return str(head.journey_id), str(own)


async def partitions_of(world: World, journey_id: str) -> set[str]:
    """The tables that hold the journey's points."""
    truth = await world.cluster.look()
    try:
        rows = await truth.fetch(
            "select distinct tableoid::regclass::text as name from journey_points where journey_id = $1",
            UUID(journey_id),
        )
    finally:
        await truth.close(timeout=10)
    return {row["name"] for row in rows}


async def test_a_journey_that_began_before_midnight_stays_whole(world: World) -> None:
    here, there = (world.cluster.url_of(name) for name in world.cluster.instances)
    journey_id, own = await begun_at(world, "d1", MIDNIGHT_MS - 1)
    assert ids.minted_ms(UUID(journey_id)) == MIDNIGHT_MS - 1
    async with world.driver("d1", here) as driver, world.watcher(there) as watcher:
        view = await watcher.watch_journey(journey_id)
        driver.start(own, MIDNIGHT_MS - 1)
        # Half of its fixes are of yesterday, half of today.
        for n in range(-50, 50):
            driver.add(min(MIDNIGHT_MS + n * 1_000, now_ms()), 53.4, -2.9 + n / 1e4)
        driver.end(now_ms())
        assert await driver.flush(30.0)
        assert ledger_of(driver).promised == {journey_id: 100}
        await watcher.until(lambda: view.is_ended and view.through == 100, 30.0)
    rows = await world.stored(journey_id)
    assert_complete(view, rows)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert await partitions_of(world, journey_id) == {partitions.name_of(yesterday)}
    answer = await world.call("GET", f"/api/v1/journeys/{journey_id}/points?format=geojson")
    assert [feature["properties"]["seq"] for feature in answer["features"]] == list(range(1, 101))


async def test_a_journey_of_48_hours_is_closed_politely(world: World) -> None:
    cluster = world.cluster
    here, there = (cluster.url_of(name) for name in cluster.instances)
    journey_id, own = await begun_at(world, "d1", now_ms() - 48 * HOUR_MS + 8_000)
    async with (
        world.driver("d1", here) as driver,
        Raw(world, here, "d1") as second_app,
        world.watcher(here) as near,
        world.watcher(there) as far,
    ):
        views = [await watcher.watch_journey(journey_id) for watcher in (near, far)]
        driver.start(own, now_ms() - 48 * HOUR_MS)
        drive(driver, 10)
        assert await driver.flush(15.0)
        assert ledger_of(driver).promised == {journey_id: 10}
        # 48 hours are over. A worker looks when it starts, and every half minute.
        await until(lambda: ids.minted_ms(UUID(journey_id)) < now_ms() - 48 * HOUR_MS, "48 hours are over")
        await cluster.kill(cluster.workers[0])
        for view in views:
            await until(lambda view=view: view.is_ended, "viewers are told", 60.0)
            assert view.states[-1]["state"] == "expired" and view.states[-1]["journey"] == journey_id
        second_app.journey_id = journey_id
        refusal = (await second_app.send(11, 12))["error"]
        assert refusal["code"] == "journey_expired" and not refusal["retryable"]
        # The app starts the next one with what it still holds; nothing is lost.
        drive(driver, 5)
        assert await driver.flush(30.0)
        following = next(key for key in ledger_of(driver).promised if key != journey_id)
    assert ledger_of(driver).promised == {journey_id: 10, following: 5}
    await world.check_promises([ledger_of(driver)])
    state = (await world.call("GET", f"/api/v1/journeys/{journey_id}"))["journey"]["state"]
    assert state == "expired"
