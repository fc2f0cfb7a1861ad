"""A check-in that Postgres does not take is stored in Redis, and its driver is not reported missing."""

import asyncio
import math
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Kind
from alerts.timers import Spec, Timer, TimerKind, TimerState, armed
from realtime.protocol import Code, Refused
from realtime.redis.client import client
from realtime.settings import Settings
from realtime.store.alerts import timers
from realtime.store.alerts.delivery_faults import DeliveryFaults, DeliveryStage
from realtime.timers.checkins import (
    AWAITED_FAILURES,
    CheckIn,
    CheckInAction,
    CheckIns,
    StoredCheckIn,
    _Failure,
    answered,
    overlaid,
)
from realtime.timers.deadlines import LATE_MS, Deadlines
from realtime.timers.scheduler import TimerScheduler
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import Process

D1 = Actor(ActorKind.DRIVER, "d1")
CHECK_IN, ARRIVE = (CheckIn("t1", "d1", action) for action in CheckInAction)


class Clock:
    s = 1_000.0

    def __call__(self) -> float:
        return self.s


class AgedCheckIns(CheckIns):
    """Answers that also age by a clock that a test moves."""

    clock: Clock
    kept_s: float

    async def keep(self, answer: CheckIn) -> None:
        await super().keep(answer)
        self.kept_s = self.clock()

    async def read(self) -> list[StoredCheckIn]:
        moved_ms = int((self.clock() - self.kept_s) * 1000)
        return [replace(one, age_ms=one.age_ms + moved_ms) for one in await super().read()]


@pytest.fixture
async def checkins(redis_url: str) -> AsyncIterator[AgedCheckIns]:
    redis = client(redis_url, timeout_s=2.0, max_connections=4)
    key = f"sos:checkins:{uuid4()}"
    made = AgedCheckIns(redis, max_answers=3, key=key)
    made.clock, made.kept_s = Clock(), 0.0
    yield made
    await redis.delete(key)
    await redis.aclose()


class Scene:
    """A worker of ``process`` on a clock that a test moves."""

    def __init__(self, process: Process, checkins: AgedCheckIns) -> None:
        self.process = process
        self.checkins = checkins
        self.clock = checkins.clock
        self.faults = DeliveryFaults(self.clock, persistent_s=0.0)
        self.deadlines = Deadlines(
            process.reach,
            process.db,
            process.intake,
            self.faults,
            self.clock,
            unavailable_s=0.0,
            checkins=checkins,
        )
        settings = Settings(database_url=process.line.url)  # type: ignore[arg-type]
        self.timers = TimerScheduler(process.db, settings, checkins=checkins)

    async def arm(self, every_s: int = 600, **changes: object) -> Timer:
        timer = await timers.arm(
            self.process.db, "t1", "north", "d1", Spec(TimerKind.CHECK_IN, uuid4(), every_s=every_s), D1
        )
        return await self.put(replace(timer, **changes)) if changes else timer  # type: ignore[arg-type]

    async def put(self, timer: Timer) -> Timer:
        async with self.process.db.writer() as connection:
            await timers.put(connection, [timer])
        return timer

    async def stored(self, timer: Timer) -> Timer:
        async with self.process.db.writer() as connection:
            row = await connection.fetchrow(timers.SQL["lock"], timer.timer_id, "t1", "d1")
        return timers.timer_of(row)

    async def lose_postgres(self) -> None:
        self.process.line.cut()
        await self.deadlines.round()
        assert not self.process.reach.is_up

    @property
    def raised(self) -> list[Kind]:
        return [kept.case.alert.kind for kept in self.process.journal.all()]


@pytest.fixture
def scene(process: Process, checkins: AgedCheckIns) -> Scene:
    return Scene(process, checkins)


async def test_a_check_in_while_postgres_is_unavailable_keeps_its_timer_from_firing(scene: Scene) -> None:
    timer = await scene.arm()
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 550
    await scene.deadlines.round()
    await scene.checkins.keep(CHECK_IN)
    scene.clock.s += 60
    assert await scene.deadlines.round() == 0
    assert scene.raised == []
    assert scene.deadlines._timers[timer.timer_id].due_ms > timer.due_ms
    scene.clock.s -= 60  # Postgres' own clock has not moved
    await scene.process.back()
    assert await scene.timers.round() == 0
    after = await scene.stored(timer)
    assert after.state is TimerState.ARMED
    assert after.due_ms > timer.due_ms
    assert await scene.checkins.read() == []


async def test_a_driver_that_checks_in_once_and_misses_the_next_interval_is_reported(scene: Scene) -> None:
    await scene.arm()
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 590
    await scene.deadlines.round()
    await scene.checkins.keep(CHECK_IN)
    scene.clock.s += 20
    assert await scene.deadlines.round() == 0
    scene.clock.s += 700
    assert await scene.deadlines.round() == 1
    assert scene.raised == [Kind.CHECK_IN_MISSED]
    assert await scene.deadlines.round() == 0


async def test_an_arrival_while_postgres_is_unavailable_ends_all_timers(scene: Scene) -> None:
    made = [await scene.arm() for _ in range(3)]
    await scene.deadlines.round()
    await scene.lose_postgres()
    scene.clock.s += 10
    await scene.deadlines.round()
    await scene.checkins.keep(ARRIVE)
    scene.clock.s += 10_000
    assert await scene.deadlines.round() == 0
    scene.clock.s -= 10_000  # Postgres' own clock has not moved
    await scene.process.back()
    assert await scene.timers.round() == 0
    assert {(await scene.stored(timer)).state for timer in made} == {TimerState.DONE}


async def test_a_check_in_counts_before_postgres_fires_what_is_overdue(scene: Scene) -> None:
    """Postgres was unavailable when the driver checked in, and is back when the timer is overdue."""
    timer = await scene.arm()
    overdue = await scene.put(replace(timer, due_ms=now_ms() - 1_000, armed_ms=timer.armed_ms - 700_000,
                                      heard_ms=timer.armed_ms - 700_000))  # fmt: skip
    await scene.checkins.keep(CHECK_IN)
    assert await scene.timers.round() == 0
    assert (await scene.stored(overdue)).state is TimerState.ARMED
    assert await scene.process.stored() == []


async def test_a_check_in_counts_while_the_table_of_timers_fails(
    scene: Scene, process: Process, database_url: str
) -> None:
    timer = await scene.arm()
    await scene.put(replace(timer, due_ms=now_ms() - LATE_MS - 1_000, armed_ms=timer.armed_ms - 700_000,
                            heard_ms=timer.armed_ms - 700_000))  # fmt: skip
    await scene.deadlines.round()
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute("ALTER TABLE safety_timers RENAME TO lost_timers")
    scene.faults.alert_failed(timer.timer_id, DeliveryStage.FIRE)
    await scene.checkins.keep(CHECK_IN)
    assert await scene.deadlines.round() == 0
    with pytest.raises(asyncpg.PostgresError):
        await scene.timers.round()
    assert len(await scene.checkins.read()) == 1, "it is stored until the table works"
    await owner.execute("ALTER TABLE lost_timers RENAME TO safety_timers")
    await owner.close()
    assert await scene.timers.round() == 0
    assert (await scene.stored(timer)).due_ms > now_ms()
    assert scene.raised == []


async def test_a_miss_after_a_stored_check_in_is_fired_although_postgres_cannot(scene: Scene) -> None:
    timer = await scene.arm(every_s=60)
    await scene.put(replace(timer, due_ms=now_ms() - LATE_MS - 1_000, armed_ms=timer.armed_ms - 700_000,
                            heard_ms=timer.armed_ms - 700_000))  # fmt: skip
    await scene.deadlines.round()
    scene.faults.alert_failed(timer.timer_id, DeliveryStage.FIRE)
    await scene.checkins.keep(CHECK_IN)
    assert await scene.deadlines.round() == 0
    moved = scene.deadlines._timers[timer.timer_id]
    assert moved.due_ms > now_ms()
    scene.deadlines._timers[timer.timer_id] = replace(moved, due_ms=now_ms() - LATE_MS - 1_000)
    assert await scene.deadlines._is_still_due(scene.deadlines._timers[timer.timer_id])


async def test_a_later_check_in_in_postgres_is_not_undone(scene: Scene) -> None:
    timer = await scene.arm()
    await scene.checkins.keep(CHECK_IN)
    await asyncio.sleep(0.02)
    (later,) = await timers.check_in(scene.process.db, "t1", "d1")
    assert await scene.checkins.apply(scene.process.db) == 1
    assert (await scene.stored(timer)).heard_ms == later.heard_ms


async def test_an_answer_is_of_the_timers_that_its_driver_had_then(scene: Scene) -> None:
    await scene.checkins.keep(ARRIVE)
    await asyncio.sleep(0.02)
    timer = await scene.arm()
    assert await scene.checkins.apply(scene.process.db) == 1
    assert (await scene.stored(timer)).state is TimerState.ARMED


async def test_an_answer_that_is_written_late_ends_no_timer_that_was_armed_after_it(scene: Scene) -> None:
    await scene.checkins.keep(ARRIVE)
    found = await scene.checkins.read()
    await asyncio.sleep(0.02)
    timer = await scene.arm()
    await asyncio.sleep(0.1)
    scene.checkins.read = lambda: _as(found)  # type: ignore[method-assign]
    assert await scene.checkins.apply(scene.process.db) == 1
    assert (await scene.stored(timer)).state is TimerState.ARMED


async def test_one_that_came_while_another_was_written_stays(scene: Scene) -> None:
    await scene.checkins.keep(CHECK_IN)
    (first,) = await scene.checkins.read()
    await asyncio.sleep(0.01)
    await scene.checkins.keep(CHECK_IN)
    read, scene.checkins.read = scene.checkins.read, lambda: _as([first])  # type: ignore[method-assign]
    await scene.checkins.apply(scene.process.db)
    scene.checkins.read = read  # type: ignore[method-assign]
    assert len(await scene.checkins.read()) == 1


async def _as(found: list[StoredCheckIn]) -> list[StoredCheckIn]:
    return found


async def test_an_answer_that_cannot_be_written_holds_up_no_timer_of_others(
    scene: Scene, database_url: str
) -> None:
    """The driver's own timer waits for it a while."""
    timer = await scene.arm()
    overdue = {"due_ms": now_ms() - 1_000, "armed_ms": timer.armed_ms - 700_000, "heard_ms": None}
    await scene.put(replace(timer, **overdue))
    other = await timers.arm(
        scene.process.db, "t1", "north", "d2", Spec(TimerKind.CHECK_IN, uuid4(), every_s=600), D1
    )
    await scene.put(replace(other, **overdue))
    await scene.checkins.keep(CHECK_IN)
    scene.checkins._write_s = 0.2  # type: ignore[misc]
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute("BEGIN; SET LOCAL ROLE wayguard_writer")
    await owner.execute("SELECT FROM safety_timers WHERE tenant_id = 't1' AND driver_id = 'd1' FOR UPDATE")
    assert await scene.timers.round() == 1
    listed = (await timers.page(scene.process.db, "t1", live=False)).timers
    assert {one.driver: one.state for one in listed}["d2"] is TimerState.FIRED
    await owner.execute("ROLLBACK")
    await owner.close()
    assert [failed.times for failed in scene.checkins._failures.values()] == [1]
    assert await scene.timers.round() == 0
    assert (await scene.stored(timer)).state is TimerState.ARMED
    assert await scene.checkins.read() == []


async def test_an_answer_that_fails_again_is_left_alone_for_a_while(scene: Scene, database_url: str) -> None:
    await scene.checkins.keep(CHECK_IN)
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute("ALTER TABLE safety_timers RENAME TO lost_timers")
    for _ in range(4):
        assert await scene.checkins.apply(scene.process.db) == 0
    await owner.execute("ALTER TABLE lost_timers RENAME TO safety_timers")
    await owner.close()
    assert [failed.times for failed in scene.checkins._failures.values()] == [2]
    scene.checkins._failures = {
        content: replace(failed, again_s=0.0) for content, failed in scene.checkins._failures.items()
    }
    assert await scene.checkins.apply(scene.process.db) == 1


async def test_an_answer_that_always_fails_does_not_silence_its_driver_s_timers(scene: Scene) -> None:
    await scene.checkins.keep(CHECK_IN)
    (one,) = await scene.checkins.read()
    for times, is_awaited in ((AWAITED_FAILURES - 1, True), (AWAITED_FAILURES, False)):
        scene.checkins._failures = {one.content: _Failure(times, math.inf)}
        assert await scene.checkins.apply(scene.process.db) == 0
        assert scene.checkins.is_awaited("t1", "d1") is is_awaited


async def test_a_round_writes_a_bounded_number_and_the_timers_of_the_others_wait(scene: Scene) -> None:
    scene.checkins._written_at_once = 2  # type: ignore[misc]
    for driver in ("d1", "d2", "d3"):
        await scene.checkins.keep(CheckIn("t1", driver, CheckInAction.CHECK_IN))
        await asyncio.sleep(0.005)
    assert await scene.checkins.apply(scene.process.db) == 2
    assert [scene.checkins.is_awaited("t1", driver) for driver in ("d1", "d2", "d3")] == [False, False, True]
    assert await scene.checkins.apply(scene.process.db) == 1
    assert not scene.checkins.is_awaited("t1", "d3")


async def test_what_redis_does_not_take_is_unavailable(scene: Scene) -> None:
    for driver in ("a", "b", "c", "a"):
        await scene.checkins.keep(CheckIn("t1", driver, CheckInAction.CHECK_IN))
    with pytest.raises(Refused) as refused:
        await scene.checkins.keep(CheckIn("t1", "d", CheckInAction.CHECK_IN))
    assert refused.value.code is Code.UNAVAILABLE
    nowhere = client("redis://127.0.0.1:1", timeout_s=0.5, max_connections=1)
    with pytest.raises(Refused) as refused:
        await CheckIns(nowhere).keep(CHECK_IN)
    assert refused.value.retryable
    await nowhere.aclose()


async def test_without_redis_timers_are_fired_as_they_are_known(scene: Scene, process: Process) -> None:
    timer = await scene.arm()
    await scene.put(replace(timer, due_ms=now_ms() - 1))
    nowhere = client("redis://127.0.0.1:1", timeout_s=0.5, max_connections=1)
    settings = Settings(database_url=process.line.url)  # type: ignore[arg-type]
    assert await TimerScheduler(process.db, settings, checkins=CheckIns(nowhere)).round() == 1
    await nowhere.aclose()


async def test_what_cannot_be_decoded_is_in_no_others_way(scene: Scene, redis_url: str) -> None:
    redis = client(redis_url, timeout_s=2.0, max_connections=1)
    for content in (b"", b"x y", b"1 {}", b"nan {}", b"1e400 {}", b"1 \xff"):
        await redis.hset(scene.checkins._key, uuid4().hex, content)
        assert await scene.checkins.read() == []
    await redis.aclose()


def a_timer(kind: TimerKind = TimerKind.CHECK_IN) -> Timer:
    return armed(Spec(kind, uuid4(), by_ms=90_000, every_s=60), "t1", "north", "d1", D1, None, 1_000)


def test_what_an_answer_changes() -> None:
    timer = a_timer()
    for answer, at_ms in [
        (CheckIn("t2", "d1", CheckInAction.CHECK_IN), 2_000),
        (CheckIn("t1", "d2", CheckInAction.ARRIVE), 2_000),
        (CHECK_IN, 999),
        (ARRIVE, 999),
        (CHECK_IN, 1_000),
    ]:
        assert answered(timer, answer, at_ms) is None
    assert answered(a_timer(TimerKind.ARRIVE_BY), CHECK_IN, 2_000) is None
    moved = answered(timer, CHECK_IN, 2_000)
    assert moved is not None
    assert (moved.heard_ms, moved.due_ms) == (2_000, 2_000 + 60_000)
    done = answered(a_timer(TimerKind.ARRIVE_BY), ARRIVE, 2_000)
    assert done is not None
    assert (done.state, done.ended_ms, done.ended_by) == (TimerState.DONE, 2_000, D1)
    assert answered(done, CHECK_IN, 3_000) is None


def test_answers_count_in_the_order_in_which_they_came() -> None:
    timer = a_timer()
    given = [
        StoredCheckIn(CHECK_IN, 300, b"", b""),
        StoredCheckIn(ARRIVE, 100, b"", b""),
        StoredCheckIn(CHECK_IN, 500, b"", b""),
    ]
    after = overlaid(timer, given, 10_000)
    assert (after.state, after.heard_ms, after.ended_ms) == (TimerState.DONE, 9_700, 9_900)
    assert overlaid(after, given, 10_000) == after
