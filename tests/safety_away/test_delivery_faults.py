"""An alert that Postgres has and cannot escalate or send: the journal notifies its contacts, once."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import pytest

from alerts.alert import alert_id_of
from alerts.attempt import Status
from alerts.notifiers.webhook import webhook_secret
from realtime.metrics import instruments
from realtime.outside.mail import MailServer
from realtime.outside.sink import Sink
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.delivery_faults import (
    GAP_S,
    MAX_ALERTS,
    PERSISTENT_S,
    REMEMBERED_S,
    DeliveryFaults,
    DeliveryStage,
)
from realtime.store.alerts.open_cases import OpenCases
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.api.harness import served
from tests.safety.test_worker import AUTH, Running, ann, db, eventually, mail, settings
from tests.safety_away.process import Process
from tests.safety_away.test_postgres_faults import FAIL, broken
from tests.safety_away.test_worker_away import SlowSink
from tests.store.people import put_driver

__all__ = ["ann", "db", "mail", "settings"]

ALERT = UUID(int=1)


class Scene:
    def __init__(self) -> None:
        self.s = 100.0
        self.faults = DeliveryFaults(lambda: self.s)

    def fail_for(self, s: float) -> None:
        for _ in range(int(s) + 1):
            self.faults.claims_failed()
            self.s += 1.0


def test_claims_that_fail_once_or_for_a_moment_are_no_fault() -> None:
    scene = Scene()
    scene.faults.claims_failed()
    scene.s += GAP_S + 1
    assert not scene.faults.all_fail, "a single failure, however long ago"
    scene.faults.claims_failed()
    assert not scene.faults.all_fail, "two failures with a long time between them"
    scene.faults.claims_worked(1)
    scene.fail_for(PERSISTENT_S - 1)
    assert not scene.faults.fails(ALERT)


def test_claims_that_go_on_failing_are_a_fault_until_one_has_claimed_something() -> None:
    scene = Scene()
    scene.fail_for(PERSISTENT_S)
    assert scene.faults.all_fail
    assert scene.faults.fails(ALERT)
    scene.faults.claims_worked(0)
    assert scene.faults.all_fail, "nothing was due: the failing statement changed no row"
    scene.faults.claims_worked(1)
    assert not scene.faults.all_fail


def test_a_fault_is_forgotten_once_it_has_not_been_seen_for_long_or_postgres_was_unavailable() -> None:
    scene = Scene()
    scene.fail_for(PERSISTENT_S)
    scene.s += REMEMBERED_S
    assert not scene.faults.all_fail
    scene.fail_for(PERSISTENT_S)
    scene.faults.alert_failed(ALERT, DeliveryStage.RECORD)
    scene.faults.reset()
    assert not scene.faults.all_fail
    assert not scene.faults.fails(ALERT)


def test_alerts_are_told_apart_up_to_a_bound() -> None:
    scene = Scene()
    for _ in range(int(PERSISTENT_S) + 1):
        scene.faults.alert_failed(ALERT, DeliveryStage.ESCALATE)
        scene.s += 1.0
    assert scene.faults.failing == [ALERT]
    assert not scene.faults.fails(UUID(int=2))
    scene.faults.alert_worked(ALERT, DeliveryStage.ESCALATE)
    assert scene.faults.failing == []
    ids = count(MAX_ALERTS)
    for number in range(MAX_ALERTS):
        scene.faults.alert_failed(UUID(int=number), DeliveryStage.ESCALATE)
    for _ in range(int(PERSISTENT_S) + 1):
        scene.faults.alert_failed(UUID(int=next(ids)), DeliveryStage.ESCALATE)
        scene.s += 1.0
    assert scene.faults.all_fail


def test_work_that_is_done_says_nothing_about_other_work_on_the_alert() -> None:
    """Outcomes cannot be recorded, while the same alert is escalated every two seconds."""
    scene = Scene()
    for _ in range(4):
        scene.faults.alert_failed(ALERT, DeliveryStage.RECORD)
        scene.faults.alert_worked(ALERT, DeliveryStage.ESCALATE)
        scene.s += 2.0
    assert scene.faults.fails(ALERT)


# --- a whole worker


@pytest.fixture
async def sink(request: pytest.FixtureRequest) -> AsyncIterator[Sink]:
    key = Settings(auth_secret=AUTH).alerts_key  # type: ignore[arg-type]
    kind = SlowSink if getattr(request, "param", "quick") == "slow" else Sink
    async with kind(lambda name: webhook_secret(key, "t1", name)) as server:
        yield server


@pytest.fixture
async def running(settings: Settings, ann: None) -> AsyncIterator[Running]:
    faults = DeliveryFaults(persistent_s=0.5, remembered_s=9.0)
    async with (
        Worker.open(settings, delivery_faults=faults) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        await until(lambda: worker._disk.directory.age_ms is not None, "the local copy")
        yield Running(worker, url, session, settings)


@pytest.mark.parametrize(
    ("table", "command", "code"),
    [
        ("alert_attempts", "UPDATE", "XX001"),
        pytest.param("alerts", "UPDATE", "42501", marks=pytest.mark.long),
        pytest.param("alert_attempts", "SELECT", "XX002", marks=pytest.mark.long),
        pytest.param("alert_attempts", "INSERT", "53100", marks=pytest.mark.long),
        pytest.param("alert_events", "INSERT", "58030", marks=pytest.mark.long),
        pytest.param("alert_attempts", "UPDATE", "53200", marks=pytest.mark.long),
        pytest.param("alert_attempts", "UPDATE", "57014", marks=pytest.mark.long),
        pytest.param("alerts", "SELECT", "58P01", marks=pytest.mark.long),
    ],
)
async def test_contacts_are_notified_once_while_postgres_fails_a_delivery(
    running: Running,
    mail: MailServer,
    sink: Sink,
    db: Database,
    database_url: str,
    table: str,
    command: str,
    code: str,
) -> None:
    failed = instruments.ALERT_STORE_FAULTS.value
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with AsyncExitStack() as fault:
        await fault.enter_async_context(broken(owner, table, code, command))
        taken = await running.press(uuid4(), message="somebody follows me")
        assert taken["ok"] is True
        await until(lambda: bool(sink.hooks) and bool(mail.mails), "the webhook and the mail", within_s=40)
    await owner.close()
    assert instruments.ALERT_STORE_FAULTS.value > failed

    async def stored() -> bool:
        found = await reads.explain(db, "t1", UUID(taken["alert_id"]))
        attempts = () if found is None else found.attempts
        sent = [a.channel.value for a in attempts if a.status is Status.SENT]
        return sorted(sent) == ["email", "webhook"]

    await eventually(stored, "postgres knows what was sent")
    deliveries = [hook.delivery for hook in sink.hooks]
    assert len(deliveries) == len(set(deliveries)) == 1
    assert len(mail.mails) == 1


async def test_an_alert_of_before_is_delivered_although_another_press_waits_in_the_journal(
    running: Running, sink: Sink, db: Database, database_url: str
) -> None:
    """The import of the other press fails again and again: Postgres is not taken for unavailable and back."""
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with AsyncExitStack() as fault:
        await fault.enter_async_context(broken(owner, "alert_attempts", "53100", "UPDATE"))
        first = await running.press(uuid4())
        await fault.enter_async_context(broken(owner, "alert_presses", "53100", "INSERT"))
        second = await running.press(uuid4(), driver="d2")
        assert (first["durability"], second["durability"]) == ("committed", "replicated")
        await until(lambda: len(sink.hooks) == 2, "both alerts are delivered", within_s=40)
    await owner.close()
    assert {hook.body["alert"]["id"] for hook in sink.hooks} == {first["alert_id"], second["alert_id"]}


async def test_an_attempt_that_cannot_be_leased_holds_up_no_other(
    running: Running, sink: Sink, db: Database, database_url: str
) -> None:
    """A trigger fails the update of one driver's rows, as a damaged page would."""
    await put_driver(db, "t1", "v1", "d1")
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(
        "CREATE FUNCTION fail_row() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'broken by a test' USING ERRCODE = '57014'; END $$"
    )
    first = uuid4()
    bad = alert_id_of("t1", "d1", first)
    await owner.execute(
        "CREATE TRIGGER fail_row BEFORE UPDATE ON alert_attempts FOR EACH ROW "
        f"WHEN (NEW.alert_id = '{bad}') EXECUTE FUNCTION fail_row()"
    )
    await running.press(first)
    others = [(await running.press(uuid4(), driver=f"d{n}"))["alert_id"] for n in range(2, 5)]

    def told() -> list[str]:
        return [hook.body["alert"]["id"] for hook in sink.hooks]

    await until(lambda: set(others) <= set(told()), "the others")
    assert running.worker._work._ledger.faults.all_fail is False
    await until(lambda: str(bad) in told(), "the one that cannot be leased, from the journal", within_s=40)
    assert sorted(told()) == sorted([*others, str(bad)])
    await owner.execute("DROP TRIGGER fail_row ON alert_attempts")
    await owner.close()


async def test_an_attempt_that_cannot_be_decoded_hides_no_other(
    running: Running, sink: Sink, db: Database
) -> None:
    taken = await running.press(uuid4())
    await until(lambda: bool(sink.hooks), "the webhook")
    async with db.writer() as connection:
        await connection.execute(
            "UPDATE alert_attempts SET attempt = '{\"x\": 1}', status = 'due', claim_ms = 1 "
            "WHERE alert_id = $1",
            UUID(taken["alert_id"]),
        )
    other = await running.press(uuid4(), driver="d2")
    await until(lambda: other["alert_id"] in {hook.body["alert"]["id"] for hook in sink.hooks}, "the other")


@pytest.mark.parametrize("sink", ["slow"], indirect=True)
async def test_what_was_sent_and_cannot_be_recorded_is_not_sent_again(
    running: Running, sink: SlowSink, db: Database, database_url: str
) -> None:
    """It cannot be looked up, and its lease ends: without the journal it would be sent every 30 s."""
    sink.may_answer.clear()
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    taken = await running.press(uuid4())
    await until(lambda: bool(sink.hooks), "the webhook is there")
    alert_id = UUID(taken["alert_id"])

    def webhook() -> Status | None:
        kept = running.worker._standby._disk.local.get(alert_id)
        found = [] if kept is None else [a for a in kept.case.attempts.values() if a.channel == "webhook"]
        return found[0].status if found else None

    async with broken(owner, "alert_attempts", "XX001", "UPDATE"):
        sink.may_answer.set()
        await until(lambda: webhook() is Status.SENT, "its outcome is in the journal")
    await owner.close()

    async def stored() -> bool:
        found = await reads.explain(db, "t1", alert_id)
        assert found is not None
        return [a.status for a in found.attempts if a.channel == "webhook"] == [Status.SENT]

    await eventually(stored, "and in postgres")
    assert [hook.delivery for hook in sink.hooks] == [sink.hooks[0].delivery]


async def test_an_alert_that_cannot_be_read_hides_no_other(process: Process, database_url: str) -> None:
    for driver in ("d7", "d8", "d9"):
        await put_driver(process.db, "t1", "north", driver)
    taken = {driver: await process.intake.press(process.press(driver=driver)) for driver in ("d7", "d8")}
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    await owner.execute(
        "CREATE POLICY broken ON alert_attempts AS RESTRICTIVE FOR SELECT USING "
        f"(alert_id <> '{taken['d7'].alert.alert_id}' OR fail('XX001'))"
    )
    await owner.close()
    open_cases = OpenCases(process.db)
    await open_cases.look()
    assert set(open_cases.cases) == {taken["d8"].alert.alert_id}
    third = await process.intake.press(process.press(driver="d9"))
    await open_cases.look()
    assert set(open_cases.cases) == {taken["d8"].alert.alert_id, third.alert.alert_id}
