"""The auditor on a real database: what it sees, who it tells, and that one at a time does it."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Alert, State
from alerts.attempt import Attempt, Channel, Status
from alerts.case import Case, Changes
from alerts.policy import Policy, PolicyCopy
from realtime.metrics import instruments
from realtime.monitoring.checks import HANGING_MS, UNREACHED_MS, UNREPORTED_MS, Finding, FindingKind
from realtime.monitoring.monitor import HEARTBEAT_S, LEASE_S, REMIND_S, AlertMonitor, Pulse
from realtime.settings import Settings
from realtime.store.alerts import rows
from realtime.store.alerts.health import BeatDetail, JournalBeat
from realtime.store.db import leases
from realtime.store.db.database import Database
from tests.alerts.delivery.fakes import Clock, an_alert, an_attempt


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(Settings(database_url=database_url, db_timeout_s=10))  # type: ignore[arg-type]
    yield opened
    await opened.close()


class Operator:
    """Whoever is told; ``deaf`` to hear nothing."""

    def __init__(self) -> None:
        self.heard: list[Finding] = []
        self.called = 0
        self.deaf: bool | Exception = False

    async def tell(self, found: list[Finding]) -> bool:
        if isinstance(self.deaf, Exception):
            raise self.deaf
        if not self.deaf:
            self.heard += found
        return not self.deaf

    async def heartbeat(self) -> bool:
        if isinstance(self.deaf, Exception):
            raise self.deaf
        self.called += not self.deaf
        return not self.deaf


@pytest.fixture
def operator() -> Operator:
    return Operator()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def auditor(db: Database, operator: Operator, clock: Clock) -> AlertMonitor:
    return AlertMonitor(db, "worker1", tell=operator.tell, heartbeat=operator.heartbeat, clock=clock)


async def now_ms(db: Database) -> int:
    async with db.writer() as connection:
        found: int = await connection.fetchval("SELECT now_ms()")
    return found


async def put(db: Database, alert: Alert, *attempts: Attempt) -> None:
    """Store an alert as it is."""
    case = Case(alert, PolicyCopy(Policy(steps=()), ()), {a.attempt_id: a for a in attempts})
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO tenants (tenant_id) VALUES ($1) ON CONFLICT DO NOTHING", alert.tenant
        )
        await rows.keep(connection, None, Changes(case, touched=attempts), alert.raised_ms)


async def unreached(db: Database, **changes: Any) -> Alert:
    """An alert that nobody was reached for in time."""
    since_ms = await now_ms(db) - UNREACHED_MS - 5_000
    alert = replace(an_alert(), raised_ms=since_ms, active_since_ms=since_ms, driver=uuid4().hex, **changes)
    await put(db, alert)
    return alert


def shown(kind: FindingKind) -> float:
    return instruments.AUDITOR_FINDINGS.labels(kind.value).value


async def test_an_alert_that_reached_nobody_is_told_shown_and_logged_by_its_id_alone(
    db: Database, auditor: AlertMonitor, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    alert = await unreached(db, message="help me")
    await auditor.round()
    assert [(f.kind, f.ids) for f in operator.heard] == [(FindingKind.UNREACHED, (str(alert.alert_id),))]
    assert shown(FindingKind.UNREACHED) == 1
    assert instruments.ALERTS_OPEN.value == 1
    said = "\n".join(record.getMessage() for record in caplog.records)
    assert str(alert.alert_id) in said
    assert alert.driver not in said
    assert "help me" not in said


async def test_messages_nobody_takes_and_messages_without_a_report_are_found(
    db: Database, auditor: AlertMonitor
) -> None:
    at_ms = await now_ms(db)
    alert = replace(an_alert(), raised_ms=at_ms, active_since_ms=at_ms, reached_ms=at_ms)
    hanging = replace(an_attempt(Channel.PUSH, alert), due_ms=at_ms - HANGING_MS - 5_000)
    left = replace(hanging, attempt_id=uuid4(), status=Status.SENDING, lease_until_ms=hanging.due_ms)
    sent_ms = at_ms - UNREPORTED_MS - 5_000
    sent = replace(an_attempt(Channel.SMS, alert), status=Status.SENT, sent_ms=sent_ms, due_ms=0)
    mail = replace(an_attempt(Channel.EMAIL, alert), status=Status.SENT, sent_ms=sent_ms, due_ms=0)
    await put(db, alert, hanging, left, sent, mail)
    found = await auditor.round()
    assert found is not None
    assert {(f.kind, f.count) for f in found} == {(FindingKind.STUCK, 1), (FindingKind.UNREPORTED, 1)}
    assert instruments.ATTEMPTS_WAITING.labels("push").value == 1, "what a process holds is not waiting"


async def test_an_alert_whose_next_step_nobody_takes_is_stuck(db: Database, auditor: AlertMonitor) -> None:
    at_ms = await now_ms(db)
    alert = replace(an_alert(), raised_ms=at_ms, active_since_ms=at_ms, reached_ms=at_ms)
    await put(db, alert)
    due = "UPDATE alerts SET next_ms = now_ms() - $1"
    async with db.writer() as connection:
        await connection.execute(due, HANGING_MS - 5_000)
    assert await auditor.round() == []
    async with db.writer() as connection:
        await connection.execute(due, HANGING_MS + 5_000)
    found = await auditor.round()
    assert found is not None
    assert [(f.kind, f.ids) for f in found] == [(FindingKind.STUCK, (str(alert.alert_id),))]


async def test_what_lies_open_for_weeks_hides_no_alert_that_reached_nobody(
    db: Database, operator: Operator
) -> None:
    auditor = AlertMonitor(db, "worker1", tell=operator.tell, max_rows=2)
    week_ms = 7 * 86_400_000
    for changes in ({"drill": True}, {"state": State.ACKNOWLEDGED}, {"reached_ms": 1}):
        for _ in range(2):
            old = replace(an_alert(), raised_ms=await now_ms(db) - week_ms, driver=uuid4().hex, **changes)
            await put(db, replace(old, active_since_ms=old.raised_ms))
    alert = await unreached(db)
    found = await auditor.round()
    assert found is not None
    assert [(f.kind, f.ids) for f in found] == [(FindingKind.UNREACHED, (str(alert.alert_id),))]


async def test_a_silent_process_is_found_and_one_that_stopped_is_not(
    db: Database, auditor: AlertMonitor
) -> None:
    pulses = [Pulse(db, name, "worker") for name in ("killed", "stopped", "alive")]
    for pulse in pulses:
        await pulse.beat()
    async with db.writer() as connection:
        await connection.execute("UPDATE worker_beats SET beat_ms = beat_ms - 60000 WHERE process <> 'alive'")
    await pulses[1].stop()
    found = await auditor.round()
    assert found is not None
    assert [(f.kind, f.ids) for f in found] == [(FindingKind.WORKER_SILENT, ("killed",))]
    await pulses[0].beat()
    assert await auditor.round() == [], "its restart is heard under its name"


async def test_what_waits_on_a_disk_is_told_with_the_beat(db: Database, auditor: AlertMonitor) -> None:
    oldest_ms = await now_ms(db) - 120_000
    await Pulse(db, "w1", "web", lambda: BeatDetail(JournalBeat(3, oldest_ms))).beat()
    found = await auditor.round()
    assert found is not None
    assert [(f.kind, f.ids, f.since_ms) for f in found] == [(FindingKind.JOURNAL, ("w1",), oldest_ms)]


async def test_the_same_is_told_once_then_again_after_a_while_and_what_is_new_at_once(
    db: Database, auditor: AlertMonitor, operator: Operator, clock: Clock
) -> None:
    await unreached(db)
    for _ in range(3):
        await auditor.round()
    assert len(operator.heard) == 1
    second = await unreached(db)
    await auditor.round()
    assert len(operator.heard) == 2
    assert str(second.alert_id) in operator.heard[1].ids
    clock.pass_by(REMIND_S)
    await auditor.round()
    assert len(operator.heard) == 3


@pytest.mark.parametrize("deaf", [True, OSError("gone")])
async def test_an_operator_who_could_not_be_told_is_told_at_the_next_round(
    db: Database, auditor: AlertMonitor, operator: Operator, deaf: bool | Exception
) -> None:
    await unreached(db)
    operator.deaf = deaf
    await auditor.round()
    operator.deaf = False
    await auditor.round()
    assert len(operator.heard) == 1


async def test_the_outside_monitor_is_called_every_minute_while_nothing_is_wrong(
    db: Database, auditor: AlertMonitor, operator: Operator, clock: Clock
) -> None:
    for _ in range(3):
        await auditor.round()
    assert operator.called == 1
    clock.pass_by(HEARTBEAT_S)
    await auditor.round()
    assert operator.called == 2
    alert = await unreached(db)
    clock.pass_by(HEARTBEAT_S)
    await auditor.round()
    assert operator.called == 2, "its silence is what wakes somebody"
    async with db.writer() as connection:
        await connection.execute("UPDATE alerts SET closed_ms = 1 WHERE alert_id = $1", alert.alert_id)
    await auditor.round()
    assert operator.called == 3


@pytest.mark.parametrize("deaf", [True, OSError("gone")])
async def test_a_heartbeat_that_was_not_heard_is_tried_again_at_the_next_round(
    auditor: AlertMonitor, operator: Operator, deaf: bool | Exception
) -> None:
    operator.deaf = deaf
    await auditor.round()
    operator.deaf = False
    await auditor.round()
    assert operator.called == 1


async def test_a_carrier_that_reports_nothing_does_not_keep_the_heartbeat_back(
    db: Database, auditor: AlertMonitor, operator: Operator
) -> None:
    at_ms = await now_ms(db)
    alert = replace(an_alert(), raised_ms=at_ms, active_since_ms=at_ms, reached_ms=at_ms)
    sent_ms = at_ms - UNREPORTED_MS - 5_000
    await put(db, alert, replace(an_attempt(Channel.SMS, alert), status=Status.SENT, sent_ms=sent_ms))
    await auditor.round()
    assert [finding.kind for finding in operator.heard] == [FindingKind.UNREPORTED]
    assert operator.called == 1


async def test_one_at_a_time_audits_and_the_next_takes_over(db: Database, operator: Operator) -> None:
    await unreached(db)
    first, second = (AlertMonitor(db, name, tell=operator.tell) for name in ("worker1", "worker2"))
    assert await first.round() is not None
    assert await second.round() is None
    assert len(operator.heard) == 1
    await first.stop()
    assert shown(FindingKind.UNREACHED) == 0, "what it found is no longer its to show"
    assert await second.round() is not None


async def test_a_lease_that_ran_out_is_anybodys_and_its_fence_tells_the_holders_apart(db: Database) -> None:
    first = await leases.take(db, "x", "a", LEASE_S)
    assert await leases.take(db, "x", "a", LEASE_S) == first, "prolonged"
    assert await leases.take(db, "x", "b", LEASE_S) is None
    async with db.writer() as connection:
        await connection.execute("UPDATE leases SET until_ms = now_ms()")
    second = await leases.take(db, "x", "b", LEASE_S)
    assert first is not None and second is not None and second > first
    assert await leases.take(db, "x", "a", LEASE_S) is None
    await leases.give_back(db, "x", "a")
    assert await leases.take(db, "x", "a", LEASE_S) is None, "only its holder gives it back"
    await leases.give_back(db, "x", "b")
    assert await leases.take(db, "x", "a", LEASE_S) == second + 1
