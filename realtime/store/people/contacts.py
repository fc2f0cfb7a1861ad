"""Contacts: who is to be told of a driver's alert. What counts of them at a press is `circumstances`.

What comes in here is clean already (`realtime.contacts.validation`) and allowed (`realtime.auth.authorize`).
"""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Final
from uuid import UUID

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.phone import identity, is_same, spellings
from realtime.protocol import Code, Refused
from realtime.store.alerts.circumstances import Known, all_circumstances, circumstances, operator_of
from realtime.store.db import changes
from realtime.store.db.changes import scope_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

__all__ = [
    "ContactRecord",
    "Draft",
    "Known",
    "Scope",
    "all_circumstances",
    "change",
    "circumstances",
    "create",
    "delete",
    "get",
    "list_",
    "operator_of",
    "opt_in",
    "opt_out",
    "order",
    "reaching",
]

PER_DRIVER: Final = 20
PER_VENDOR: Final = 50
PER_TENANT: Final = 50
"""Contacts of the whole tenant, those of its vendors and drivers not counted."""

_SQL = load("contacts")


class Scope(Struct, frozen=True):
    """Whose: a driver's, a vendor's (``driver`` None), or the tenant's (both None).

    ``vendor`` of a driver is the one they drive for now.
    """

    vendor: str | None = None
    driver: str | None = None

    @property
    def stored(self) -> tuple[str | None, str | None]:
        """``vendor_id`` and ``driver_id`` as the tables have them."""
        return (None, self.driver) if self.driver is not None else (self.vendor, None)


class Draft(Struct, frozen=True):
    """What people say of a contact."""

    name: str
    language: str = "en"
    time_zone: str = "UTC"
    position: int = 100
    phone: str | None = None
    email: str | None = None
    webhook_url: str | None = None
    subject: str | None = None


class ContactRecord(Struct, frozen=True):
    """A contact as it is kept."""

    contact_id: UUID
    scope: Scope
    draft: Draft
    phone_verified_ms: int | None
    email_verified_ms: int | None
    phone_opted_out_ms: int | None
    email_opted_out_ms: int | None
    created_ms: int
    updated_ms: int
    created_by: str


async def create(db: Database, tenant: str, scope: Scope, draft: Draft, created_by: str) -> ContactRecord:
    """A new contact; driver and vendor must be known. The same draft again is the same contact.

    Two people may share an address; one person (one name) with an address is there once in a scope.

    Raises Refused: conflict when there are enough, or when that person is there with anything else (with the
    ``contact_id`` of that one); unavailable.
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["lock_scope"], scope_of(tenant, *scope.stored))
        known = [_contact(row) for row in await connection.fetch(_query("of_exactly"), tenant, *scope.stored)]
        alike = [one for one in known if _is_same_person(one.draft, draft)]
        if (found := next((one for one in alike if _is_same(one.draft, draft)), None)) is not None:
            return found
        if alike:
            raise Refused(
                Code.CONFLICT,
                "this contact is there already: change that one",
                reason="contact_exists",
                contact_id=str(alike[0].contact_id),
            )
        limit = PER_DRIVER if scope.driver else PER_VENDOR if scope.vendor else PER_TENANT
        if len(known) >= limit:
            raise Refused(Code.CONFLICT, f"there are {limit} contacts already, which is the most")
        contact_id = await connection.fetchval(
            _SQL["insert"], tenant, *scope.stored, *_columns(draft), created_by
        )
        found = await _get(connection, tenant, contact_id)
    assert found is not None
    db.changes.note([scope_of(tenant, *scope.stored)])
    return found


async def get(db: Database, tenant: str, contact_id: UUID) -> ContactRecord | None:
    """The contact; None when ``tenant`` has none of that id. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        return await _get(connection, tenant, contact_id)


async def list_(
    db: Database,
    tenant: str,
    *,
    vendors: Collection[str] | None,
    vendor: str | None,
    driver: str | None,
    after: UUID | None,
    limit: int,
    tenant_wide: bool,
) -> list[ContactRecord]:
    """Contacts in order of their ids. ``vendors``: only of these and their drivers, None = of any;
    ``tenant_wide``: the tenant's own too.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(
            _query("list"),
            tenant,
            None if vendors is None else list(vendors),
            vendor,
            driver,
            after,
            limit,
            tenant_wide,
        )
    return [_contact(row) for row in rows]


async def reaching(db: Database, tenant: str, vendor: str | None, driver: str | None) -> list[ContactRecord]:
    """The contacts of a driver, a vendor or the tenant, with those of the wider scopes, usable or not.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_query("reaching"), tenant, vendor, driver)
    return [_contact(row) for row in rows]


async def change(
    db: Database, tenant: str, contact_id: UUID, fields: Mapping[str, object]
) -> ContactRecord | None:
    """The contact with new ``fields`` of `Draft`; an address that changes loses its verification. Another
    spelling of the same number is no change.

    None when there is none. Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["lock"], tenant, contact_id)
        found = await _get(connection, tenant, contact_id)
        if found is None:
            return None
        draft = replace(found.draft, **fields)
        if draft.phone and found.draft.phone and is_same(draft.phone, found.draft.phone):
            draft = replace(draft, phone=found.draft.phone)
        await connection.execute(_SQL["update"], tenant, contact_id, *_columns(draft))
        changed = await _get(connection, tenant, contact_id)
    db.changes.note([scope_of(tenant, *found.scope.stored)])
    return changed


async def order(db: Database, tenant: str, driver: str, contact_ids: Sequence[UUID]) -> None:
    """Set the order of all of ``driver``'s own contacts; a contact that is added later comes after them.

    Raises Refused: conflict when ``contact_ids`` are not exactly theirs, unavailable.
    """
    async with db.writer() as connection:
        scope = scope_of(tenant, None, driver)
        await connection.execute(_SQL["lock_scope"], scope)
        known = len(await connection.fetch(_query("of_exactly"), tenant, None, driver))
        status: str = await connection.execute(
            _SQL["order"], tenant, driver, list(contact_ids), Draft(name="").position - len(contact_ids)
        )
        if known != len(contact_ids) or status != f"UPDATE {known}":
            raise Refused(Code.CONFLICT, "these are not all contacts of the driver")
    db.changes.note([scope])


async def delete(db: Database, tenant: str, contact_id: UUID) -> bool:
    """Forget the contact; False when there is none. Alerts under way keep theirs.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        row = await connection.fetchrow(_SQL["delete"], tenant, contact_id)
    if row is None:
        return False
    db.changes.note([scope_of(tenant, row["vendor_id"], row["driver_id"])])
    return True


async def opt_out(db: Database, address: str) -> int:
    """``address`` (a number that sent STOP) is told nothing more by any tenant that has it, in whichever
    spelling; how many heed it anew.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:  # across tenants: the number does not say which one it means
        tenants: int = await connection.fetchval(_SQL["opt_out"], list(spellings(address)))
        scopes = await changes.of_address(connection, address)
    db.changes.note(scopes)
    return tenants


async def opt_in(db: Database, address: str) -> int:
    """``address`` sent START: how many tenants may tell it again. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        tenants: int = await connection.fetchval(_SQL["opt_in"], list(spellings(address)))
        scopes = await changes.of_address(connection, address)
    db.changes.note(scopes)
    return tenants


def _is_same_person(a: Draft, b: Draft) -> bool:
    """Whether both have one name and an address in common, or no address at all."""
    mine, theirs = _addresses(a), _addresses(b)
    return _folded(a.name) == _folded(b.name) and (bool(mine & theirs) or not (mine or theirs))


def _is_same(a: Draft, b: Draft) -> bool:
    """Whether both say the same, however name and number are written."""
    return replace(a, name="", phone=None) == replace(b, name="", phone=None) and (
        _folded(a.name) == _folded(b.name) and _addresses(a) == _addresses(b)
    )


def _addresses(draft: Draft) -> set[tuple[str, str]]:
    given = {
        "phone": identity(draft.phone) if draft.phone else None,
        "email": draft.email,
        "webhook": draft.webhook_url,
        "subject": draft.subject,
    }
    return {(kind, address) for kind, address in given.items() if address}


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


async def _get(connection: asyncpg.Connection, tenant: str, contact_id: UUID) -> ContactRecord | None:
    row = await connection.fetchrow(_query("get"), tenant, contact_id)
    return None if row is None else _contact(row)


def _query(name: str) -> str:
    return _SQL[name].format(columns=_SQL["columns"])


def _columns(draft: Draft) -> tuple[object, ...]:
    return (
        draft.name,
        draft.language,
        draft.time_zone,
        draft.position,
        draft.phone,
        draft.email,
        draft.webhook_url,
        draft.subject,
    )


def _contact(row: asyncpg.Record) -> ContactRecord:
    return ContactRecord(
        contact_id=UUID(int=row["contact_id"].int),
        scope=Scope(row["vendor_now"], row["driver_id"]),
        draft=Draft(*(row[name] for name in Draft.__struct_fields__)),
        phone_verified_ms=row["phone_verified_ms"],
        email_verified_ms=row["email_verified_ms"],
        phone_opted_out_ms=row["phone_opted_out_ms"],
        email_opted_out_ms=row["email_opted_out_ms"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        created_by=row["created_by"],
    )
