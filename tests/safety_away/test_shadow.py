"""Alerts that were committed before Postgres went away go on without it, and come back as one."""

import asyncio
from contextlib import suppress
from dataclasses import replace as replace_bounds
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.attempt import Accepted, Channel, Status
from alerts.events import Noted, Resolved
from alerts.leases import claim_ms, stood_in_for
from alerts.ports import StorageFailure
from alerts.values import Actor, ActorKind, State
from realtime.alerting.failover.takeover import Takeover
from realtime.store.alerts import reads
from realtime.store.alerts.open_cases import OpenCases
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press
from tests.alerts.slots import UpTo
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import PATIENT, Process

JO = Actor(ActorKind.OPERATOR, "jo")
at_once = pytest.mark.parametrize("bounds", [replace_bounds(PATIENT, take_over_after_s=0.0)], ids=["at_once"])


@pytest.fixture
def shadow(process: Process) -> Takeover:
    return process.shadow


async def lose(process: Process, shadow: Takeover) -> None:
    """Postgres goes away, and the shadow finds out."""
    process.line.cut()
    with suppress(StorageFailure):
        await shadow.beat()
    assert not process.reach.is_up


@at_once
async def test_an_open_alert_goes_on_and_is_one_when_postgres_is_back(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    assert taken.durability == "committed"
    await shadow.beat()
    assert process.journal.kept == {}, "postgres is there"
    await lose(process, shadow)
    await shadow.beat()
    await shadow.beat()
    assert process.others.turns == [alert_id]
    case = process.journal.kept[alert_id].case
    assert {a.status for a in case.attempts.values()} == {Status.SENDING}
    assert await process.back() == 1
    story = await reads.explain(process.db, "t1", alert_id)
    assert story is not None
    assert {a.attempt_id for a in story.attempts} == set(case.attempts)
    await shadow.beat()
    await lose(process, shadow)
    await shadow.beat()
    assert process.others.turns == [alert_id, alert_id], "and again when it goes away again"


async def test_a_short_absence_is_waited_out(process: Process, shadow: Takeover) -> None:
    await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    await shadow.beat()
    assert process.journal.kept == {}


@at_once
async def test_with_redis_away_too_an_alert_waits_until_somebody_has_to_stand_in(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    process.others.away = process.others.served = True
    await shadow.beat()
    assert process.journal.kept == {}
    process.others.stands_in = True
    await shadow.beat()
    assert process.others.turns == [taken.alert.alert_id]
    attempts = process.journal.kept[taken.alert.alert_id].case.attempts.values()
    assert {a.status for a in attempts} == {Status.SENDING}, "looked up before they are sent"
    assert all((claim_ms(a) or 0) <= now_ms() for a in attempts), "and at once: it has waited enough"


@at_once
async def test_when_redis_is_back_an_alert_that_waited_goes_on_by_its_lease(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    process.others.away = True
    await shadow.beat()
    process.others.away = False
    await shadow.beat()
    assert process.others.turns == [taken.alert.alert_id]


@at_once
async def test_what_was_closed_or_sent_before_is_known(process: Process, shadow: Takeover) -> None:
    closed = await process.intake.press(process.press(driver="d2"))
    taken = await process.intake.press(process.press())
    await shadow.beat()
    jobs = await process.ledger.claim("w1", UpTo(), 30.0)
    job = next(job for job in jobs if job.alert.alert_id == taken.alert.alert_id)
    await process.ledger.settle(job, Accepted(f"SM{uuid4().hex}", "queued"))
    async with process.db.writer() as connection:
        await connection.execute(
            "UPDATE alerts SET closed_ms = 1, state = 'resolved' WHERE alert_id = $1", closed.alert.alert_id
        )
    await shadow.beat()
    await lose(process, shadow)
    await shadow.beat()
    assert set(process.journal.kept) == {taken.alert.alert_id}
    attempts = process.journal.kept[taken.alert.alert_id].case.attempts
    assert attempts[job.attempt.attempt_id].status is Status.SENT


async def test_an_alert_that_did_not_change_for_long_is_read_once(process: Process) -> None:
    taken = await process.intake.press(process.press())
    async with process.db.writer() as connection:
        await connection.execute("UPDATE alerts SET written_ms = written_ms - 60000")
    open_cases = OpenCases(process.db)
    await open_cases.look()
    case = open_cases.cases[taken.alert.alert_id]
    await open_cases.look()
    assert open_cases.cases[taken.alert.alert_id] is case
    await process.ledger.apply(taken.alert.alert_id, Noted(JO, "seen"))
    await open_cases.look()
    assert open_cases.cases[taken.alert.alert_id].alert.version > case.alert.version


async def test_so_many_are_read_by_one_look_and_the_rest_by_the_next(process: Process) -> None:
    taken = [await process.intake.press(process.press(driver=f"d{n}")) for n in range(5)]
    open_cases = OpenCases(process.db, max_reads_per_poll=2)
    known = []
    for _ in range(3):
        await open_cases.look()
        known.append(len(open_cases.cases))
    assert known == [2, 4, 5]
    assert set(open_cases.cases) == {one.alert.alert_id for one in taken}
    for alert_id, case in open_cases.cases.items():
        assert case == await process.ledger.look(alert_id)


async def test_what_was_due_is_looked_up_first_and_what_is_not_due_yet_waits(process: Process) -> None:
    taken = await process.ledger.press(a_press(now_ms()), CIRCUMSTANCES)
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    first_ms = min(a.due_ms for a in case.attempts.values())
    held = stood_in_for(case, first_ms, 30_000, 1_000)
    due = [a for a in held.attempts.values() if case.attempts[a.attempt_id].due_ms <= first_ms]
    assert {a.status for a in due} == {Status.SENDING}
    waits = {a.channel: (claim_ms(a) or 0) - first_ms for a in due}
    assert waits[Channel.SMS] == 1_000, "its provider can be asked for it"
    others = [ms for channel, ms in waits.items() if channel not in (Channel.SMS, Channel.CALL)]
    assert set(others) <= {30_000}
    assert stood_in_for(case, first_ms - 1, 30_000, 1_000) == case


@at_once
async def test_an_alert_is_left_to_the_workers_that_still_reach_postgres(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    process.others.served = True
    await shadow.beat()
    assert process.journal.kept == {}
    process.others.served = False
    await shadow.beat()
    assert process.others.turns == [taken.alert.alert_id], "the last of them is gone"


@pytest.mark.parametrize(
    "bounds", [replace_bounds(PATIENT, take_over_after_s=0.0, batch_size=1)], ids=["one_by_one"]
)
async def test_whom_nobody_was_told_of_is_taken_up_first(process: Process, shadow: Takeover) -> None:
    told = [(await process.intake.press(process.press(driver=f"d{n}"))).alert.alert_id for n in (2, 3)]
    for job in await process.ledger.claim("w1", UpTo(), 30.0):
        await process.ledger.settle(job, Accepted(f"SM{uuid4().hex}", "queued"))
    untold = (await process.intake.press(process.press())).alert.alert_id
    await shadow.beat()
    await lose(process, shadow)
    await shadow.beat()
    assert process.others.turns[0] == untold and set(process.others.turns[1:]) == set(told)
    assert set(process.others.later) == {untold, *told}, "the others have them as well"


@at_once
async def test_a_return_too_short_to_be_noticed_does_not_end_the_standing_in(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    await shadow.beat()
    assert await process.back() == 1
    process.line.cut()
    with suppress(StorageFailure):
        await process.reach.ask(lambda: process.ledger.anything_due(), 1.0)
    assert not process.reach.is_up
    await shadow.beat()
    assert process.others.turns == [taken.alert.alert_id] * 2


@pytest.mark.parametrize("is_same", [True, False])
async def test_a_press_of_an_alert_that_postgres_had_does_not_begin_it_anew(
    process: Process, shadow: Takeover, is_same: bool
) -> None:
    press = process.press()
    taken = await process.intake.press(press)
    await shadow.beat()
    await lose(process, shadow)
    again = await process.intake.press(press if is_same else process.press())
    assert (again.alert.alert_id, again.created) == (taken.alert.alert_id, False)
    case = process.journal.kept[taken.alert.alert_id].case
    assert {a.status for a in case.attempts.values()} == {Status.SENDING}, "looked up before they are sent"
    assert await process.back() == 1
    assert [alert.alert_id for alert in await process.stored()] == [taken.alert.alert_id]


async def test_a_press_that_was_just_committed_is_known_before_anybody_has_read_it(
    process: Process, shadow: Takeover
) -> None:
    press = process.press()
    taken = await process.intake.press(press)
    stored = await process.ledger.look(taken.alert.alert_id)
    assert stored is not None
    process.line.cut()
    again = await process.intake.press(press)
    assert (again.alert.alert_id, again.created) == (taken.alert.alert_id, False)
    case = process.journal.kept[taken.alert.alert_id].case
    assert case.attempts.keys() == stored.attempts.keys()
    assert {a.status for a in case.attempts.values()} == {Status.SENDING}, "looked up before they are sent"
    assert replace(case, attempts=stored.attempts) == stored


async def test_a_press_that_another_was_heard_to_take_does_not_begin_it_anew(
    process: Process,
) -> None:
    press = process.press()
    known = process.directory.of(press.tenant, press.vendor, press.driver)
    taken = await process.ledger.press(press, known)  # by another process
    stored = await process.ledger.look(taken.alert.alert_id)
    assert stored is not None
    process.news.heard(taken.alert)
    process.line.cut()
    again = await process.intake.press(press)
    assert (again.alert, again.created) == (taken.alert, False)
    case = process.journal.kept[taken.alert.alert_id].case
    assert case.attempts.keys() == stored.attempts.keys()
    assert {a.status for a in case.attempts.values()} == {Status.SENDING}, "looked up before they are sent"
    assert await process.back() == 1
    assert [alert.alert_id for alert in await process.stored()] == [taken.alert.alert_id]


async def test_a_press_whose_alert_was_heard_to_be_closed_tells_nobody(process: Process) -> None:
    press = process.press()
    taken = await process.ledger.press(press, process.directory.of("t1", "north", "d1"))
    closed = await process.ledger.apply(taken.alert.alert_id, Resolved(JO))
    assert closed is not None
    process.news.heard(closed.alert)
    process.line.cut()
    again = await process.intake.press(press)
    assert (again.alert.state, again.created) == (State.RESOLVED, False)
    assert process.journal.kept[taken.alert.alert_id].case.attempts == {}


async def test_a_press_finds_its_own_alert_before_another_of_the_driver(
    process: Process, shadow: Takeover
) -> None:
    drill, real = process.press(drill=True), process.press()
    for press in (drill, real):
        await process.intake.press(press)
    await shadow.beat()
    for press in (drill, real):
        found = shadow.of_press(replace(press, drill=not press.drill))
        assert found is not None and found.alert.sos_id == press.sos_id


async def test_what_was_noted_is_known_until_a_later_look_tells(process: Process) -> None:
    taken = await process.intake.press(process.press())
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    open_cases = OpenCases(process.db)
    looking = asyncio.ensure_future(open_cases.look())
    await asyncio.sleep(0)
    erased = replace(case, alert=replace(case.alert, alert_id=uuid4()))
    open_cases.note(erased)
    await looking
    assert open_cases.cases == {one.alert.alert_id: one for one in (case, erased)}, "the look began before"
    await open_cases.look()
    assert open_cases.cases == {case.alert.alert_id: case}


async def test_a_drill_or_another_driver_is_not_taken_for_the_alert(
    process: Process, shadow: Takeover
) -> None:
    taken = await process.intake.press(process.press())
    await shadow.beat()
    await lose(process, shadow)
    for press in (process.press(drill=True), process.press(driver="d2")):
        other = await process.intake.press(press)
        assert other.created and other.alert.alert_id != taken.alert.alert_id


@at_once
async def test_an_alert_that_was_just_imported_goes_on_when_postgres_is_lost_again(
    process: Process, shadow: Takeover
) -> None:
    """Its journal has forgotten it, and no process has read it from Postgres since."""
    await lose(process, shadow)
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    assert taken.durability != "committed"
    assert await process.back() == 1
    assert process.journal.kept == {}
    await lose(process, shadow)
    await shadow.beat()
    assert set(process.journal.kept) == {alert_id}
    assert process.others.turns[-1] == alert_id
    assert await process.back() >= 0
    assert [alert.alert_id for alert in await process.stored()] == [alert_id]


@at_once
async def test_a_copy_that_postgres_had_goes_on_when_postgres_is_lost_again(
    process: Process, shadow: Takeover
) -> None:
    """The journal has forgotten its replica, because Postgres had all of it."""
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    await shadow.beat()
    case = shadow.case_of(alert_id)
    assert case is not None
    await process.journal.adopt(case)
    shadow._open.cases.clear()
    shadow._open._noted.clear()
    assert await process.importer.round() == 1
    await lose(process, shadow)
    await shadow.beat()
    assert set(process.journal.kept) == {alert_id}
