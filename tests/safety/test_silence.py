"""Silence on a real Postgres: what is a sign of life, when none counts, and a mass that is held back."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from alerts.alert import Kind
from alerts.timers import TimerKind, TimerState
from geo.position import Point
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import PRESENCE, presence_item
from realtime.processes.web import Instance
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.alerts import timers
from realtime.store.journeys import journeys
from realtime.timers.scheduler import TimerScheduler, UptimeKeeper, forget_uptime, online_in
from tests.safety.timer_world import MINUTE, OPERATOR, World, timer_world
from tests.store.conftest import put


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with timer_world(database_url) as made:
        yield made


# --- silence


async def test_a_silent_driver_on_a_journey_raises_an_alert(world: World) -> None:
    await world.begin()
    timer = await world.arm(TimerKind.SIGNAL_LOST, every_s=600)
    await world.open_for(11)
    assert await world.worker.round() == 1
    assert [alert.kind for alert in await world.alerts()] == [Kind.SIGNAL_LOST]
    assert await world.state(timer) is TimerState.FIRED


async def test_a_driver_whose_points_come_or_whose_app_is_connected_is_not_silent(world: World) -> None:
    journey_id = await world.begin()
    await world.arm(TimerKind.SIGNAL_LOST, every_s=600)
    await world.open_for(8)
    now_ms = await world.now_ms()
    await put(world.db, "t1", journey_id, [Point(2, now_ms, 53.5, -2.9)], now_ms)
    await world.later(3 * MINUTE)
    assert await world.worker.round() == 0
    await world.later(6 * MINUTE)
    assert await world.worker.round() == 0
    world.online.add("d1")
    await world.later(6 * MINUTE)
    assert await world.worker.round() == 0
    world.online.clear()
    await world.later(11 * MINUTE)
    assert await world.worker.round() == 1


async def test_our_own_outage_is_no_silence(world: World) -> None:
    await world.begin()
    await world.arm(TimerKind.SIGNAL_LOST, every_s=600)
    await world.uptime.beat()
    await world.later(60 * MINUTE)
    await world.uptime.beat()
    assert await world.worker.round() == 0
    for _ in range(13 * 12):
        await world.later(5_000)
        await world.uptime.beat()
    assert await world.worker.round() == 1


async def test_beats_that_follow_each_other_are_one_stretch(world: World) -> None:
    for pause_ms in (0, 5_000, 5_000, 60_000, 5_000):
        await world.later(pause_ms)
        await world.uptime.beat()
        await UptimeKeeper(world.db, "w2").beat()
    async with world.db.writer() as connection:
        found = await timers.uptime(connection, 0)
        spans = sorted(round((until - begun) / 5_000) for begun, until in found)
    assert spans == [1, 1, 2, 2]
    await world.later(4 * 86_400_000)
    await forget_uptime(world.db)
    async with world.db.writer() as connection:
        assert await timers.uptime(connection, 0) == []


async def test_an_instance_says_that_it_is_open_until_it_drains(
    database_url: str, redis_url: str, world: World
) -> None:
    async def stretches() -> list[tuple[int, int]]:
        async with world.db.writer() as connection:
            return await timers.uptime(connection, 0)

    secret = "s" * 32
    settings = Settings(database_url=database_url, redis_url=redis_url, auth_secret=secret)
    async with Instance.open(settings) as instance:
        async with asyncio.timeout(30):
            while not await stretches():
                await asyncio.sleep(0.01)
        await instance.drain()
        before = await stretches()
    assert len(before) == 1
    assert await stretches() == before


async def test_uptime_is_not_said_with_the_database_away(world: World) -> None:
    away = UptimeKeeper(world.db, "w9")
    await world.db.close()
    with pytest.raises(Refused):
        await away.beat()
    away.start()
    await asyncio.sleep(0)
    await away.stop()
    await away.stop()


async def test_no_journey_no_silence_and_an_ended_one_ends_the_timer(world: World) -> None:
    loose = await world.arm(TimerKind.SIGNAL_LOST, driver="d2", every_s=600)
    journey_id = await world.begin()
    bound = await world.arm(TimerKind.SIGNAL_LOST, every_s=600, journey_id=journey_id)
    await journeys.end(world.db, "t1", "d1", journey_id, 0, 1)
    await world.open_for(11)
    assert await world.worker.round() == 0
    assert await world.state(loose) is TimerState.ARMED
    assert await world.state(bound) is TimerState.DONE


async def test_presence_that_cannot_be_asked_is_no_sign_of_life(world: World) -> None:
    async def broken(tenant: str, vendor: str, driver: str) -> bool:
        raise ConnectionError

    await world.begin()
    await world.arm(TimerKind.SIGNAL_LOST, every_s=600)
    await world.open_for(11)
    assert await TimerScheduler(world.db, world.settings, broken).round() == 1


async def test_an_app_is_connected_as_presence_in_redis_says(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        state = LiveState(client, 5.0)
        told = [
            StoredValue(presence_item(driver, order, said, 1, "heard"), "w1")
            for order, (driver, said) in enumerate([("d1", "online"), ("d2", "stale"), ("d3", "offline")])
        ]
        await state.write("t1", "north", PRESENCE, told)
        is_online = online_in(state)
        found = [await is_online("t1", "north", driver) for driver in ("d1", "d2", "d3", "d4")]
        assert found == [True, False, False, False]
        assert not await is_online("t2", "north", "d1")


# --- many at once


async def silence_of_many(world: World, count: int) -> list[timers.Timer]:
    """``count`` drivers who fell silent together, every one with a timer that is due."""
    made = []
    for n in range(count):
        await world.begin(f"d{n}")
        made.append(await world.arm(TimerKind.SIGNAL_LOST, driver=f"d{n}", every_s=600))
    await world.open_for(11)
    return made


async def test_many_silent_at_once_are_held_back_and_fire_when_nobody_dismisses_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    held = await silence_of_many(world, 5)
    assert await world.worker.round() == 0
    assert {await world.state(timer) for timer in held} == {TimerState.HELD}
    assert all(f"timer {timer.timer_id} is held back" in caplog.text for timer in held)
    assert await world.worker.round() == 0
    await world.later(world.settings.mass_silence_hold_s * 1_000 + 1_000)
    assert await world.worker.round() == 5
    assert len(await world.alerts()) == 5


class SlowToCommit(TimerScheduler):
    """Keeps each transaction that holds a timer open, so that others run beside it."""

    async def _hold_ends(self, connection: asyncpg.Connection, tenant: str, now_ms: int) -> int:
        until_ms = await super()._hold_ends(connection, tenant, now_ms)
        await asyncio.sleep(0.1)
        return until_ms


async def test_drivers_silent_together_are_held_until_one_moment(world: World) -> None:
    await silence_of_many(world, 5)

    async def asked_at_different_times(tenant: str, vendor: str, driver: str) -> bool:
        await asyncio.sleep(int(driver.removeprefix("d")) * 0.005)
        return False

    worker = SlowToCommit(world.db, world.settings, asked_at_different_times, batch=1)
    assert await worker.round() == 0
    assert len({t.due_ms for t in (await timers.page(world.db, "t1")).timers}) == 1


async def test_a_dismissed_mass_silence_begins_anew(world: World) -> None:
    await silence_of_many(world, 5)
    await world.worker.round()
    assert len(await timers.dismiss(world.db, "t2", OPERATOR)) == 0
    begun = await timers.dismiss(world.db, "t1", OPERATOR)
    assert {timer.dismissed_by for timer in begun} == {OPERATOR}
    await world.later(world.settings.mass_silence_hold_s * 1_000 + 1_000)
    assert await world.worker.round() == 0
    assert await world.alerts() == []


async def test_whoever_is_heard_while_held_back_is_not_told_of(world: World) -> None:
    await silence_of_many(world, 5)
    await world.worker.round()
    world.online.add("d0")
    await world.later(world.settings.mass_silence_hold_s * 1_000 + 1_000)
    assert await world.worker.round() == 4
    assert "d0" not in [alert.driver for alert in await world.alerts()]


async def test_a_few_are_told_at_once(world: World) -> None:
    await silence_of_many(world, 3)
    assert await world.worker.round() == 3


async def test_the_auditor_sees_who_is_held_back(world: World) -> None:
    from realtime.monitoring.checks import FindingKind as Finding
    from realtime.monitoring.checks import findings
    from realtime.store.alerts import health

    await silence_of_many(world, 5)
    await world.worker.round()
    found = [f for f in findings(await health.look(world.db, 45_000)) if f.kind is Finding.MASS_SILENCE]
    assert [f.ids for f in found] == [("t1",)]
