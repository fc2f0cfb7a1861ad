"""What is known of a driver before a press: read for one driver, or for everybody's local copy.

Both go the same way: rows into `Known`, and `Known.of` puts one driver's together, so that what a process
does from its copy while Postgres is away is what it would have done with it.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.alert import Kind
from alerts.phone import NO_ZONE, zone_for
from alerts.policy import DISPATCH, OPERATOR, Circumstances, Contact, Pins, Policy
from realtime.settings import Settings
from realtime.store.changes import parts_of, scope_of
from realtime.store.database import Database
from realtime.store.queries import load

T = TypeVar("T")

DEVICE_SEEN_MS: Final = 90 * 86_400_000
"""A device that its app has not shown for this long is told nothing any more."""
MAX_DISPATCH_TOKENS: Final = 200
"""Devices of a vendor's dispatchers that are told of one alert: the newest."""
MAX_CONTACTS: Final = 200
"""Contacts that one alert takes along."""

_ALL_TIMEOUT_S: Final = 30.0
_SQL: Final = load("circumstances")
_TABLES: Final = {"contacts": "contacts", "policies": "alert_policies"}
_log = logging.getLogger(__name__)
_policy = msgspec.json.Decoder(Policy)


class Ranked(Struct, frozen=True):
    """A contact with what decides who comes first."""

    position: int
    created_ms: int
    contact: Contact


class Safety(Struct, frozen=True):
    """What a driver set for themselves."""

    name: str = ""
    language: str = "en"
    pins: Pins = Pins()


class Known(Struct, frozen=True):
    """Rows by scope: ``tenant``, ``tenant/v/vendor`` or ``tenant/d/driver``. msgspec writes and reads it."""

    contacts: dict[str, list[Ranked]]
    policies: dict[str, dict[Kind, Policy]]
    safety: dict[str, Safety]
    dispatchers: dict[str, list[str]]
    """Push tokens of the dispatchers of a tenant or a vendor."""

    def with_scopes(self, read: "Known", scopes: Collection[str]) -> "Known":
        """This, with what was ``read`` of ``scopes`` in the place of what it has of them."""
        return Known(
            _renewed(self.contacts, read.contacts, scopes),
            _renewed(self.policies, read.policies, scopes),
            _renewed(self.safety, read.safety, scopes),
            _renewed(self.dispatchers, read.dispatchers, scopes),
        )

    def of(self, tenant: str, vendor: str, driver: str, operator: Contact | None = None) -> Circumstances:
        """The circumstances of one driver; a driver nobody knows has those of their vendor and tenant.

        Contacts come in the order in which ``*`` means them: by position, then the driver's own before the
        vendor's before the tenant's, then by age; ``dispatch`` and ``operator`` at the end.
        """
        scopes = (
            scope_of(tenant, None, driver),
            scope_of(tenant, vendor, None),
            scope_of(tenant, None, None),
        )
        ranked = _in_order(self.contacts, scopes)
        policies: dict[Kind, Policy] = {}
        for scope in reversed(scopes):
            policies.update(self.policies.get(scope, {}))
        tokens = [token for scope in scopes[1:] for token in self.dispatchers.get(scope, ())]
        dispatch = Contact(DISPATCH, "Dispatch", push_tokens=tuple(tokens[:MAX_DISPATCH_TOKENS]))
        safety = self.safety.get(scopes[0], Safety())
        contacts = (*ranked[:MAX_CONTACTS], dispatch)
        return Circumstances(
            policies=policies,
            contacts=contacts if operator is None else (*contacts, operator),
            pins=safety.pins,
            driver_name=safety.name,
            language=safety.language,
        )


async def circumstances(
    db: Database, tenant: str, vendor: str, driver: str, operator: Contact | None = None
) -> Circumstances:
    """What is known of ``driver``; ``operator`` (see `operator_of`) joins the contacts.

    Raises Refused(unavailable). Policies are those that somebody has set; a kind without one has the
    built-in policy of `alerts.policy`.
    """
    async with db.reader(tenant) as connection:
        scoped = (tenant, vendor, driver)
        contacts = await connection.fetch(_query("contacts", "of_scope"), *scoped)
        policies = await connection.fetch(_query("policies", "of_scope"), *scoped)
        drivers = await connection.fetch(_query("drivers", "of_driver"), tenant, driver)
        subjects = [row["subject"] for row in contacts if row["subject"] is not None]
        devices = await connection.fetch(
            _query("devices", "of_tenant"), DEVICE_SEEN_MS, tenant, subjects, vendor
        )
    return _known(contacts, policies, drivers, devices).of(tenant, vendor, driver, operator)


class Whose(NamedTuple):
    """A driver, and the vendor they drive for."""

    tenant: str
    vendor: str
    driver: str


async def circumstances_of(
    db: Database, drivers: Collection[Whose], operator_of_tenant: Callable[[str], Contact | None]
) -> dict[Whose, Circumstances]:
    """The same of many drivers, of any tenants, in four reads. Raises Refused(unavailable)."""
    wanted = list(dict.fromkeys(drivers))
    tenants, vendors, names = ([one[at] for one in wanted] for at in range(3))
    async with db.writer() as connection:  # across tenants
        contacts = await connection.fetch(_query("contacts", "of_many"), tenants, vendors, names)
        policies = await connection.fetch(_query("policies", "of_many"), tenants, vendors, names)
        safety = await connection.fetch(_query("drivers", "of_drivers"), tenants, names)
        subjects = [(row["tenant_id"], row["subject"]) for row in contacts if row["subject"] is not None]
        devices = await connection.fetch(
            _query("devices", "of_tenants"),
            DEVICE_SEEN_MS,
            [tenant for tenant, _ in subjects],
            [subject for _, subject in subjects],
            tenants,
            vendors,
        )
    known = _known(contacts, policies, safety, devices)
    operators = {tenant: operator_of_tenant(tenant) for tenant in set(tenants)}
    return {one: known.of(*one, operators[one.tenant]) for one in wanted}


async def all_circumstances(db: Database) -> Known:
    """The same of every driver of every tenant, for the local copy. Raises Refused(unavailable)."""
    async with db.writer() as connection:  # across tenants
        contacts, policies, drivers = [
            await connection.fetch(_query(name, "of_everybody"), timeout=_ALL_TIMEOUT_S)
            for name in ("contacts", "policies", "drivers")
        ]
        devices = await connection.fetch(
            _query("devices", "of_everybody"), DEVICE_SEEN_MS, timeout=_ALL_TIMEOUT_S
        )
    return _known(contacts, policies, drivers, devices)


async def scopes_circumstances(db: Database, scopes: Collection[str]) -> Known:
    """The same of these scopes alone, for a local copy that is to be renewed there. Raises
    Refused(unavailable).
    """
    parts = [part for scope in scopes if (part := parts_of(scope)) is not None]
    drivers = _columns([(p.tenant, p.driver) for p in parts if p.driver is not None])
    vendors = _columns([(p.tenant, p.vendor) for p in parts if p.vendor is not None])
    tenants = [p.tenant for p in parts if p.vendor is None and p.driver is None]
    async with db.writer() as connection:  # across tenants
        scoped = (*drivers, *vendors, tenants)
        contacts = await connection.fetch(_query("contacts", "of_scopes"), *scoped)
        policies = await connection.fetch(_query("policies", "of_scopes"), *scoped)
        safety = await connection.fetch(_query("drivers", "of_drivers"), *drivers)
        subjects = {(row["tenant_id"], row["subject"]) for row in contacts if row["subject"] is not None}
        devices = await connection.fetch(
            _query("devices", "of_subjects"), DEVICE_SEEN_MS, *_columns(sorted(subjects)), *vendors, tenants
        )
    known = _known(contacts, policies, safety, devices)
    wanted = set(scopes)
    mine = {scope: tokens for scope, tokens in known.dispatchers.items() if scope in wanted}
    return replace(known, dispatchers=mine)


def operator_of(settings: Settings, tenant: str) -> Contact | None:
    """The contact ``operator`` of ``tenant``: its emergency number, the operator's webhook."""
    numbers = dict(pair.split("=", 1) for pair in settings.emergency_numbers if "=" in pair)
    phone = numbers.get(tenant)
    if phone is None and not settings.operator_webhook_url:
        return None
    return Contact(
        OPERATOR,
        "Operator",
        phone=phone,
        webhook_url=settings.operator_webhook_url or None,
        time_zone=zone_for(NO_ZONE, phone),
    )


def _renewed(ours: dict[str, T], read: dict[str, T], scopes: Collection[str]) -> dict[str, T]:
    if not any(scope in ours or scope in read for scope in scopes):
        return ours
    renewed = dict(ours)
    for scope in scopes:
        renewed.pop(scope, None)
        if scope in read:
            renewed[scope] = read[scope]
    return renewed


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [first for first, _ in pairs], [second for _, second in pairs]


def _query(name: str, scope: str) -> str:
    """The statement ``name`` for ``scope``: rows of a table that has scopes, or a condition."""
    table = _TABLES.get(name)
    if table is None:
        return _SQL[name].format(scope=_SQL[scope])
    return _SQL[name].format(rows=_SQL[f"rows_{scope}"].format(table=table))


def _in_order(contacts: dict[str, list[Ranked]], scopes: Iterable[str]) -> list[Contact]:
    found = [(narrow, one) for narrow, scope in enumerate(scopes) for one in contacts.get(scope, ())]
    found.sort(key=lambda at: (at[1].position, at[0], at[1].created_ms, at[1].contact.contact_id))
    return [one.contact for _, one in found]


def _known(
    contacts: list[asyncpg.Record],
    policies: list[asyncpg.Record],
    drivers: list[asyncpg.Record],
    devices: list[asyncpg.Record],
) -> Known:
    tokens, dispatchers = _tokens(devices)
    known = Known({}, {}, {}, dispatchers)
    for row in contacts:
        contact = _contact(row, tuple(tokens.get((row["tenant_id"], row["subject"]), ())))
        if contact.phone or contact.email or contact.webhook_url or contact.push_tokens:
            ranked = Ranked(row["position"], row["created_ms"], contact)
            known.contacts.setdefault(_scope(row), []).append(ranked)
    for row in policies:
        try:
            policy = _policy.decode(row["policy"])
            known.policies.setdefault(_scope(row), {})[Kind(row["kind"])] = policy
        except ValueError:  # written by another version: the wider policy is better than no alert
            _log.error("a stored policy cannot be read and is passed over")
    for row in drivers:
        pins = Pins(row["cancel_pin"], row["duress_pin"])
        scope = scope_of(row["tenant_id"], None, row["driver_id"])
        known.safety[scope] = Safety(row["name"], row["language"], pins)
    return known


def _tokens(
    devices: list[asyncpg.Record],
) -> tuple[dict[tuple[str, str], list[str]], dict[str, list[str]]]:
    """Push tokens by (tenant, subject), and those of dispatchers by tenant or vendor."""
    subjects: dict[tuple[str, str], list[str]] = {}
    dispatchers: dict[str, list[str]] = {}
    for row in devices:
        tenant, token = row["tenant_id"], row["push_token"]
        subjects.setdefault((tenant, row["subject"]), []).append(token)
        if row["role"] != "driver":
            for vendor in [None] if row["vendor_ids"] is None else row["vendor_ids"]:
                dispatchers.setdefault(scope_of(tenant, vendor, None), []).append(token)
    return subjects, dispatchers


def _contact(row: asyncpg.Record, push_tokens: tuple[str, ...]) -> Contact:
    return Contact(
        contact_id=str(UUID(int=row["contact_id"].int)),
        name=row["name"],
        language=row["language"],
        phone=row["phone"],
        email=row["email"],
        webhook_url=row["webhook_url"],
        push_tokens=push_tokens,
        time_zone=zone_for(row["time_zone"], row["number"]),
    )


def _scope(row: asyncpg.Record) -> str:
    return scope_of(row["tenant_id"], row["vendor_id"], row["driver_id"])
