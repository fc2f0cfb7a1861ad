"""Every write that changes what a press uses names the scopes that it has changed, once it is committed."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from alerts.alert import Kind
from alerts.policy import DEFAULTS, Pins
from realtime.protocol import Refused
from realtime.store.db.changes import EVERYTHING, MAX_SCOPES, ScopeChanges, scope_of
from realtime.store.db.database import Database
from realtime.store.people import (
    contacts,
    devices,
    driver_settings,
    policies,
    revocations,
    verification_codes,
)
from realtime.store.people.contacts import Draft, Scope
from realtime.store.people.devices import DeviceOwner
from realtime.store.people.driver_settings import Profile
from realtime.store.people.verification_codes import CodeResult
from tests.store.people import put_contact, put_device, put_driver

PHONE = "+41790000001"
SOS = DEFAULTS[Kind.SOS]
D1 = scope_of("t1", None, "d1")
NORTH = scope_of("t1", "north", None)
WRITES: dict[str, tuple[Callable[[Database], Awaitable[Any]], set[str]]] = {
    "a driver's contact": (
        lambda db: contacts.create(db, "t1", Scope("north", "d1"), Draft("Ben"), "test"),
        {D1},
    ),
    "a vendor's contact": (
        lambda db: contacts.create(db, "t1", Scope("north"), Draft("Ben"), "test"),
        {NORTH},
    ),
    "a tenant's contact": (lambda db: contacts.create(db, "t1", Scope(), Draft("Ben"), "test"), {"t1"}),
    "an opt-out": (lambda db: contacts.opt_out(db, PHONE), {D1, "t2"}),
    "an opt-in": (lambda db: contacts.opt_in(db, PHONE), {D1, "t2"}),
    "a policy": (lambda db: policies.put(db, "t1", Scope("north"), Kind.SOS, SOS, "test"), {NORTH}),
    "no policy": (lambda db: policies.delete(db, "t1", Scope("north", "d1"), Kind.SOS), {D1}),
    "pins": (lambda db: driver_settings.set_pins(db, "t1", "d1", Pins()), {D1}),
    "a name": (lambda db: driver_settings.describe(db, "t1", "d1", "Dee", "en"), {D1}),
    "a profile": (lambda db: driver_settings.set_profile(db, "t1", "d1", Profile("Dee")), {D1}),
    "a device of a contact": (
        lambda db: devices.register(
            db, "t1", DeviceOwner("ana", "driver", None, None, None), "token-3", "ios", "en"
        ),
        {D1},
    ),
    "a dispatcher's device": (
        lambda db: devices.register(
            db, "t1", DeviceOwner("olga", "dispatcher", ["north"], None, None), "token-4", "web", "en"
        ),
        {NORTH},
    ),
    "a device that changed hands": (
        lambda db: devices.register(
            db, "t1", DeviceOwner("ana", "driver", None, None, None), "token-1", "web", "en"
        ),
        {D1, "t1"},
    ),
    "no device": (
        lambda db: devices.delete(db, "t1", "disp", devices.device_id_of("token-1")),
        {"t1"},
    ),
    "a revoked token": (lambda db: revocations.revoke(db, "t1", "jti-1"), {"t1"}),
    "a dead token": (lambda db: devices.prune(db, "token-1"), {"t1"}),
}


@pytest.fixture
async def people(db: Database) -> Database:
    """d1 of t1 with a contact whose number t2 has too, and a dispatcher's device."""
    await put_driver(db, "t1", "north", "d1")
    await put_driver(db, "t2", "south", "d2")
    await put_contact(db, "t1", driver_id="d1", phone=PHONE, subject="ana")
    await put_contact(db, "t2", phone=PHONE)
    await put_device(db, "t1", "token-1", jti="jti-1")
    return db


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_names_its_scopes(people: Database, name: str) -> None:
    noted: list[str] = []
    people.changes.listen(noted.extend)
    write, scopes = WRITES[name]
    await write(people)
    assert set(noted) == scopes


async def test_a_contact_that_is_changed_or_removed_names_its_scope(people: Database) -> None:
    noted: list[Any] = []
    (ana,) = await contacts.reaching(people, "t1", "north", "d1")
    people.changes.listen(noted.append)
    await contacts.change(people, "t1", ana.contact_id, {"name": "Anna"})
    await contacts.delete(people, "t1", ana.contact_id)
    assert noted == [[D1], [D1]]
    assert not await contacts.delete(people, "t1", ana.contact_id)
    assert len(noted) == 2, "there was nothing to change"


async def test_a_verified_address_names_the_scopes_that_have_it(people: Database) -> None:
    (ana,) = await contacts.reaching(people, "t1", "north", "d1")
    await verification_codes.keep(people, "t1", ana.contact_id, "sms", PHONE, b"digest")
    noted: list[Any] = []
    people.changes.listen(noted.append)
    assert await verification_codes.try_(people, "t1", ana.contact_id, "sms", b"wrong") is CodeResult.WRONG
    assert noted == []
    assert await verification_codes.try_(people, "t1", ana.contact_id, "sms", b"digest") is CodeResult.RIGHT
    assert noted == [{D1}]


async def test_a_device_that_is_shown_again_changes_nothing(people: Database) -> None:
    owner = DeviceOwner("ana", "driver", None, None, None)
    await devices.register(people, "t1", owner, "token-3", "ios", "en")
    noted: list[Any] = []
    people.changes.listen(noted.append)
    await devices.register(people, "t1", owner, "token-3", "ios", "en")
    assert noted == []


async def test_what_is_not_committed_is_not_named(people: Database) -> None:
    noted: list[Any] = []
    people.changes.listen(noted.append)
    for number in range(contacts.PER_DRIVER - 1):
        await put_contact(people, "t1", driver_id="d1", name=f"n{number}")
    with pytest.raises(Refused):
        await contacts.create(people, "t1", Scope("north", "d1"), Draft("Ben"), "test")
    assert noted == []


def test_a_write_of_very_many_scopes_names_everything_and_a_bad_listener_does_no_harm() -> None:
    changes, noted = ScopeChanges(), list[Any]()

    def fail(scopes: object) -> None:
        raise RuntimeError

    changes.listen(fail)
    changes.listen(noted.append)
    changes.note([f"t{number}" for number in range(MAX_SCOPES + 1)])
    assert noted == [(EVERYTHING,)]
