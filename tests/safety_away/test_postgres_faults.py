"""A Postgres that is available and fails what a press runs: the press is stored, its contacts are known."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from realtime.safety.intake import IntakeTimes
from tests.safety_away.process import Bounds, Process
from tests.safety_away.test_intake import on_the_way
from tests.store.people import put_contact

TENANT_PHONE = "+41790000077"
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
async def broken(url: str, table: str, code: str) -> AsyncIterator[None]:
    """Every row of ``table`` that is read or written fails with SQLSTATE ``code``."""
    connection = await asyncpg.connect(url, timeout=20)
    try:
        await connection.execute(
            f"CREATE POLICY broken ON {table} AS RESTRICTIVE "
            f"USING (fail('{code}')) WITH CHECK (fail('{code}'))"
        )
        yield
        await connection.execute(f"DROP POLICY broken ON {table}")
    finally:
        await connection.close()


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
    await process.directory.refresh()
    connection = await asyncpg.connect(database_url, timeout=20)
    await connection.execute(FAIL)
    await connection.close()
    for table in TABLES:
        driver = f"of-{table}"
        await on_the_way(process, driver)
        press = process.press(driver=driver, place=None)
        async with broken(database_url, table, code):
            taken = await process.intake.press(press)
            again = await process.intake.press(press)
        assert taken.durability in ("committed", "replicated"), table
        assert again.alert.alert_id == taken.alert.alert_id, table
        await process.back()
        case = await process.ledger.look(taken.alert.alert_id)
        assert case is not None, table
        assert TENANT_PHONE in [contact.phone for contact in case.copy.contacts], table
        assert process.journal.kept == {}, table


@pytest.mark.parametrize("bounds", [Bounds(IntakeTimes(ask_s=0.3, unsure_s=0.1))], ids=["impatient"])
async def test_an_sos_goes_to_a_slow_postgres_when_the_journal_is_full(process: Process) -> None:
    process.journal.is_full = True
    process.line.hang()
    pressing = asyncio.ensure_future(process.intake.press(process.press()))
    await asyncio.sleep(1.0)
    assert not pressing.done()
    process.line.mend()
    assert (await pressing).durability == "committed"
