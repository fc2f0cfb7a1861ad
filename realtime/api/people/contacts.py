"""Contacts over HTTP: kept, shown (masked to those whose they are not), verified by code."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from alerts.addresses import phone as phones
from alerts.addresses.typed import digits_of
from alerts.notifiers.webhook import webhook_secret
from realtime.api.framework import cursor
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.ports import CodeService
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery
from realtime.api.people.scopes import driver_of, scope_of
from realtime.api.people.shapes import (
    AddressView,
    CodeRequest,
    CodeSent,
    CodeTry,
    ContactChange,
    ContactOrder,
    ContactPage,
    ContactPath,
    ContactsQuery,
    ContactView,
    DriverPath,
    NewContact,
    OneContact,
)
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.contacts import validation
from realtime.contacts.validation import masked
from realtime.contacts.verification import DIGITS
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.alerts.circumstances import operator_of
from realtime.store.people import contacts, driver_settings
from realtime.store.people.contacts import ContactRecord, Draft
from realtime.store.people.verification_codes import CodeResult

_CURSOR: Final = "contact"
_OVERSEERS_ONLY: Final = ("webhook_url", "subject")


async def create_contact(call: OperationCall[NoPath, NoQuery, NewContact]) -> OneContact:
    """A new contact; its addresses count once they are verified."""
    body = call.body
    given = {name: getattr(body, name) for name in Draft.__struct_fields__}
    draft = Draft(**_clean(call, given, await _home(call, body.phone)))
    scope = await scope_of(call, body.vendor, body.driver, make=True)
    found = await contacts.create(call.context.db, call.principal.tenant, scope, draft, call.principal.sub)
    return _one(call, found)


async def list_contacts(call: OperationCall[NoPath, ContactsQuery, NoBody]) -> ContactPage:
    """In order of their ids. Without filters it is narrowed to what the caller looks after."""
    query, principal = call.query, call.principal
    driver = authorize.listable_driver(principal)
    if driver is not None and query.driver not in (None, driver):
        raise Refused(Code.FORBIDDEN, "these contacts are not yours to list")
    if (
        query.vendor is not None
        and driver is None
        and not authorize.may_watch_vendor(principal, query.vendor)
    ):
        raise Refused(Code.FORBIDDEN, "these contacts are not yours to list")
    found = await contacts.list_(
        call.context.db,
        principal.tenant,
        vendors=authorize.listable_vendors(principal),
        vendor=query.vendor,
        driver=driver or query.driver,
        after=_after(query.cursor),
        limit=query.limit + 1,
        tenant_wide=authorize.may_manage_people(principal, None, None),
    )
    page = found[: query.limit]
    more = len(found) > len(page)
    return ContactPage(
        contacts=[_view(principal, contact) for contact in page],
        next_cursor=cursor.pack(_CURSOR, page[-1].contact_id.hex) if more else None,
    )


async def get_contact(call: OperationCall[ContactPath, NoQuery, NoBody]) -> OneContact:
    """One contact."""
    return _one(call, await _own(call))


async def change_contact(call: OperationCall[ContactPath, NoQuery, ContactChange]) -> OneContact:
    """What is not named stays as it is."""
    given = {
        name: value for name in Draft.__struct_fields__ if (value := getattr(call.body, name)) is not UNSET
    }
    clean = _clean(call, given, await _home(call, given.get("phone")))
    found = await _own(call)
    changed = await contacts.change(call.context.db, call.principal.tenant, found.contact_id, clean)
    if changed is None:
        raise _unknown()
    return _one(call, changed)


async def delete_contact(call: OperationCall[ContactPath, NoQuery, NoBody]) -> Done:
    """Alerts under way keep whom they took along."""
    found = await _own(call)
    await contacts.delete(call.context.db, call.principal.tenant, found.contact_id)
    return Done()


async def send_code(call: OperationCall[ContactPath, NoQuery, CodeRequest]) -> CodeSent:
    """A code to the contact's address: six digits, good for ten minutes and five tries."""
    found = await _own(call)
    expires_ms = await _codes(call).send(call.principal.tenant, found, call.body.channel)
    return CodeSent(expires_at=expires_ms)


async def verify_contact(call: OperationCall[ContactPath, NoQuery, CodeTry]) -> OneContact:
    """The right code verifies the address it was sent to, and undoes its opt-out."""
    found = await _own(call)
    code = digits_of(call.body.code)
    if len(code) != DIGITS:
        raise Refused(Code.INVALID, f"code is not {DIGITS} digits")
    verdict = await _codes(call).verify(call.principal.tenant, found, call.body.channel, code)
    if verdict is CodeResult.WRONG:
        raise Refused(Code.INVALID, "the code is wrong")
    if verdict is CodeResult.NONE:
        raise Refused(Code.INVALID, "no code is waiting: ask for a new one")
    return _one(call, await _own(call))


async def send_test(call: OperationCall[ContactPath, NoQuery, CodeRequest]) -> Done:
    """A message that says that it is a test, to an address that counts."""
    found = await _own(call)
    tenant, driver = call.principal.tenant, found.scope.driver
    by = found.scope.vendor or tenant
    if driver is not None:
        by = (await driver_settings.profile(call.context.db, tenant, driver)).name or driver
    await _codes(call).test(tenant, found, call.body.channel, by)
    return Done()


async def order_contacts(call: OperationCall[DriverPath, NoQuery, ContactOrder]) -> Done:
    """All of the driver's own contacts, the first to be notified first."""
    scope = await driver_of(call, call.path.driver)
    assert scope.driver is not None
    if len(set(call.body.contact_ids)) < len(call.body.contact_ids):
        raise Refused(Code.INVALID, "a contact is named twice")
    await contacts.order(call.context.db, call.principal.tenant, scope.driver, call.body.contact_ids)
    return Done()


def _codes(call: OperationCall[Any, Any, Any]) -> CodeService:
    if call.context.codes is None:
        raise Refused(Code.UNAVAILABLE, "no codes can be sent here", retry_after_s=60)
    return call.context.codes


async def _own(call: OperationCall[ContactPath, Any, Any]) -> ContactRecord:
    """The contact of the path. The same refusal for one that is missing, another tenant's or not the
    caller's.
    """
    found = await contacts.get(call.context.db, call.principal.tenant, call.path.contact_id)
    if found is None or not authorize.may_manage_people(
        call.principal, found.scope.vendor, found.scope.driver
    ):
        raise _unknown()
    return found


def _unknown() -> Refused:
    return Refused(Code.NOT_FOUND, "no such contact")


def _after(given: str | None) -> UUID | None:
    if given is None:
        return None
    try:
        return UUID(hex=cursor.unpack(_CURSOR, given))
    except ValueError as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error


async def _home(call: OperationCall[Any, Any, Any], phone: str | None) -> tuple[str, ...]:
    """The countries in whose national form ``phone`` may be written: that of the driver who asks, and that of
    the tenant's emergency number. Nothing where it is not asked for: a number says its country mostly.
    """
    settings, principal = call.context.settings, call.principal
    if phone is None or settings.phone_countries or not phones.is_national(phone):
        return ()
    numbers = [found.phone for found in (operator_of(settings, principal.tenant),) if found is not None]
    if principal.role == authorize.DRIVER and principal.driver is not None:
        own = await driver_settings.profile(call.context.db, principal.tenant, principal.driver)
        numbers.append(own.phone)
    return tuple(country for number in numbers if number and (country := phones.country_of(number)))


def _clean(
    call: OperationCall[Any, Any, Any], given: dict[str, Any], home: tuple[str, ...]
) -> dict[str, Any]:
    """``given`` in the form in which it is kept. Raises Refused: invalid, forbidden."""
    if call.principal.role == authorize.DRIVER and any(
        given.get(name) is not None for name in _OVERSEERS_ONLY
    ):
        raise Refused(Code.FORBIDDEN, "a driver sets neither webhook_url nor subject")
    return {name: _cleaned(name, value, call.context.settings, home) for name, value in given.items()}


def _cleaned(name: str, value: Any, settings: Settings, home: tuple[str, ...]) -> Any:
    if value is None and name in ("name", "language", "time_zone", "position"):
        raise Refused(Code.INVALID, f"{name} is not given")
    if value is None or name == "position":
        return value
    if name == "phone":
        return validation.phone_of(value, settings.phone_countries, home)
    return _FORMS[name](value, settings)


def _subject(text: str, _: Settings) -> str:
    if not text or not text.isprintable() or len(text) > 128:
        raise Refused(Code.INVALID, "subject is not 1 to 128 printable characters")
    return text


_FORMS: Final[dict[str, Callable[[str, Settings], str]]] = {
    "name": lambda text, _: validation.name_of(text),
    "language": lambda text, _: validation.language_of(text),
    "time_zone": lambda text, _: validation.time_zone_of(text),
    "email": lambda text, _: validation.email_of(text),
    "webhook_url": lambda text, settings: validation.webhook_of(
        text, allow_private=settings.outside_allow_private
    ),
    "subject": _subject,
}


def _one(call: OperationCall[Any, Any, Any], contact: ContactRecord) -> OneContact:
    secret = None
    if contact.draft.webhook_url is not None and call.principal.role in authorize.OVERSEERS:
        key = call.context.settings.alerts_key
        secret = webhook_secret(key, call.principal.tenant, str(contact.contact_id))
    return OneContact(contact=_view(call.principal, contact), webhook_secret=secret)


def _view(principal: Principal, contact: ContactRecord) -> ContactView:
    whole = authorize.sees_addresses(principal, contact.scope.driver)
    draft = contact.draft

    def address(text: str | None, verified_ms: int | None, opted_out_ms: int | None) -> AddressView | None:
        if text is None:
            return None
        counts = verified_ms is not None and opted_out_ms is None
        return AddressView(text if whole else masked(text) or "", verified_ms, opted_out_ms, counts)

    return ContactView(
        contact_id=contact.contact_id,
        vendor=contact.scope.vendor,
        driver=contact.scope.driver,
        name=draft.name,
        language=draft.language,
        time_zone=phones.zone_for(draft.time_zone, draft.phone),
        position=draft.position,
        phone=address(draft.phone, contact.phone_verified_ms, contact.phone_opted_out_ms),
        email=address(draft.email, contact.email_verified_ms, contact.email_opted_out_ms),
        webhook_url=draft.webhook_url if whole else masked(draft.webhook_url),
        subject=draft.subject,
        created_at=contact.created_ms,
        updated_at=contact.updated_ms,
    )
