"""The budget of codes, and what is forgotten of it."""

import hashlib

from realtime.store.db.database import Database
from realtime.store.people import devices, verification_codes

from .people import put_contact, put_device, put_driver

PHONE = "+442079460958"
DIGEST = hashlib.sha256(b"a code").digest()


async def test_what_no_budget_looks_at_any_more_is_forgotten(db: Database) -> None:
    await put_driver(db, "t1", "north", "d1")
    contact = await put_contact(db, "t1", driver_id="d1", phone=PHONE)
    assert await verification_codes.keep(db, "t1", contact, "sms", PHONE, DIGEST) is not None
    assert await verification_codes.prune(db) == 0
    async with db.writer() as connection:
        await connection.execute(
            "UPDATE code_sends SET sent_ms = sent_ms - $1 - 1000", verification_codes.KEEP_MS
        )
        await connection.execute(
            "UPDATE contact_codes SET expires_ms = expires_ms - $1 * 2", verification_codes.KEEP_MS
        )
    assert await verification_codes.prune(db) == 2


async def test_a_code_of_another_tenants_contact_can_neither_be_sent_nor_tried(db: Database) -> None:
    await put_driver(db, "t1", "north", "d1")
    await put_driver(db, "t2", "north", "d1")
    contact = await put_contact(db, "t1", driver_id="d1", phone=PHONE, phone_verified_ms=None)
    assert await verification_codes.keep(db, "t2", contact, "sms", PHONE, DIGEST) is None
    await verification_codes.keep(db, "t1", contact, "sms", PHONE, DIGEST)
    assert (
        await verification_codes.try_(db, "t2", contact, "sms", DIGEST) is verification_codes.CodeResult.NONE
    )
    assert (
        await verification_codes.try_(db, "t1", contact, "sms", DIGEST) is verification_codes.CodeResult.RIGHT
    )


async def test_devices_unseen_for_long_are_forgotten(db: Database) -> None:
    await put_driver(db, "t1", "north", "d1")
    await put_device(db, "t1", "fresh")
    await put_device(db, "t1", "forgotten", seen_ms=1)
    assert await devices.forget_unseen(db) == 1
    assert [one.device_id for one in await devices.of_subject(db, "t1", "disp")] == [
        devices.device_id_of("fresh")
    ]
