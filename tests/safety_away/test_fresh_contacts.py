"""What was changed right before an SOS that goes to the journal: Postgres counts in the end."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from alerts import case as cases
from alerts.alert import Kind, Resolved, alert_id_of
from alerts.attempt import Channel, Status
from alerts.case import Case
from alerts.policy import ALL, Circumstances, Policy, Source, Step
from alerts.ports import StorageFailure
from realtime.alerting.failover.completer import Completer
from realtime.alerting.receipts import rows
from realtime.alerting.repository import IntakeTimes
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.open_cases import OpenCases
from realtime.store.people import contacts, policies
from realtime.store.people.contacts import Scope
from realtime.store.people.replies import ReplyStore
from tests.safety_away.fakes import Kept, now_ms
from tests.safety_away.process import OLGA, PHONE, Bounds, Process, settled
from tests.safety_away.test_postgres_faults import FAIL, broken
from tests.store.people import put_contact, put_policy

FRESH = "+41790000055"
MAILS = Policy((Step((ALL,), (Channel.EMAIL, Channel.SMS), 60),))
SLOW = [Bounds(IntakeTimes(ask_s=0.3, unsure_s=0.1))]


async def told(process: Process, alert_id: UUID) -> tuple[Case, set[tuple[str, str]]]:
    """The case in Postgres, and by whom and by what a message is due or sent: (phone or id, channel)."""
    case = await process.ledger.look(alert_id)
    assert case is not None
    phones = {c.contact_id: c.phone or c.contact_id for c in (*case.copy.former, *case.copy.contacts)}
    wanted = [a for a in case.attempts.values() if a.status is not Status.FAILED]
    return case, {(phones[a.contact_id], a.channel.value) for a in wanted}


async def waited(process: Process, press_ms: int) -> UUID:
    """A press ``press_ms`` ago, which the journal took and acted on since; Postgres did not answer."""
    process.line.cut()
    with pytest.raises(StorageFailure):
        await process.reach.ask(process.ledger.anything_due, 1.0)
    press = process.press(received_ms=now_ms() - press_ms)
    known = process.directory.of("t1", "north", "d1")
    opened = cases.opened(press, known, now_ms() - press_ms)
    case = cases.advanced(opened.case, now_ms()).case
    process.journal.kept[case.alert.alert_id] = Kept(case, (press,), opened.audit, acting=True)
    return case.alert.alert_id


async def slow(process: Process) -> UUID:
    """A press while Postgres does not answer for 2 s."""
    process.line.hang()
    taken = await process.intake.press(process.press())
    assert taken.durability == "replicated"
    await asyncio.sleep(1.7)
    return taken.alert.alert_id


ABSENCES: dict[str, Callable[[Process], Awaitable[UUID]]] = {
    "slow for 2 s": slow,
    "down for 5 s": lambda process: waited(process, 5_000),
    "down for 90 s": lambda process: waited(process, 90_000),
}
absences = pytest.mark.parametrize("absence", ABSENCES)
pytestmark = pytest.mark.parametrize("bounds", SLOW, ids=["impatient"])


@absences
async def test_a_contact_made_a_second_before_is_notified_after_the_import(
    process: Process, absence: str
) -> None:
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    alert_id = await ABSENCES[absence](process)
    assert process.journal.kept[alert_id].case.copy.source is Source.LOCAL_COPY
    await process.back()
    case, whom = await told(process, alert_id)
    assert (FRESH, "sms") in whom
    assert case.copy.is_complete and case.copy.age_ms is not None
    assert process.told[-1].alert_id == alert_id, "workers are told to look"


@absences
async def test_a_policy_changed_a_second_before_counts_after_the_import(
    process: Process, absence: str
) -> None:
    await put_policy(process.db, "t1", Kind.SOS, MAILS)
    alert_id = await ABSENCES[absence](process)
    await process.back()
    case, whom = await told(process, alert_id)
    assert case.copy.policy == MAILS
    assert (PHONE, "sms") in whom
    sms = [a for a in case.attempts.values() if (a.channel, a.round, a.step) == ("sms", 1, 0)]
    assert len(sms) == len({a.contact_id for a in sms}), "nobody twice by one channel in a step"


@absences
async def test_a_contact_removed_a_second_before_is_sent_nothing_after_the_import(
    process: Process, absence: str
) -> None:
    found = await contacts.reaching(process.db, "t1", "north", "d1")
    await contacts.delete(process.db, "t1", found[0].contact_id)
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    alert_id = await ABSENCES[absence](process)
    assert str(found[0].contact_id) in {
        a.contact_id for a in process.journal.kept[alert_id].case.attempts.values()
    }
    await process.back()
    _, whom = await told(process, alert_id)
    assert (FRESH, "sms") in whom
    assert PHONE not in {who for who, _ in whom}


@pytest.mark.parametrize("said_here", [True, False], ids=["said to this process", "said to postgres"])
async def test_an_opt_out_of_the_meantime_is_honoured_by_the_import(
    process: Process, said_here: bool
) -> None:
    if not said_here:
        await contacts.opt_out(process.db, PHONE)
    alert_id = await waited(process, 5_000)
    if said_here:
        await process.book.opt_out(PHONE)
    await process.back()
    case, whom = await told(process, alert_id)
    assert PHONE not in {who for who, _ in whom}
    assert "contact_changed" in {a.reason for a in case.attempts.values()}


async def test_who_was_notified_before_being_removed_is_sent_the_end(process: Process) -> None:
    alert_id = await waited(process, 5_000)
    process.journal.sent("SM1")
    await remove_all(process)
    await process.back()
    case, _ = await told(process, alert_id)
    assert [contact.phone for contact in case.copy.former] == [PHONE]
    [asked] = await ReplyStore(process.db).last_asked(PHONE)
    assert asked.alert_id == alert_id, "an answer of theirs still counts"
    names = [name for name, channel, _ in rows(tuple(case.attempts.values()), case.copy) if channel == "sms"]
    assert names == ["Ana"]
    resolved = cases.applied(case, Resolved(OLGA), now_ms()).case
    ends = [a.channel for a in resolved.attempts.values() if a.purpose.value == "closed"]
    assert Channel.SMS in ends


async def remove_all(process: Process) -> None:
    """Remove the driver's contacts by another way to Postgres than the one that is cut."""
    process.line.mend()
    assert await settled(process.reach.probe)
    for found in await contacts.reaching(process.db, "t1", "north", "d1"):
        await contacts.delete(process.db, "t1", found.contact_id)


def a_completer(process: Process, open_cases: OpenCases, *, delivers: bool = True) -> Completer:
    return Completer(
        process.reach,
        open_cases,
        process.ledger,
        process.journal,
        process.told.append,
        delivers=delivers,
    )


async def test_an_alert_stored_while_its_contacts_could_not_be_read_is_completed_later(
    process: Process, database_url: str
) -> None:
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    open_cases = OpenCases(process.db)
    completer = a_completer(process, open_cases)
    async with broken(owner, "contacts", "XX001"):
        taken = await process.intake.press(process.press())
        assert taken.durability == "committed"
        await open_cases.look()
        assert await completer.round() == 0
    await owner.close()
    assert await a_completer(process, open_cases, delivers=False).round() == 0, "it is for a worker"
    assert await completer.round() == 1
    case, whom = await told(process, taken.alert.alert_id)
    assert (FRESH, "sms") in whom and case.copy.is_complete
    await open_cases.look()
    assert await completer.round() == 0


async def test_an_alert_that_postgres_does_not_take_is_completed_in_the_journal(
    process: Process, database_url: str
) -> None:
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    alert_id = await waited(process, 1_000)
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with broken(owner, "alerts", "XX001"):
        await process.back()
        assert alert_id in process.journal.kept
        assert await a_completer(process, OpenCases(process.db)).round() == 1
    await owner.close()
    kept = process.journal.kept[alert_id].case
    assert FRESH in [contact.phone for contact in kept.copy.contacts] and kept.copy.is_complete


async def test_an_import_whose_contacts_cannot_be_read_is_not_held_up(
    process: Process, database_url: str
) -> None:
    alert_id = await waited(process, 1_000)
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with broken(owner, "contacts", "42P01"):
        assert await process.back() == 1
    await owner.close()
    case, _ = await told(process, alert_id)
    assert not case.copy.is_complete


async def test_imports_wait_once_for_contacts_that_are_locked(process: Process) -> None:
    asked: list[str] = []

    async def hang(tenant: str, vendor: str, driver: str) -> Circumstances:
        asked.append(driver)
        await asyncio.sleep(60)
        raise AssertionError

    ledger = PostgresLedger(process.db, circumstances_of=hang, rows_s=0.2)
    for number in range(20):
        press = process.press(driver=f"d{number}")
        case = cases.opened(press, process.directory.of("t1", "north", press.driver), now_ms())
        alert = await ledger.import_case(case.case, [press], case.audit, now_ms())
        assert alert.alert_id == case.case.alert.alert_id
    assert asked == ["d0"], "the others are imported without another wait"


async def test_a_press_that_postgres_took_after_all_overrules_the_local_copy(process: Process) -> None:
    """Postgres was slow and has it, and the journal too."""
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    assert await process.db.ping(), "a connection is open"
    process.line.hang()
    press = process.press()
    await process.intake.press(press)
    assert await process.back() == 1
    alert_id = alert_id_of("t1", "d1", press.sos_id)
    case, whom = await told(process, alert_id)
    assert case.copy.is_complete and (FRESH, "sms") in whom
    sent = [(a.purpose, a.contact_id, a.channel, a.round, a.step) for a in case.attempts.values()]
    assert len(sent) == len(set(sent))


@pytest.mark.long
async def test_a_contact_made_a_second_before_90_real_seconds_without_postgres_is_notified(
    process: Process,
) -> None:
    await policies.put(process.db, "t1", Scope(), Kind.SOS, MAILS, "test")
    await put_contact(process.db, "t1", driver_id="d1", name="Ben", phone=FRESH)
    process.line.cut()
    taken = await process.intake.press(process.press())
    await asyncio.sleep(90)
    await process.back()
    case, whom = await told(process, taken.alert.alert_id)
    assert (FRESH, "sms") in whom and case.copy.policy == MAILS
