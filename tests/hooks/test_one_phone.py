"""One phone in the contacts of driver, vendor and tenant: one text, one call, one answer."""

import asyncio
from uuid import UUID, uuid4

import pytest

from alerts.alert import State
from alerts.attempt import Purpose, Status
from realtime.store.db.database import Database
from tests.hooks.conftest import PHONE, World, until


async def listed(db: Database, name: str, phone: str, **scope: str) -> UUID:
    """A verified contact of a driver, a vendor or the tenant."""
    contact_id = uuid4()
    async with db.writer() as connection:
        await connection.execute("INSERT INTO vendors VALUES ('t1', 'v1') ON CONFLICT DO NOTHING")
        await connection.execute(
            "INSERT INTO drivers (tenant_id, vendor_id, driver_id, connection_epoch) "
            "VALUES ('t1', 'v1', 'd1', 0) ON CONFLICT DO NOTHING"
        )
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, vendor_id, driver_id, name, phone, "
            "phone_verified_ms, created_by) VALUES ($1, 't1', $2, $3, $4, $5, 1, 'test')",
            contact_id, scope.get("vendor"), scope.get("driver"), name, phone,
        )  # fmt: skip
    return contact_id


async def test_one_phone_in_three_lists_rings_once(world: World) -> None:
    mother = await listed(world.db, "Mother", PHONE, driver="d1")
    await listed(world.db, "Mrs Lee", PHONE, vendor="v1")
    alert_id = await world.sos()
    await world.text_of(alert_id)
    await world.call_of(alert_id)
    await asyncio.sleep(0.5)
    assert len(world.twilio.messages) == len(world.twilio.phone_calls) == 1
    attempts = (await world.explained(alert_id)).attempts
    assert {a.contact_id for a in attempts} == {str(mother)}
    [said] = await world.twilio.reply(PHONE, "1")
    alert = await world.alert(alert_id)
    assert alert.acknowledged_by is not None and alert.acknowledged_by.name == "Mother, Mrs Lee, Ann"
    assert "d1" in said


@pytest.mark.parametrize("other", ["+5215512345678", "+525512345678"])
async def test_two_spellings_of_one_phone_ring_once_and_both_answer(world: World, other: str) -> None:
    async with world.db.writer() as connection:
        await connection.execute("DELETE FROM contacts")
    await listed(world.db, "Ana", "+525512345678")
    await listed(world.db, "Ana P", "+5215512345678", driver="d1")
    alert_id = await world.sos()
    text = await world.text_of(alert_id)
    await world.call_of(alert_id)
    assert text.to == "+525512345678", "as the network has it today"
    assert len(world.twilio.messages) == len(world.twilio.phone_calls) == 1
    await world.twilio.reply(other, "1")
    assert (await world.alert(alert_id)).state is State.ACKNOWLEDGED


async def test_the_end_of_an_alert_is_one_text_to_a_phone_in_three_lists(world: World) -> None:
    await listed(world.db, "Mother", PHONE, driver="d1")
    await listed(world.db, "Mrs Lee", PHONE, vendor="v1")
    alert_id = await world.sos()
    await world.text_of(alert_id)
    await world.call_of(alert_id)
    await world.twilio.reply(PHONE, "1")
    await world.twilio.reply(PHONE, "2")

    async def ended() -> bool:
        ends = [a for a in (await world.explained(alert_id)).attempts if a.purpose is Purpose.ALL_CLEAR]
        return bool(ends) and all(a.status is Status.DELIVERED for a in ends)

    await until(ended, "all is clear")
    assert len(world.twilio.messages) == 2
