"""An alert in the journal of another process while Postgres answers: presses join it, answers find it."""

from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import asyncpg
import pytest

from alerts import case as cases
from alerts.alert import Acknowledged, Press, alert_id_of
from realtime.alerting.db_guard import PRESSES_AT_ONCE
from realtime.alerting.failover.importer import FIRST_PAUSE_S, LONGEST_PAUSE_S, Pauses
from realtime.alerting.repository import IntakeTimes
from realtime.protocol import Code, Refused
from realtime.store.alerts import reads
from tests.safety_away.fakes import Kept, now_ms
from tests.safety_away.process import OLGA, PATIENT, Bounds, Process, settled
from tests.safety_away.test_postgres_faults import ERRORS, FAIL, broken

QUICK = Bounds(IntakeTimes(ask_s=PATIENT.times.ask_s, unsure_s=0.2))


def kept_elsewhere(process: Process, press: Press) -> UUID:
    """Another process has ``press`` in its journal, and has shown that since this process read last."""
    case = cases.opened(press, process.directory.of("t1", "north", "d1"), now_ms()).case
    process.others.unread[case.alert.alert_id] = Kept(case, (press,), acting=True)
    return case.alert.alert_id


async def is_in_postgres(process: Process, alert_id: UUID) -> bool:
    return await reads.get(process.db, "t1", alert_id) is not None


async def unknown(process: Process, tenant: str, alert_id: UUID) -> Code | None:
    """How an answer to an alert is refused that ``tenant`` does not have; None: as not found."""
    try:
        assert await process.intake.apply(tenant, alert_id, Acknowledged(OLGA, "api")) is None
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("bounds", [QUICK], ids=["quick"])
async def test_the_same_press_and_another_join_the_alert_in_anothers_journal(process: Process) -> None:
    """Postgres answers again before that journal was imported: it would open the alert a second time."""
    press = process.press()
    alert_id = kept_elsewhere(process, press)
    again = await process.intake.press(press)
    other = await process.intake.press(process.press(sos_id=uuid4()))
    assert (again.alert.alert_id, other.alert.alert_id) == (alert_id, alert_id)
    assert not await is_in_postgres(process, alert_id)
    assert await process.stored() == []
    assert process.journal.doubted
    await process.importer.round()
    assert [alert.alert_id for alert in await process.stored()] == [alert_id]


async def test_another_press_joins_the_alert_in_the_journal_of_this_process(process: Process) -> None:
    """Postgres rejected the first press and takes the second."""
    first = process.press()
    known = process.directory.of("t1", "north", "d1")
    await process.journal.press(first, known)
    taken = await process.intake.press(process.press(sos_id=uuid4()))
    assert taken.alert.alert_id == alert_id_of("t1", "d1", first.sos_id)
    assert await process.stored() == []


async def test_a_press_of_another_driver_is_committed_although_journals_wait(process: Process) -> None:
    kept_elsewhere(process, process.press(driver="d2"))
    taken = await process.intake.press(process.press())
    assert (taken.durability, process.journal.kept) == ("committed", {})


async def test_a_press_whose_alert_postgres_has_is_committed_although_a_copy_is_shown(
    process: Process,
) -> None:
    """The copy has no press of its own: it was made of what Postgres had."""
    taken = await process.intake.press(process.press())
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    process.others.unread[taken.alert.alert_id] = Kept(case, (), acting=True)
    joined = await process.intake.press(process.press(sos_id=uuid4()))
    assert (joined.durability, joined.alert.alert_id) == ("committed", taken.alert.alert_id)


async def test_a_cancel_right_after_the_press_finds_the_alert_of_another_process(process: Process) -> None:
    press = process.press()
    alert_id = kept_elsewhere(process, press)
    found = await process.intake.find("t1", "d1", press.sos_id)
    assert found is not None
    process.others.unread = process.others.shown
    process.others.shown = {}
    applied = await process.intake.apply("t1", alert_id, Acknowledged(OLGA, "api"))
    assert applied is not None
    assert applied.alert.state == "acknowledged"


@pytest.mark.parametrize("bounds", [QUICK], ids=["quick"])
@pytest.mark.parametrize("table", ["alerts", "alert_presses", "alert_events", "alert_attempts"])
@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=() if name == "data corrupted" else pytest.mark.long)
        for name, code in ERRORS.items()
    ],
)
async def test_an_answer_to_an_alert_of_postgres_is_kept_whatever_table_fails_and_how(
    process: Process, database_url: str, table: str, code: str
) -> None:
    taken = await process.intake.press(process.press())
    alert_id = taken.alert.alert_id
    await process.shadow.beat()
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with broken(owner, table, code):
        shown = await process.intake.get("t1", alert_id)
        found = await process.intake.find("t1", "d1", taken.alert.sos_id)
        case = await process.intake.case(alert_id)
        applied = await process.intake.apply("t1", alert_id, Acknowledged(OLGA, "api"))
        assert await unknown(process, "t2", alert_id) == await unknown(process, "t2", uuid4())
    await owner.close()
    assert shown is not None
    assert found is not None
    assert case is not None
    assert applied is not None
    assert applied.alert.state == "acknowledged"

    async def acts() -> bool:
        return alert_id not in process.journal.kept or alert_id in process.others.turns

    assert await settled(acts)
    await process.back()
    assert process.journal.kept == {}
    stored = await reads.get(process.db, "t1", alert_id)
    assert stored is not None
    assert stored.state == "acknowledged"


def test_what_postgres_rejects_is_tried_after_pauses_that_double_up_to_a_bound() -> None:
    now_s = 100.0
    pauses = Pauses(lambda: now_s)
    waited: list[float] = []
    for _ in range(6):
        pauses.rejected("a")
        began_s = now_s
        while pauses.is_paused("a"):
            now_s += 0.5
        waited.append(now_s - began_s)
    assert waited == [FIRST_PAUSE_S, 4.0, 8.0, 16.0, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    pauses.accepted("a")
    assert not pauses.is_paused("a")
    pauses.rejected("b")
    now_s += FIRST_PAUSE_S + LONGEST_PAUSE_S
    pauses.forget_older()
    assert len(pauses) == 0


async def test_an_answer_is_refused_as_retryable_when_the_alert_was_never_read(process: Process) -> None:
    process.line.cut()
    with pytest.raises(Refused) as refused:
        await process.intake.apply("t1", uuid4(), Acknowledged(OLGA, "api"))
    assert refused.value.code is Code.UNAVAILABLE


async def test_a_press_whose_import_was_rejected_waits_no_longer_for_it(
    process: Process, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with broken(owner, "alerts", "XX001"):
        taken = await process.intake.press(process.press())
        assert process.intake._may_be_imported(taken.alert.alert_id)
        await process.importer.round()
        assert not process.intake._may_be_imported(taken.alert.alert_id)
    await owner.close()


CROWDED = Bounds(IntakeTimes(ask_s=10.0, unsure_s=30.0), press_slot_timeout_s=0.05)


@pytest.mark.parametrize("bounds", [CROWDED], ids=["crowded"])
async def test_a_press_without_a_turn_at_postgres_is_imported_and_not_acted_on_at_once(
    process: Process,
) -> None:
    """The app asked two processes: the other one may have committed the same press."""
    async with AsyncExitStack() as turns:
        for _ in range(PRESSES_AT_ONCE):
            await turns.enter_async_context(process.reach._presses)
        press = process.press()
        taken = await process.intake.press(press)
        again = await process.intake.press(press)
        another = await process.intake.press(process.press(sos_id=uuid4()))
    assert (taken.durability, again.durability, another.durability) == ("replicated",) * 3
    assert another.alert.alert_id == taken.alert.alert_id
    assert process.journalled == 3, "the importer is woken"
    assert process.others.turns == []
    await process.importer.round()
    assert process.journal.kept == {}
    assert [alert.alert_id for alert in await process.stored()] == [taken.alert.alert_id]
