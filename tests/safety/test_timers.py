"""Timers on a real Postgres: armed, answered, and fired once by a worker that is alive."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from alerts import timers as pure
from alerts.alert import Kind, Place, State
from alerts.timers import Spec, TimerKind, TimerState
from realtime.protocol import Code, Refused
from realtime.store.alerts import reads, timers
from realtime.store.alerts import rows as alert_rows
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.people import tenants
from realtime.timers.scheduler import LATE_MS, PUT_OFF_MS, TimerScheduler
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press
from tests.safety.timer_world import DRIVER, MINUTE, World, timer_world
from tests.store.people import put_contact


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with timer_world(database_url) as made:
        yield made


# --- arming and answering


async def test_arming_again_with_the_same_id_is_the_same_timer(world: World) -> None:
    spec = Spec(TimerKind.CHECK_IN, uuid4(), every_s=600)
    made = await asyncio.gather(*(timers.arm(world.db, "t1", "north", "d1", spec, DRIVER) for _ in range(5)))
    assert len({timer.timer_id for timer in made}) == 1
    assert (await timers.page(world.db, "t1")).timers == [made[0]]
    assert (await timers.page(world.db, "t2")).timers == []
    assert (await timers.page(world.db, "t1", vendors=["south"])).timers == []
    assert (await timers.page(world.db, "t1", vendors=["north"], driver="d1")).timers == [made[0]]


async def test_what_cannot_be_meant_and_too_many_are_refused(world: World) -> None:
    with pytest.raises(Refused) as refused:
        await world.arm(TimerKind.CHECK_IN)
    assert (refused.value.code, str(refused.value)) == (Code.INVALID, "every_s is missing")
    for _ in range(timers.MAX_LIVE):
        await world.arm(TimerKind.CHECK_IN, every_s=600)
    with pytest.raises(Refused) as refused:
        await world.arm(TimerKind.CHECK_IN, every_s=600)
    assert refused.value.code is Code.INVALID


async def test_a_missed_check_in_raises_an_alert_once(world: World) -> None:
    timer = await world.arm(TimerKind.CHECK_IN, every_s=600)
    assert await world.worker.round() == 0
    await world.later(11 * MINUTE)
    assert await world.worker.round() == 1
    (alert,) = await world.alerts()
    assert (alert.kind, alert.driver, alert.vendor) == (Kind.CHECK_IN_MISSED, "d1", "north")
    assert await world.state(timer) is TimerState.FIRED
    assert await world.worker.round() == 0
    assert len(await world.alerts()) == 1


async def test_checking_in_begins_anew_and_nothing_fires(world: World) -> None:
    timer = await world.arm(TimerKind.CHECK_IN, every_s=600)
    await world.later(9 * MINUTE)
    (begun,) = await timers.check_in(world.db, "t1", "d1")
    assert begun.timer_id == timer.timer_id
    await world.later(9 * MINUTE)
    assert await world.worker.round() == 0
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 1


async def test_a_late_check_in_waits_for_the_next_and_leaves_the_alert_to_people(world: World) -> None:
    timer = await world.arm(TimerKind.CHECK_IN, every_s=600)
    await world.later(11 * MINUTE)
    await world.worker.round()
    await timers.check_in(world.db, "t1", "d1", timer.timer_id)
    assert await world.state(timer) is TimerState.ARMED
    assert [alert.closed_ms for alert in await world.alerts()] == [None]
    await world.later(11 * MINUTE)
    assert await world.worker.round() == 1
    assert [alert.presses for alert in await world.alerts()] == [2]


async def test_arriving_cancelling_and_the_end_of_the_journey_stop_a_timer(world: World) -> None:
    journey_id = await world.begin()
    by_ms = await world.now_ms() + 10 * MINUTE
    arrived = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms)
    cancelled = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms)
    with_journey = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms, journey_id=journey_id)
    missed = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms)
    assert [t.state for t in await timers.arrive(world.db, "t1", "d1", arrived.timer_id)] == [TimerState.DONE]
    assert await timers.cancel(world.db, "t1", "d2", cancelled.timer_id, DRIVER) is None
    assert await timers.cancel(world.db, "t1", "d1", cancelled.timer_id, DRIVER) is not None
    assert await timers.cancel(world.db, "t1", "d1", cancelled.timer_id, DRIVER) is None
    await journeys.end(world.db, "t1", "d1", journey_id, by_ms, 1)
    await world.later(11 * MINUTE)
    assert await world.worker.round() == 1
    assert await world.state(with_journey) is TimerState.DONE
    assert await world.state(missed) is TimerState.FIRED
    assert [alert.kind for alert in await world.alerts()] == [Kind.ARRIVE_BY_MISSED]


async def test_arriving_ends_the_timers_of_that_journey_alone(world: World) -> None:
    journey_id = await world.begin()
    by_ms = await world.now_ms() + 10 * MINUTE
    of_it = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms, journey_id=journey_id)
    other = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms)
    done = await timers.arrive(world.db, "t1", "d1", journey_id=journey_id)
    assert [t.timer_id for t in done] == [of_it.timer_id]
    assert await world.state(other) is TimerState.ARMED


async def test_an_alert_of_a_timer_says_where_the_driver_was_and_on_which_journey(world: World) -> None:
    journey_id = await world.begin()
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    await world.worker.round()
    (alert,) = await world.alerts()
    assert alert.place is not None
    assert (alert.place.lat, alert.place.lon, alert.journey_id) == (53.4, -2.9, journey_id)


async def test_an_alert_of_a_timer_without_a_journey_has_the_drivers_last_position(world: World) -> None:
    journey_id = await world.begin()
    await journeys.end(world.db, "t1", "d1", journey_id, await world.now_ms(), 1)
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    await world.worker.round()
    (alert,) = await world.alerts()
    assert alert.place is not None
    assert (alert.place.lat, alert.place.source, alert.journey_id) == (53.4, "journey", journey_id)


@pytest.mark.parametrize("batch", [1, 50])
async def test_an_alert_of_a_timer_has_the_live_position_where_that_is_newer(
    world: World, batch: int
) -> None:
    await world.begin()
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.arm(TimerKind.CHECK_IN, "d2", every_s=60)
    await world.later(2 * MINUTE)
    now_ms = await world.now_ms()

    async def live_of(tenant: str, vendor: str, driver: str) -> Place | None:
        return Place(54.0, -2.9, 5.0, now_ms, source="live") if driver == "d1" else None

    worker = TimerScheduler(world.db, world.settings, world.is_online, batch=batch, live_of=live_of)
    assert await worker.round() == 2
    found = {alert.driver: alert.place for alert in await world.alerts()}
    assert found == {"d1": Place(54.0, -2.9, 5.0, now_ms, source="live"), "d2": None}


async def test_timers_fire_when_the_positions_of_one_driver_cannot_be_read(world: World) -> None:
    """The others of the batch have their places all the same."""
    await world.begin("d2")
    first = await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 1
    assert await world.state(first) is TimerState.FIRED
    async with world.db.writer() as connection:
        await connection.execute(
            "UPDATE alerts SET closed_ms = raised_ms, next_ms = NULL,"
            " alert = jsonb_set(alert::jsonb, '{place}', '{\"lat\": \"north\"}') WHERE tenant_id = 't1'"
        )
    armed = [await world.arm(TimerKind.CHECK_IN, driver, every_s=60) for driver in ("d1", "d2")]
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 2
    assert [await world.state(timer) for timer in armed] == [TimerState.FIRED] * 2
    async with world.db.writer() as connection:
        places = await connection.fetch(
            "SELECT driver_id, alert -> 'place' ->> 'lat' AS lat FROM alerts WHERE closed_ms IS NULL"
        )
    assert {row["driver_id"]: row["lat"] for row in places} == {"d1": None, "d2": "53.4"}


async def test_a_timer_joins_the_drivers_open_alert(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """One that the batch opens, and one that was open before; neither fails the batch for the others."""
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.arm(TimerKind.CHECK_IN, every_s=90)
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 2
    (alert,) = await world.alerts()
    assert (alert.presses, alert.state) == (2, State.ACTIVE)
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.arm(TimerKind.CHECK_IN, "d2", every_s=60)
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 2
    assert sorted(alert.presses for alert in await world.alerts()) == [1, 3]
    assert "one by one" not in caplog.text


async def test_many_timers_and_workers_fire_each_once(world: World) -> None:
    workers = [world.worker, *[await world.another() for _ in range(3)]]
    for n in range(30):
        await world.arm(TimerKind.CHECK_IN, driver=f"d{n}", every_s=60)
    await world.later(2 * MINUTE)
    fired = await asyncio.gather(*(worker.round() for worker in workers))
    assert sum(fired) == 30
    assert {alert.presses for alert in await world.alerts()} == {1}
    assert len(await world.alerts()) == 30


async def test_a_worker_that_is_cut_off_while_firing_leaves_the_timer_to_another(world: World) -> None:
    timer = await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    locked, cut = asyncio.Event(), asyncio.Event()

    async def cut_off() -> None:
        async with world.db.writer() as connection:
            await connection.fetchrow(timers.SQL["lock_due"], [timer.timer_id])
            locked.set()
            await cut.wait()
            raise ConnectionResetError

    dying = asyncio.create_task(cut_off())
    await locked.wait()
    other = await world.another()
    assert await other.round() == 0
    cut.set()
    with pytest.raises(Refused):
        await dying
    async with asyncio.timeout(20):  # Postgres lets go of the row once it has heard that the connection ended
        while await other.round() == 0:
            await asyncio.sleep(0.05)
    assert await other.round() == 0, "it fired once"


async def test_a_timer_that_cannot_be_fired_is_in_no_others_way(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken = await world.arm(TimerKind.CHECK_IN, driver="d1", every_s=60)
    await world.arm(TimerKind.CHECK_IN, driver="d2", every_s=90)
    async with world.db.writer() as connection:
        await connection.execute("UPDATE safety_timers SET timer = '{}' WHERE timer_id = $1", broken.timer_id)
    await world.later(2 * MINUTE)
    assert await world.worker.round() == 1
    assert [alert.driver for alert in await world.alerts()] == ["d2"]
    assert await world.worker.round() == 0
    logged = [message for message in caplog.messages if str(broken.timer_id) in message]
    assert len(logged) == 2, "that its batch is processed one by one, and that it cannot be fired"


async def test_a_clock_set_back_makes_no_timer_an_hour_late(world: World) -> None:
    check_in = await world.arm(TimerKind.CHECK_IN, every_s=600)
    by_ms = await world.now_ms() + 10 * MINUTE
    arrive_by = await world.arm(TimerKind.ARRIVE_BY, driver="d2", by_ms=by_ms)
    await world.later(-60 * MINUTE)
    assert await world.worker.round() == 0
    await world.later(11 * MINUTE)
    assert await world.worker.round() == 1
    assert await world.state(check_in) is TimerState.FIRED
    assert await world.state(arrive_by) is TimerState.ARMED


# --- many at once


async def test_the_ledger_and_the_timers_agree_on_what_is_open(world: World) -> None:
    ledger = PostgresLedger(world.db, random.Random(1).random)
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    await world.worker.round()
    assert await ledger.anything_due()


@contextlib.asynccontextmanager
async def holding(world: World, driver: str) -> AsyncIterator[None]:
    """Another transaction has the driver's lock, as a press that takes long."""
    db = await Database.open(world.settings)
    try:
        async with db.writer() as connection:
            await connection.execute(alert_rows.SQL["lock_driver"], "t1", driver)
            yield
    finally:
        await db.close()


async def test_one_that_takes_long_keeps_the_others_of_its_batch_from_nothing(world: World) -> None:
    held = await world.arm(TimerKind.CHECK_IN, "slow", every_s=60)
    others = [await world.arm(TimerKind.CHECK_IN, f"d{n}", every_s=60) for n in range(8)]
    await world.later(2 * MINUTE)
    async with holding(world, "slow"):
        round_ = asyncio.ensure_future(world.worker.round())
        for _ in range(200):
            if all([await world.state(timer) is TimerState.FIRED for timer in others]):
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("they wait for the slow one")
        assert await world.state(held) is TimerState.ARMED
    assert await round_ == 9
    assert len(await world.alerts()) == 9


async def test_a_batch_that_waits_for_one_driver_holds_back_no_press_of_another(world: World) -> None:
    for driver in ("d1", "d2", "slow"):
        await world.arm(TimerKind.CHECK_IN, driver, every_s=60)
    await world.later(2 * MINUTE)
    async with holding(world, "slow"):
        round_ = asyncio.ensure_future(world.worker.round())
        await until_waiting(world)
        ledger = PostgresLedger(world.db, random.Random(1).random)
        async with asyncio.timeout(2):
            for driver in ("d1", "d2"):
                await ledger.press(a_press(await world.now_ms(), driver=driver), CIRCUMSTANCES)
    assert await round_ == 3


async def until_waiting(world: World) -> None:
    """Until a transaction waits for a lock that another has."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    for _ in range(200):
        async with world.db.writer() as connection:
            if await connection.fetchval(query):
                return
        await asyncio.sleep(0.02)
    pytest.fail("nothing waits")


async def test_three_hundred_due_at_once_take_a_few_transactions_each_a_batch(world: World) -> None:
    """Each had three transactions of its own, and 200 at most went in a second."""
    async with world.db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t1')")
        await connection.execute("INSERT INTO vendors (tenant_id, vendor_id) VALUES ('t1', 'north')")
        await connection.execute(
            "INSERT INTO drivers (tenant_id, vendor_id, driver_id)"
            " SELECT 't1', 'north', 'd' || n FROM generate_series(1, 300) n"
        )
        now_ms = await connection.fetchval("SELECT now_ms()")
        made = [
            pure.armed(
                Spec(TimerKind.CHECK_IN, uuid4(), every_s=60), "t1", "north", f"d{n}", DRIVER, None, now_ms
            )
            for n in range(1, 301)
        ]
        await timers.put(connection, made)
    await world.later(2 * MINUTE)
    writer, opened = world.db.writer, 0

    def counted(timeout_s: float | None = None) -> contextlib.AbstractAsyncContextManager[asyncpg.Connection]:
        nonlocal opened
        opened += 1
        return writer(timeout_s)

    world.db.writer = counted  # type: ignore[method-assign]
    assert await world.worker.round() == 300
    world.db.writer = writer  # type: ignore[method-assign]
    assert opened <= 1 + 2 * 6 + 1
    alerts = await reads.list_(world.db, "t1", limit=500)
    assert len({alert.driver for alert in alerts}) == 300


async def test_a_batch_raises_the_alerts_that_single_presses_would(world: World) -> None:
    """The rows are the same to the last column, but for ids and times."""
    columns = {
        "alerts": "tenant_id, vendor_id, journey_id, kind, state, drill, closed_ms, version",
        "alert_attempts": "tenant_id, channel, status, urgency, provider, host",
        "alert_events": "tenant_id, version, what, arrow, actor::text",
        "alert_presses": "tenant_id",
    }

    async def rows() -> list[list[tuple[object, ...]]]:
        async with world.db.writer() as connection:
            found = []
            for table, names in columns.items():
                many = await connection.fetch(f"SELECT {names} FROM {table}")
                found.append(sorted(map(tuple, many), key=str))
            await connection.execute("DELETE FROM alerts")
        return found

    await tenants.connect_driver(world.db, "t1", "north", "d0")
    await put_contact(world.db, "t1", phone="+41790000001", webhook_url="https://hooks.example/a")
    made = []
    for batch in (1, 50):
        for n in range(3):
            await world.arm(TimerKind.CHECK_IN, driver=f"d{n}", every_s=60)
        await world.later(2 * MINUTE)
        worker = TimerScheduler(world.db, world.settings, world.is_online, batch=batch)
        assert await worker.round() == 3
        made.append(await rows())
    assert made[0] == made[1]
    assert len(made[0][0]) == 3


# --- journeys


async def test_a_timer_may_name_only_a_journey_of_its_own_driver(world: World) -> None:
    """Another driver's, and another tenant's, look like one that does not exist."""
    own = await world.begin("d1")
    anothers = await world.begin("d2")
    now_ms = await world.now_ms()
    await tenants.connect_driver(world.db, "t2", "north", "d1")
    head = await journeys.start(world.db, "t2", "north", "d1", uuid4(), now_ms, None, None, None, now_ms)
    answers = []
    for journey_id in (anothers, head.journey_id, uuid4()):
        with pytest.raises(Refused) as refused:
            await world.arm(TimerKind.CHECK_IN, every_s=600, journey_id=journey_id)
        answers.append((refused.value.code, str(refused.value)))
    assert answers == [(Code.NOT_FOUND, "no such journey")] * 3
    assert (await timers.page(world.db, "t1")).timers == []
    assert (await world.arm(TimerKind.CHECK_IN, every_s=600, journey_id=own)).journey_id == own


@pytest.mark.parametrize("batch", [1, 50])
async def test_a_timer_that_was_armed_with_anothers_journey_shows_nothing_of_it(
    world: World, batch: int
) -> None:
    """Processes of before took such a timer. Its alert has its own driver's journey and place, or none."""
    anothers = await world.begin("d2")
    for driver in ("d1", "d3"):
        timer = await world.arm(TimerKind.CHECK_IN, driver, every_s=60)
        foreign = msgspec.structs.replace(timer, journey_id=anothers)
        async with world.db.writer() as connection:
            await timers.put(connection, [foreign])
    await journeys.end(world.db, "t1", "d2", anothers, 0, 1)
    await world.later(2 * MINUTE)
    worker = TimerScheduler(world.db, world.settings, world.is_online, batch=batch)
    assert await worker.round() == 2, "nor is it ended with that journey"
    assert {(alert.journey_id, alert.place) for alert in await world.alerts()} == {(None, None)}
    assert {t.journey_id for t in (await timers.page(world.db, "t1", live=False)).timers} == {None}


async def test_what_is_written_of_a_timer_stays_with_its_tenant_and_driver(world: World) -> None:
    timer = await world.arm(TimerKind.CHECK_IN, every_s=600)
    async with world.db.writer() as connection:
        for stolen in (
            msgspec.structs.replace(timer, tenant="t2", state=TimerState.DONE),
            msgspec.structs.replace(timer, driver="d2", state=TimerState.DONE),
        ):
            await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t2') ON CONFLICT DO NOTHING")
            await timers.put(connection, [stolen])
        assert await connection.fetchrow(timers.SQL["lock"], timer.timer_id, "t2", "d1") is None
        assert await connection.fetchrow(timers.SQL["lock"], timer.timer_id, "t1", "d2") is None
    assert await world.state(timer) is TimerState.ARMED


@contextlib.asynccontextmanager
async def damaged(world: World, fault: str, table: str) -> AsyncIterator[None]:
    """``table`` is locked by another transaction, or lost."""
    other = await asyncpg.connect(world.settings.database_url.get_secret_value(), timeout=20)
    try:
        if fault == "locked":
            async with other.transaction():
                await other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                yield
        else:
            await other.execute(f"ALTER TABLE {table} RENAME TO {table}_lost")
            yield
            await other.execute(f"ALTER TABLE {table}_lost RENAME TO {table}")
    finally:
        await other.close()


@pytest.mark.parametrize("fault", ["locked", "lost"])
@pytest.mark.parametrize("table", ["journey_points", "journeys", "contacts"])
async def test_a_batch_of_timers_fires_without_a_table_that_cannot_be_read(
    world: World, fault: str, table: str
) -> None:
    """Signs of life, the end of the journey and contacts were read without a limit, and a failure stopped
    the batch; the timers had to wait until their deadlines were fired from memory.
    """
    journey_id = await world.begin()
    armed = [
        await world.arm(TimerKind.CHECK_IN, every_s=60, journey_id=journey_id),
        *[await world.arm(TimerKind.CHECK_IN, f"d{n}", every_s=60) for n in range(2, 5)],
    ]
    await world.later(2 * MINUTE)
    async with damaged(world, fault, table), asyncio.timeout(9):
        assert await world.worker.round() == 4
    assert [await world.state(timer) for timer in armed] == [TimerState.FIRED] * 4


@pytest.mark.parametrize("fault", ["locked", "lost"])
async def test_a_timer_whose_journey_cannot_be_read_waits_a_little_and_then_fires(
    world: World, fault: str
) -> None:
    """A short lock does not raise the alert of a driver who has ended the journey."""
    journey_id = await world.begin()
    by_ms = await world.now_ms() + MINUTE
    timer = await world.arm(TimerKind.ARRIVE_BY, by_ms=by_ms, journey_id=journey_id)
    await world.later(MINUTE + 1_000)
    async with damaged(world, fault, "journeys"):
        assert await world.worker.round() == 0
        assert await world.state(timer) is TimerState.ARMED
        await world.later(LATE_MS)
        assert await world.worker.round() == 1
    assert await world.state(timer) is TimerState.FIRED


@pytest.mark.parametrize("fault", ["locked", "lost"])
async def test_silence_is_not_counted_while_signs_of_life_cannot_be_read(world: World, fault: str) -> None:
    await world.begin()
    silent = await world.arm(TimerKind.SIGNAL_LOST, every_s=600)
    missed = await world.arm(TimerKind.CHECK_IN, "d2", every_s=60)
    await world.open_for(11)
    async with damaged(world, fault, "journey_points"):
        assert await world.worker.round() == 1
        assert await world.state(silent) is TimerState.ARMED
        assert await world.state(missed) is TimerState.FIRED
    await world.later(PUT_OFF_MS)
    assert await world.worker.round() == 1
    assert await world.state(silent) is TimerState.FIRED


async def test_a_timer_fires_with_the_contacts_of_the_local_copy(world: World) -> None:
    worker = TimerScheduler(world.db, world.settings, local_copy=lambda *whose: CIRCUMSTANCES)
    await world.arm(TimerKind.CHECK_IN, every_s=60)
    await world.later(2 * MINUTE)
    async with damaged(world, "lost", "contacts"):
        assert await worker.round() == 1
    (alert,) = await world.alerts()
    case = await PostgresLedger(world.db, random.Random(1).random).look(alert.alert_id)
    assert case is not None
    assert {"Ana", "Ben"} <= {contact.name for contact in case.copy.contacts}
