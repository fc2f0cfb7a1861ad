"""A timer whose time comes while Postgres is unavailable, or cannot fire it: contacts are notified, once."""

from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Kind, Press
from alerts.ports import StorageRejected, Taken
from alerts.timers import Spec, Timer, TimerKind, press_of
from realtime.settings import Settings
from realtime.store.alerts import rows, timers
from realtime.store.alerts.delivery_faults import DeliveryFaults, DeliveryStage
from realtime.store.journeys import journeys
from realtime.store.people import tenants
from realtime.timers.deadlines import FRESH_S, LATE_MS, Deadlines, missed
from realtime.timers.scheduler import TimerScheduler
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import Process

D1 = Actor(ActorKind.DRIVER, "d1")


class Clock:
    s = 1_000.0

    def __call__(self) -> float:
        return self.s


class Scene:
    """A worker of ``process`` that reads deadlines, on a clock that a test moves."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.clock = Clock()
        self.faults = DeliveryFaults(self.clock, persistent_s=0.0)
        self.deadlines = Deadlines(
            process.reach, process.db, process.intake, self.faults, self.clock, unavailable_s=0.0
        )

    async def arm(self, kind: TimerKind = TimerKind.CHECK_IN, journey_id: UUID | None = None) -> Timer:
        spec = Spec(kind, uuid4(), every_s=600, journey_id=journey_id)
        return await timers.arm(self.process.db, "t1", "north", "d1", spec, D1)

    async def lose_postgres(self) -> None:
        self.process.line.cut()
        await self.deadlines.round()
        assert not self.process.reach.is_up


@pytest.fixture
def scene(process: Process) -> Scene:
    return Scene(process)


async def test_a_check_in_that_is_missed_while_postgres_is_unavailable_raises_its_alert_once(
    scene: Scene, process: Process
) -> None:
    timer = await scene.arm()
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 599
    assert await scene.deadlines.round() == 0, "it is not due"
    scene.clock.s += 2
    assert await scene.deadlines.round() == 1
    assert await scene.deadlines.round() == 0
    (kept,) = process.journal.all()
    assert (kept.case.alert.kind, kept.case.alert.driver) == (Kind.CHECK_IN_MISSED, "d1")
    await process.back()
    await make_due(process, timer, 1)
    assert await TimerScheduler(process.db, Settings(database_url=process.line.url)).round() == 1  # type: ignore[arg-type]
    assert [alert.alert_id for alert in await process.stored()] == [kept.case.alert.alert_id]


async def test_what_was_checked_in_ended_or_cancelled_is_not_fired(scene: Scene, process: Process) -> None:
    head = await a_journey(process)
    await scene.arm(journey_id=head)
    cancelled = await scene.arm()
    checked_in = await scene.arm()
    await scene.deadlines.round()
    await timers.cancel(process.db, "t1", "d1", cancelled.timer_id, D1)
    scene.clock.s += 300
    await journeys.end(process.db, "t1", "d1", head, now_ms(), 0)
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 601
    await scene.deadlines.round()
    presses = [kept.case.alert.sos_id for kept in process.journal.all()]
    assert presses == [press_of(checked_in, None, None, 0).sos_id]


async def test_a_timer_that_postgres_fails_to_fire_goes_to_the_journal(
    scene: Scene, process: Process, database_url: str
) -> None:
    timer = await scene.arm()
    await scene.deadlines.round()
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute("ALTER TABLE alerts RENAME TO alerts_lost")
    await make_due(process, timer, now_ms() - LATE_MS - 1_000)
    assert await scene.deadlines.round() == 0, "nothing has failed yet: Postgres fires it"
    scene.faults.alert_failed(timer.timer_id, DeliveryStage.FIRE)
    assert await scene.deadlines.round() == 1
    assert len(process.journal.all()) == 1
    await owner.execute("ALTER TABLE alerts_lost RENAME TO alerts")
    await owner.close()


async def test_who_has_checked_in_while_deadlines_could_not_be_read_is_not_reported_missing(
    scene: Scene, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    timer = await scene.arm()
    await make_due(process, timer, now_ms() - LATE_MS - 1_000)
    await scene.deadlines.round()
    scene.faults.alert_failed(timer.timer_id, DeliveryStage.FIRE)

    async def fail(deadlines: Deadlines) -> None:
        raise StorageRejected

    monkeypatch.setattr(Deadlines, "_nearest", fail)
    await timers.check_in(process.db, "t1", "d1", timer.timer_id)
    assert await scene.deadlines.round() == 0
    assert process.journal.all() == await process.stored() == []


async def test_deadlines_that_were_read_long_ago_are_not_fired(scene: Scene, process: Process) -> None:
    await scene.arm()
    await scene.deadlines.round()
    scene.clock.s += 2 * FRESH_S
    await scene.lose_postgres()
    scene.clock.s += 600
    assert await scene.deadlines.round() == 0
    assert process.journal.all() == []


async def test_a_timer_that_cannot_be_pressed_is_in_no_others_way(
    scene: Scene, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await scene.arm(), await scene.arm()
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 601
    press, pressed = process.intake.press, list[UUID]()

    async def failing(given: Press) -> Taken:
        pressed.append(given.sos_id)
        if given.sos_id == press_of(first, None, None, 0).sos_id:
            raise ValueError
        return await press(given)

    monkeypatch.setattr(process.intake, "press", failing)
    assert await scene.deadlines.round() == 1
    assert pressed == [press_of(timer, None, None, 0).sos_id for timer in (first, second)]


async def test_signal_lost_is_not_fired_here_and_the_nearest_deadlines_are_read_first(
    scene: Scene, process: Process
) -> None:
    await scene.arm(TimerKind.SIGNAL_LOST)
    first = await scene.arm()
    await scene.arm()
    nearest = Deadlines(process.reach, process.db, process.intake, scene.faults, scene.clock, max_timers=1)
    await nearest.round()
    assert list(nearest._timers) == [first.timer_id]


def test_the_longest_overdue_is_first() -> None:
    def due(due_ms: int) -> Timer:
        return Timer(uuid4(), "t1", "north", "d1", TimerKind.CHECK_IN, "armed", due_ms, 0, D1)  # type: ignore[arg-type]

    late, later, not_yet = due(100), due(50), due(101)
    assert missed([late, not_yet, later], 110, 10) == [later, late]


async def a_journey(process: Process) -> UUID:
    await tenants.connect_driver(process.db, "t1", "north", "d1")
    head = await journeys.start(process.db, "t1", "north", "d1", uuid4(), 1, None, None, None, 1)
    return head.journey_id


async def make_due(process: Process, timer: Timer, due_ms: int) -> None:
    async with process.db.writer() as connection:
        await connection.execute(
            "UPDATE safety_timers SET due_ms = $2, timer = $3 WHERE timer_id = $1",
            timer.timer_id,
            due_ms,
            rows.json(replace(timer, due_ms=due_ms)),
        )


async def test_a_worker_notes_which_timer_it_cannot_fire(
    scene: Scene, process: Process, database_url: str
) -> None:
    timer = await scene.arm()
    await make_due(process, timer, now_ms() - LATE_MS - 1_000)
    worker = TimerScheduler(process.db, Settings(database_url=database_url), faults=scene.faults)  # type: ignore[arg-type]
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute("ALTER TABLE alerts RENAME TO alerts_lost")
    await scene.deadlines.round()
    await worker.round()
    assert scene.faults.failing == [timer.timer_id]
    assert await scene.deadlines.round() == 1
    await owner.execute("ALTER TABLE alerts_lost RENAME TO alerts")
    await owner.close()
    await make_due(process, timer, 1)
    await process.back()
    assert await worker.round() == 1
    assert scene.faults.failing == []
    (alert,) = await process.stored()
    assert alert.sos_id == press_of(timer, None, None, 0).sos_id


async def test_a_timer_of_a_driver_whose_sos_is_in_a_journal_waits_for_its_import(
    scene: Scene, process: Process, database_url: str
) -> None:
    """Fired at once it would open a second alert, and contacts would be notified twice."""
    timer = await scene.arm()
    await make_due(process, timer, 1)
    await process.journal.press(process.press(), process.directory.of("t1", "north", "d1"))
    worker = TimerScheduler(
        process.db,
        Settings(database_url=database_url),  # type: ignore[arg-type]
        is_in_journal=lambda tenant, driver: bool(process.journal.all()),
    )
    assert await worker.round() == 0
    await process.importer.round()
    assert await worker.round() == 1
    assert len(await process.stored()) == 1
