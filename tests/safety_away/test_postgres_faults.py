"""A Postgres that is available and fails what a press runs: the press is stored, its contacts are known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from alerts import case as cases
from alerts.alert import Kind, alert_id_of
from alerts.attempt import Channel, StatusReport
from alerts.policy import ALL, Policy, Step
from alerts.ports import StorageRejected
from alerts.press import TOKEN_EXPIRED
from realtime.alerting.failover.case_lookup import CaseLookup
from realtime.alerting.repository import IntakeTimes
from realtime.metrics import instruments
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from tests.alerts.ledger_contract import delivered
from tests.safety_away.fakes import Kept, now_ms
from tests.safety_away.process import Bounds, Process
from tests.safety_away.test_intake import on_the_way
from tests.store.people import put_contact, put_device, put_policy

TENANT_PHONE = "+41790000077"
POLICY = Policy((Step((ALL,), (Channel.SMS,), 90),))
ERRORS = {
    "data corrupted": "XX001",
    "index corrupted": "XX002",
    "input or output error": "58030",
    "undefined file": "58P01",
    "undefined table": "42P01",
    "undefined function": "42883",
    "no privilege": "42501",
    "serialization failure": "40001",
    "disk full": "53100",
    "out of memory": "53200",
    "statement cancelled": "57014",
    "connection failure": "08006",
}
IN_THE_GATE = ("data corrupted", "undefined table", "no privilege", "disk full")
"""One of each way to the journal; the long tests try all errors."""
TABLES = (
    *("contacts", "alert_policies", "driver_safety", "devices", "drivers", "journeys", "journey_points"),
    *("alerts", "alert_presses", "alert_attempts", "alert_events"),
)
FAIL = """
CREATE FUNCTION fail(code text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'broken by a test' USING ERRCODE = code; END $$
"""


@asynccontextmanager
async def broken(
    owner: asyncpg.Connection, table: str, code: str, command: str = "ALL"
) -> AsyncIterator[None]:
    """Every row of ``table`` that ``command`` reads or writes fails with SQLSTATE ``code``."""
    using = "" if command == "INSERT" else f"USING (fail('{code}'))"
    check = "" if command in ("SELECT", "DELETE") else f"WITH CHECK (fail('{code}'))"
    await owner.execute(f"CREATE POLICY broken ON {table} AS RESTRICTIVE FOR {command} {using} {check}")
    try:
        yield
    finally:
        await owner.execute(f"DROP POLICY broken ON {table}")


async def put_safety(db: Database, driver: str) -> None:
    """Give ``driver`` a row of settings."""
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO driver_safety (tenant_id, driver_id, name) VALUES ('t1', $1, 'Dora')", driver
        )


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(code, id=name, marks=() if name in IN_THE_GATE else pytest.mark.long)
        for name, code in ERRORS.items()
    ],
)
async def test_an_sos_is_stored_once_whatever_table_fails_and_how(
    process: Process, database_url: str, code: str
) -> None:
    """Each table in turn, with a driver of its own, who is on a journey and has all that a press reads."""
    await put_contact(process.db, "t1", name="Tom", phone=TENANT_PHONE)
    await put_device(process.db, "t1", "token-of-a-dispatcher")
    await put_policy(process.db, "t1", Kind.SOS, POLICY)
    await process.directory.refresh()
    owner, admin = await asyncpg.connect(database_url, timeout=20), await asyncpg.connect(database_url)
    await admin.execute("SET ROLE wayguard_writer")
    await owner.execute(FAIL)
    for table in TABLES:
        driver = f"of-{table}"
        await on_the_way(process, driver)
        await put_safety(process.db, driver)
        press = process.press(driver=driver, place=None, noted=(TOKEN_EXPIRED,))
        failed = instruments.ALERT_STORE_FAULTS.value
        async with broken(owner, table, code):
            taken = await process.intake.press(press)
            again = await process.intake.press(press)
        was_noticed = instruments.ALERT_STORE_FAULTS.value > failed or taken.alert.place is None
        assert was_noticed or taken.durability == "replicated", table
        assert taken.durability in ("committed", "replicated"), table
        assert again.alert.alert_id == taken.alert.alert_id, table
        await process.back()
        assert process.journal.kept == {}, table
        alerts = await admin.fetch("SELECT alert_id FROM alerts WHERE driver_id = $1", driver)
        assert [str(row["alert_id"]) for row in alerts] == [str(taken.alert.alert_id)], table
        case = await process.ledger.look(taken.alert.alert_id)
        assert case is not None, table
        assert case.copy.policy == POLICY, table
        assert TENANT_PHONE in [contact.phone for contact in case.copy.contacts], table
        sent = [(a.purpose, a.contact_id, a.channel, a.step, a.round) for a in case.attempts.values()]
        assert len(sent) == len(set(sent)), table
    await owner.close()
    await admin.close()


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.3, unsure_s=0.1))], ids=["impatient"])
async def test_an_sos_goes_to_a_slow_postgres_when_the_journal_is_full(process: Process) -> None:
    process.journal.is_full = True
    process.line.hang()
    pressing = asyncio.ensure_future(process.intake.press(process.press()))
    await asyncio.sleep(1.0)
    assert not pressing.done()
    process.line.mend()
    assert (await pressing).durability == "committed"


async def test_an_sos_is_answered_once_a_journal_in_its_reserve_has_it(process: Process) -> None:
    """The replica of an open alert does not fit any more, nor does the note that this process acts."""
    open_elsewhere = process.press()
    process.others.shown[alert_id_of("t1", "d1", open_elsewhere.sos_id)] = Kept(
        cases.opened(open_elsewhere, process.directory.of("t1", "north", "d1"), now_ms()).case
    )
    process.line.cut()
    process.journal.is_in_reserve = True
    process.others.refuses_turns = True
    taken = await process.intake.press(process.press())
    assert taken.durability == "replicated"
    assert process.journal.kept[taken.alert.alert_id].presses


async def test_an_error_after_the_commit_does_not_store_an_sos_twice(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(CaseLookup, "committed", fail)
    taken = await process.intake.press(process.press())
    assert (taken.durability, process.journal.kept) == ("committed", {})


async def test_a_report_that_postgres_rejects_blocks_no_other_and_waits(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def report(ledger: PostgresLedger, given: StatusReport) -> bool:
        asked.append(given.provider_id)
        if given.provider_id == "SM1":
            raise StorageRejected
        return True

    monkeypatch.setattr(PostgresLedger, "report", report)
    process.journal.reports = [delivered("SM1"), delivered("SM2")]
    await process.importer.round()
    await process.importer.round()
    assert asked == ["SM1", "SM2"]
    assert process.journal.reports == [delivered("SM1")]
