"""What drivers set for themselves, and their erasure."""

import asyncio
import secrets
from typing import Any

from alerts import pin
from alerts.events import PinResult
from alerts.policy import Pins
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery
from realtime.api.people.scopes import driver_of, scope_of
from realtime.api.people.shapes import (
    DriverChange,
    DriverChanges,
    DriverNames,
    DriverPath,
    ErasureProof,
    NamesRequest,
    PinsBody,
    ProfileBody,
    ProfileView,
    SafetyBody,
    SafetyView,
)
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.contacts import validation
from realtime.protocol import Code, Refused
from realtime.store.people import driver_settings, tenants
from realtime.store.people.contacts import Scope
from realtime.store.people.tenants import Author


async def get_safety(call: OperationCall[DriverPath, NoQuery, NoBody]) -> SafetyView:
    """Name, language, and whether a PIN cancels. Whether there is a duress PIN is never shown."""
    return await _view(call)


async def put_safety(call: OperationCall[DriverPath, NoQuery, SafetyBody]) -> SafetyView:
    """How messages speak of the driver."""
    name, language = validation.name_of(call.body.name), validation.language_of(call.body.language)
    await _made(call)
    by = author_of(call.principal)
    await driver_settings.describe(
        call.context.db, call.principal.tenant, call.path.driver, name, language, by
    )
    return await _view(call)


async def get_profile(call: OperationCall[DriverPath, NoQuery, NoBody]) -> ProfileView:
    """The driver's own number is shown whole to those who may set it, dispatchers of the vendor included."""
    scope = await driver_of(call, call.path.driver)
    return _profile(call, scope, await _profile_of(call))


async def put_profile(call: OperationCall[DriverPath, NoQuery, ProfileBody]) -> ProfileView:
    """Set by the driver, or by those who oversee the vendor; audited."""
    name = validation.name_of(call.body.name)
    countries = call.context.settings.phone_countries
    phone = None if call.body.phone is None else validation.phone_of(call.body.phone, countries)
    scope = await _made(call)
    if not authorize.may_set_profile(call.principal, scope.vendor or "", call.path.driver):
        raise Refused(Code.FORBIDDEN, "a driver's number is not yours to set")
    given = driver_settings.Profile(name, phone)
    by = author_of(call.principal)
    await driver_settings.set_profile(call.context.db, call.principal.tenant, call.path.driver, given, by)
    return _profile(call, scope, given)


async def _profile_of(call: OperationCall[DriverPath, NoQuery, Any]) -> driver_settings.Profile:
    return await driver_settings.profile(call.context.db, call.principal.tenant, call.path.driver)


def _profile(
    call: OperationCall[DriverPath, NoQuery, Any], scope: Scope, found: driver_settings.Profile
) -> ProfileView:
    whole = authorize.may_set_profile(call.principal, scope.vendor or "", call.path.driver)
    return ProfileView(name=found.name, phone=found.phone if whole else validation.masked(found.phone))


async def list_names(call: OperationCall[NoPath, NoQuery, NamesRequest]) -> DriverNames:
    """Names by id, of the caller's vendors; an id that is not theirs is left out like one that is none."""
    principal = call.principal
    if not authorize.may_look_up_names(principal):
        raise Refused(Code.FORBIDDEN, "names are for those who oversee vendors")
    found = await tenants.names_of(
        call.context.db, principal.tenant, set(call.body.drivers), principal.vendors
    )
    return DriverNames(names=found)


async def list_changes(call: OperationCall[DriverPath, NoQuery, NoBody]) -> DriverChanges:
    """Who changed the driver's name and number, the newest first."""
    scope = await driver_of(call, call.path.driver)
    if not authorize.may_see_changes(call.principal, scope.vendor or ""):
        raise Refused(Code.FORBIDDEN, "the changes of a driver are for those who oversee the vendor")
    found = await tenants.changes_of(call.context.db, call.principal.tenant, call.path.driver)
    return DriverChanges(
        changes=[DriverChange(c.at_ms, c.by.role, c.by.sub, c.field, c.before, c.after) for c in found]
    )


def author_of(principal: Principal) -> Author:
    """``principal`` as the audit of drivers' names and numbers has them."""
    return Author(principal.role, principal.sub)


async def put_pins(call: OperationCall[DriverPath, NoQuery, PinsBody]) -> Done:
    """Both PINs at once. A driver who has one types it first; admins only take them away.

    The answer to the duress PIN is that to the right one, and so is all that can be seen afterwards.
    """
    scope = await _made(call)
    db, tenant, driver = call.context.db, call.principal.tenant, call.path.driver
    if authorize.may_set_pins(call.principal, driver):
        changed, tries_returned = await _changed(call)
        await driver_settings.set_pins(db, tenant, driver, changed, tries_returned=tries_returned)
        return Done()
    if not authorize.may_clear_pins(call.principal, scope.vendor or "", driver):
        raise Refused(Code.FORBIDDEN, "pins are the driver's alone")
    if call.body.cancel is not None or call.body.duress is not None:
        raise Refused(Code.FORBIDDEN, "pins are chosen by the driver alone")
    await driver_settings.set_pins(db, tenant, driver, await _hashed(call.body))
    return Done()


async def _changed(call: OperationCall[DriverPath, NoQuery, PinsBody]) -> tuple[Pins, int]:
    """The PINs after the driver's change, and how many of the tries counted now were not wrong.

    Each PIN that is given as the current one is a try. There are three cases:

    1. The screens show a PIN, and it is the right or a duress PIN: the try is given back.
    2. They show a PIN, and it is wrong: refused, and the try counts.
    3. They show none: the try counts, whatever it is. Under duress that bounds guesses of the own PIN.

    What counts follows from what is shown, so that the count shows nothing of a duress.
    Raises Refused: forbidden (wrong PIN), invalid, rate_limited.
    """
    db, tenant, driver = call.context.db, call.principal.tenant, call.path.driver
    known = (await driver_settings.get(db, tenant, driver)).pins
    shows_pin = pin.is_set_as_shown(known)
    if shows_pin or call.body.current is not None:
        await driver_settings.take_try(db, tenant, driver)
    typed = await asyncio.to_thread(pin.checked, call.body.current, known)
    if shows_pin and typed is PinResult.WRONG:
        raise Refused(Code.FORBIDDEN, "the current pin is wrong")
    is_own = known.cancel is None or typed is PinResult.RIGHT
    return await _hashed(call.body, None if is_own else known), int(shows_pin)


async def _hashed(body: PinsBody, known: Pins | None = None) -> Pins:
    """The hashes of ``body``; with ``known``, the PINs of a driver under duress, by `alerts.pin.masked_pins`.

    Raises Refused(invalid).
    """
    salts = (secrets.token_bytes(pin.SALT_BYTES), secrets.token_bytes(pin.SALT_BYTES))
    try:
        if known is not None:
            return await asyncio.to_thread(pin.masked_pins, known, body.cancel, body.duress, salts[0])
        return await asyncio.to_thread(pin.pins_of, body.cancel, body.duress, salts)
    except ValueError as error:
        raise Refused(Code.INVALID, str(error)) from error


async def _made(call: OperationCall[DriverPath, NoQuery, Any]) -> Scope:
    """The driver's scope; a driver who asks before they ever connected is made."""
    if call.principal.role == authorize.DRIVER:
        return await scope_of(call, None, call.path.driver, make=True)
    return await driver_of(call, call.path.driver)


async def erase_driver(call: OperationCall[DriverPath, NoQuery, NoBody]) -> ErasureProof:
    """Asking again goes on where it was; a driver nobody knows any more is erased already, with proof."""
    tenant, driver = call.principal.tenant, call.path.driver
    if call.principal.role not in (authorize.ADMIN, authorize.SERVICE):
        raise Refused(Code.FORBIDDEN, "erasing drivers is not yours to do")
    vendor = await tenants.vendor_of(call.context.db, tenant, driver)
    if not authorize.may_erase(call.principal, vendor):
        raise Refused(Code.NOT_FOUND, "no such driver")
    if call.context.eraser is None:
        raise Refused(Code.UNAVAILABLE, "this process does not erase drivers", retry_after_s=60)
    proof = await call.context.eraser.erase(tenant, driver, call.principal.sub)
    return ErasureProof(
        done=proof.done,
        erasure_id=proof.erasure_id,
        tenant=proof.tenant,
        driver_sha256=proof.driver_sha256,
        asked_by=proof.asked_by,
        asked_ms=proof.asked_ms,
        done_ms=proof.done_ms,
        places=proof.places,
        signature=proof.signature,
    )


async def _view(call: OperationCall[DriverPath, NoQuery, Any]) -> SafetyView:
    scope = await driver_of(call, call.path.driver)
    found = await driver_settings.get(call.context.db, call.principal.tenant, call.path.driver)
    view = SafetyView(
        name=found.name, language=found.language, cancel_pin_set=pin.is_set_as_shown(found.pins)
    )
    if authorize.may_see_changes(call.principal, scope.vendor or ""):
        view.pins_changed_under_duress = pin.is_changed_under_duress(found.pins)
    return view
