"""Presses that wait at the same time are stored in one transaction, as they would be alone."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from alerts.alert import Press
from alerts.case import Case
from alerts.ports import Taken
from realtime.alerting import press_committer
from realtime.store.alerts.ledger import PostgresLedger
from tests.safety_away.process import Process, settled
from tests.safety_away.test_intake import on_the_way
from tests.safety_away.test_postgres_faults import FAIL, broken
from tests.store.people import put_contact, put_driver

DRIVERS = [f"g{number}" for number in range(12)]


class Groups:
    """Records how many presses each transaction of a ledger is given."""

    def __init__(self, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sizes: list[int] = []
        inner = ledger.press_group

        async def recorded(presses: Sequence[Press], *rest: Any) -> Any:
            self.sizes.append(len(presses))
            return await inner(presses, *rest)

        monkeypatch.setattr(ledger, "press_group", recorded)


@pytest.fixture
def groups(process: Process, monkeypatch: pytest.MonkeyPatch) -> Groups:
    return Groups(process.ledger, monkeypatch)


async def with_contacts(process: Process, drivers: Sequence[str], tenant: str = "t1") -> None:
    for number, driver in enumerate(drivers):
        await put_driver(process.db, tenant, "north", driver)
        await put_contact(
            process.db, tenant, driver_id=driver, name=driver, phone=f"+4179{number:07d}", language="de"
        )


async def press_all(process: Process, presses: Sequence[Press]) -> list[Taken]:
    return await asyncio.gather(*(process.intake.press(press) for press in presses))


async def case_of(process: Process, taken: Taken) -> Case:
    case = await process.ledger.look(taken.alert.alert_id)
    assert case is not None
    return case


async def test_presses_that_wait_are_stored_in_one_transaction(process: Process, groups: Groups) -> None:
    await with_contacts(process, DRIVERS)
    taken = await press_all(process, [process.press(driver=driver) for driver in DRIVERS])
    assert [(one.durability, one.created) for one in taken] == [("committed", True)] * len(DRIVERS)
    assert sum(groups.sizes) == len(DRIVERS)
    assert max(groups.sizes) >= len(DRIVERS) - press_committer.GROUPS_AT_ONCE
    assert process.journal.kept == {}


async def test_a_press_of_a_group_is_stored_as_one_alone_is(process: Process, groups: Groups) -> None:
    """With its driver's contacts, name, language and PINs, and with the last position of the journey."""
    await with_contacts(process, DRIVERS)
    for driver in DRIVERS[::2]:
        await on_the_way(process, driver)
    presses = [process.press(driver=driver, place=None) for driver in DRIVERS]
    taken = await press_all(process, presses)
    assert max(groups.sizes) > 1
    for press, one in zip(presses, taken, strict=True):
        stored = await case_of(process, one)
        drill = replace(press, sos_id=uuid4(), drill=True)
        reference = await case_of(process, (await process.committer.commit_alone(drill, [])).taken)
        assert stored.copy.contacts == reference.copy.contacts
        assert next(contact.name for contact in stored.copy.contacts) == press.driver
        assert (stored.alert.place, stored.alert.journey_id) == (
            reference.alert.place,
            reference.alert.journey_id,
        )
        assert (stored.alert.place is not None) == (press.driver in DRIVERS[::2])


async def test_presses_of_two_tenants_in_one_group_stay_apart(process: Process, groups: Groups) -> None:
    """The same vendor and driver names, another tenant's contacts."""
    await with_contacts(process, DRIVERS, "t1")
    await with_contacts(process, DRIVERS, "t2")
    await put_contact(process.db, "t2", name="of t2 only", phone="+41799999999")
    presses = [process.press(tenant=tenant, driver=driver) for driver in DRIVERS for tenant in ("t1", "t2")]
    taken = await press_all(process, presses)
    assert max(groups.sizes) > 1
    for press, one in zip(presses, taken, strict=True):
        case = await case_of(process, one)
        assert case.alert.tenant == press.tenant
        names = {contact.name for contact in case.copy.contacts} - {"Dispatch"}
        assert names == {press.driver} | ({"of t2 only"} if press.tenant == "t2" else set())


async def test_a_driver_without_a_row_is_added_by_the_group(process: Process, groups: Groups) -> None:
    taken = await press_all(process, [process.press(driver=f"new{number}") for number in range(8)])
    assert {one.durability for one in taken} == {"committed"}
    assert max(groups.sizes) > 1


async def test_presses_of_one_driver_make_one_alert(process: Process, groups: Groups) -> None:
    """Another press, the same press again, and one of a driver who has an open alert already."""
    await with_contacts(process, DRIVERS)
    before = await process.intake.press(process.press(driver=DRIVERS[0]))
    first = process.press(driver=DRIVERS[1])
    presses = [
        process.press(driver=DRIVERS[0]),
        first,
        process.press(driver=DRIVERS[1]),
        first,
        *(process.press(driver=driver) for driver in DRIVERS[2:]),
    ]
    taken = await press_all(process, presses)
    assert taken[0].alert.alert_id == before.alert.alert_id and taken[0].joined
    assert len({one.alert.alert_id for one in taken[1:4]}) == 1
    assert {one.durability for one in taken} == {"committed"}
    async with process.db.writer() as connection:
        counts = await connection.fetch("SELECT count(*) AS n FROM alerts GROUP BY driver_id")
    assert {row["n"] for row in counts} == {1}


async def test_a_locked_driver_does_not_hold_up_the_others_of_its_group(
    process: Process, database_url: str
) -> None:
    """A transaction that holds a driver's lock, as an import does."""
    await with_contacts(process, DRIVERS)
    other = await asyncpg.connect(database_url, timeout=20)
    async with other.transaction():
        await other.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1 || chr(31) || $2, 0))", "t1", DRIVERS[5]
        )
        pressing = {
            driver: asyncio.ensure_future(process.intake.press(process.press(driver=driver)))
            for driver in DRIVERS
        }
        locked = pressing.pop(DRIVERS[5])
        await asyncio.gather(*pressing.values())
        assert not locked.done()
    assert (await locked).durability == "committed"
    await other.close()


async def test_a_press_that_postgres_refuses_does_not_fail_the_others_of_its_group(
    process: Process, groups: Groups
) -> None:
    await with_contacts(process, DRIVERS)
    presses = [process.press(driver=driver) for driver in DRIVERS]
    presses[7] = replace(presses[7], message="a\0b")  # json has it, and text of Postgres has not
    taken = await press_all(process, presses)
    assert max(groups.sizes) > 1
    durability = [one.durability for one in taken]
    assert durability.count("committed") >= len(DRIVERS) - 1
    assert durability[7] in ("committed", "replicated")


async def test_a_group_that_a_table_fails_is_stored_one_by_one(
    process: Process, groups: Groups, database_url: str
) -> None:
    await with_contacts(process, DRIVERS)
    await process.directory.refresh()
    owner = await asyncpg.connect(database_url, timeout=20)
    await owner.execute(FAIL)
    async with broken(owner, "contacts", "XX001"):
        taken = await press_all(process, [process.press(driver=driver) for driver in DRIVERS])
    assert max(groups.sizes) > 1
    assert {one.durability for one in taken} == {"committed"}
    for driver, one in zip(DRIVERS, taken, strict=True):
        names = [contact.name for contact in (await case_of(process, one)).copy.contacts]
        assert driver in names, "from the local copy"
    await owner.close()


async def test_a_group_that_postgres_does_not_answer_goes_to_the_journal(process: Process) -> None:
    await with_contacts(process, DRIVERS)
    process.line.cut()
    taken = await press_all(process, [process.press(driver=driver) for driver in DRIVERS])
    assert {one.durability for one in taken} == {"replicated"}
    assert len(process.journal.kept) == len(DRIVERS)


async def test_a_press_whose_caller_is_cancelled_does_not_end_its_group(
    process: Process, groups: Groups
) -> None:
    await with_contacts(process, DRIVERS)
    pressing = [
        asyncio.ensure_future(process.intake.press(process.press(driver=driver))) for driver in DRIVERS
    ]
    await asyncio.sleep(0.005)
    pressing[6].cancel()
    results = await asyncio.gather(*pressing, return_exceptions=True)
    done = [one for one in results if isinstance(one, Taken)]
    assert len(done) == len(DRIVERS) - 1
    assert {one.durability for one in done} == {"committed"}


async def test_connections_for_groups_are_prepared_and_nothing_is_stored(process: Process) -> None:
    """After a start, and again after Postgres was unavailable."""
    for _ in range(2):
        process.line.cut()
        process.committer.warm_up()
        await asyncio.sleep(0.1)
        process.line.mend()
        process.committer.start()

        async def prepared() -> bool:
            return process.db.connections()["primary", "idle"] >= press_committer.GROUPS_AT_ONCE

        assert await settled(prepared)
        await process.committer.stop()
    async with process.db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 0
        assert await connection.fetchval("SELECT count(*) FROM alert_presses") == 0
