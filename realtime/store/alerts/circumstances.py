"""What is known of a driver before a press: read for one driver, or for everybody's local copy.

Both go the same way: rows into `Known`, and `Known.of` puts one driver's together, so that what a process
does from its copy while Postgres is away is what it would have done with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.phone import NO_ZONE, zone_for
from alerts.alert import Kind, Place
from alerts.location import PlaceSource, as_earlier, place_of
from alerts.policy import DISPATCH, OPERATOR, Circumstances, Contact, Pins, Policy
from realtime.metrics import instruments
from realtime.settings import Settings
from realtime.store.db import ids
from realtime.store.db.changes import parts_of, scope_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.journeys.points import LATEST_WITHIN_MS

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
_read_place = msgspec.json.Decoder(Place | None).decode


Row: TypeAlias = Mapping[str, Any] | asyncpg.Record
"""A row by column: as Postgres' driver has it, or decoded from JSON."""


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
        drivers = await connection.fetch(query("drivers", "of_driver"), tenant, driver)
        known = await _known_of_scope(connection, tenant, vendor, driver, drivers)
    return known.of(tenant, vendor, driver, operator)


async def _known_of_scope(
    connection: asyncpg.Connection, tenant: str, vendor: str, driver: str, drivers: Sequence[Row]
) -> Known:
    scoped = (tenant, vendor, driver)
    contacts = await connection.fetch(query("contacts", "of_scope"), *scoped)
    policies = await connection.fetch(query("policies", "of_scope"), *scoped)
    subjects = [row["subject"] for row in contacts if row["subject"] is not None]
    devices = await connection.fetch(query("devices", "of_tenant"), DEVICE_SEEN_MS, tenant, subjects, vendor)
    return known_from(contacts, policies, drivers, devices)


class Whose(NamedTuple):
    """A driver, and the vendor they drive for."""

    tenant: str
    vendor: str
    driver: str


class JourneySeen(NamedTuple):
    """A journey, and the last position of it that is stored; None when there is none."""

    journey_id: UUID
    is_open: bool
    place: Place | None


class LastSeenPosition(NamedTuple):
    """Where a driver is, as far as Postgres knows.

    ``journeys``: the newest first. ``named``: the journey asked for, None where it is not the driver's.
    ``earlier``: the place of the driver's last alert. ``has_more``: whether a position may be stored further
    back than was looked.
    """

    journeys: tuple[JourneySeen, ...] = ()
    named: UUID | None = None
    is_named_open: bool = False
    earlier: Place | None = None
    has_more: bool = False

    @property
    def places(self) -> list[Place]:
        """All of them, in no order."""
        places = [journey.place for journey in self.journeys] + [self.earlier]
        return [place for place in places if place is not None]


class DriverQuery(NamedTuple):
    """A driver, and the journey that is said to be theirs."""

    tenant: str
    driver: str
    journey_id: UUID | None = None


class Depth(NamedTuple):
    """How far back positions are looked for: journeys created within ``within_ms`` (None: any), at most
    ``journeys`` of them, and the last ``entries`` of each.
    """

    within_ms: int | None
    journeys: int
    entries: int


AHEAD_MS: Final = 3_600_000
"""How far the clock of the process that made a journey's id may be ahead of ours."""
RECENT: Final = Depth(LATEST_WITHIN_MS, 4, 20)
"""For every press: reads the partitions of three days."""
FAR: Final = Depth(None, 20, 5_000)
"""For a driver of whom nothing else is known: reads every partition."""


async def situation(
    db: Database,
    vendor: str,
    asked: DriverQuery,
    operator: Contact | None = None,
    *,
    now_ms: int,
    seen_s: float,
) -> tuple[Circumstances, LastSeenPosition | None]:
    """`circumstances` of a driver, and in the same statements where that driver was last seen.

    Positions that cannot be read, or not within ``seen_s``, cost neither contacts nor PINs: those are read
    again without them, and the second value is None. Raises Refused(unavailable).
    """
    tenant, driver, _ = asked
    try:
        async with asyncio.timeout(seen_s) as patience, db.reader(tenant) as connection:
            rows = await _seen_rows(connection, [asked], now_ms, RECENT)
            patience.reschedule(None)
            known = await _known_of_scope(connection, tenant, vendor, driver, settings_in(rows))
    except (TimeoutError, asyncpg.PostgresError) as error:
        _log.warning("a press goes without the committed positions of its driver: %s", type(error).__name__)
        if not isinstance(error, TimeoutError):
            instruments.ALERT_STORE_FAULTS.inc()
        return await circumstances(db, tenant, vendor, driver, operator), None
    return known.of(tenant, vendor, driver, operator), _seen(rows, RECENT)


async def seen_of(
    connection: asyncpg.Connection, asked: Sequence[DriverQuery], now_ms: int, depth: Depth = RECENT
) -> list[LastSeenPosition]:
    """Where each driver was last seen, in the order asked."""
    if not asked:
        return []
    return seen_from(await _seen_rows(connection, asked, now_ms, depth), depth)


async def seen_within(
    connection: asyncpg.Connection, asked: Sequence[DriverQuery], now_ms: int, depth: Depth, within_ms: int
) -> list[LastSeenPosition] | None:
    """`seen_of`, or None when Postgres cannot say so ``within_ms``; see `read_within`."""
    if not asked:
        return []
    what = f"positions of {len(asked)} drivers"
    return await read_within(connection, within_ms, what, lambda: seen_of(connection, asked, now_ms, depth))


async def read_within(
    connection: asyncpg.Connection, within_ms: int, what: str, read: Callable[[], Awaitable[T]]
) -> T | None:
    """Return what ``read`` reads on ``connection``, or None when Postgres fails it, or takes longer than
    ``within_ms`` for a statement. The transaction goes on either way. ``what``: for the log.

    Raises what the driver raises when the connection is lost.
    """
    await connection.execute(_SQL["search"].format(ms=max(1, within_ms)))
    found = None
    try:
        found = await read()
    except (asyncpg.PostgresError, msgspec.MsgspecError) as error:
        _log.warning("%s cannot be read: %s", what, type(error).__name__)
    await connection.execute(_SQL["end_search"])
    return found


def seen_from(rows: Sequence[Row], depth: Depth = RECENT) -> list[LastSeenPosition]:
    """Return where each driver was last seen, from the rows of the statement ``drivers_seen``."""
    rows_of: dict[int, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(row["place"], []).append(row)
    return [_seen(rows_of[place], depth) for place in sorted(rows_of)]


def settings_in(rows: Sequence[Row]) -> list[Row]:
    """Return, of the rows of ``drivers_seen``, one of each driver that has settings."""
    first = {row["place"]: row for row in reversed(rows) if row["language"] is not None}
    return list(first.values())


async def _seen_rows(
    connection: asyncpg.Connection, asked: Sequence[DriverQuery], now_ms: int, depth: Depth
) -> list[asyncpg.Record]:
    columns = [list(column) for column in zip(*asked, strict=True)]
    rows = await connection.fetch(_SQL["drivers_seen"], *columns, *seen_bounds(now_ms, depth))
    return list(rows)


def seen_bounds(now_ms: int, depth: Depth = RECENT) -> tuple[UUID, UUID, int, int]:
    """Return the last four parameters of ``drivers_seen``."""
    since_ms = 0 if depth.within_ms is None else now_ms - depth.within_ms
    return ids.floor_of(since_ms), ids.floor_of(now_ms + AHEAD_MS), depth.journeys, depth.entries


def _seen(rows: Sequence[Row], depth: Depth) -> LastSeenPosition:
    first = rows[0]
    earlier = None if first["earlier_place"] is None else _read_place(first["earlier_place"])
    return LastSeenPosition(
        journeys=tuple(_journey_seen(row) for row in rows if row["journey_id"] is not None),
        named=next((UUID(str(row["journey_id"])) for row in rows if row["is_named"]), None),
        is_named_open=any(row["is_named"] and row["is_open"] for row in rows),
        earlier=None if earlier is None else as_earlier(earlier),
        has_more=first["has_older"]
        or any(row["seq"] is not None and row["lat"] is None and row["seq"] > depth.entries for row in rows),
    )


def _journey_seen(row: Row) -> JourneySeen:
    journey_id = UUID(str(row["journey_id"]))
    place = None
    if row["seq"] is not None:
        place = place_of(
            row["lat"],
            row["lon"],
            row["accuracy_m"],
            row["t_ms"],
            row["battery_pct"],
            source=PlaceSource.JOURNEY,
            arrived_ms=row["received_ms"],
            journey_id=journey_id,
            seq=row["seq"],
        )
    return JourneySeen(journey_id, row["is_open"], place)


async def circumstances_of(
    db: Database, drivers: Collection[Whose], operator_of_tenant: Callable[[str], Contact | None]
) -> dict[Whose, Circumstances]:
    """The same of many drivers, of any tenants, in four reads. Raises Refused(unavailable)."""
    wanted = list(dict.fromkeys(drivers))
    tenants, vendors, names = ([one[at] for one in wanted] for at in range(3))
    async with db.writer() as connection:  # across tenants
        contacts = await connection.fetch(query("contacts", "of_many"), tenants, vendors, names)
        policies = await connection.fetch(query("policies", "of_many"), tenants, vendors, names)
        safety = await connection.fetch(query("drivers", "of_drivers"), tenants, names)
        subjects = [(row["tenant_id"], row["subject"]) for row in contacts if row["subject"] is not None]
        devices = await connection.fetch(
            query("devices", "of_tenants"),
            DEVICE_SEEN_MS,
            [tenant for tenant, _ in subjects],
            [subject for _, subject in subjects],
            tenants,
            vendors,
        )
    known = known_from(contacts, policies, safety, devices)
    operators = {tenant: operator_of_tenant(tenant) for tenant in set(tenants)}
    return {one: known.of(*one, operators[one.tenant]) for one in wanted}


async def all_circumstances(db: Database) -> Known:
    """The same of every driver of every tenant, for the local copy. Raises Refused(unavailable)."""
    async with db.writer() as connection:  # across tenants
        contacts, policies, drivers = [
            await connection.fetch(query(name, "of_everybody"), timeout=_ALL_TIMEOUT_S)
            for name in ("contacts", "policies", "drivers")
        ]
        devices = await connection.fetch(
            query("devices", "of_everybody"), DEVICE_SEEN_MS, timeout=_ALL_TIMEOUT_S
        )
    return known_from(contacts, policies, drivers, devices)


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
        contacts = await connection.fetch(query("contacts", "of_scopes"), *scoped)
        policies = await connection.fetch(query("policies", "of_scopes"), *scoped)
        safety = await connection.fetch(query("drivers", "of_drivers"), *drivers)
        subjects = {(row["tenant_id"], row["subject"]) for row in contacts if row["subject"] is not None}
        devices = await connection.fetch(
            query("devices", "of_subjects"), DEVICE_SEEN_MS, *_columns(sorted(subjects)), *vendors, tenants
        )
    known = known_from(contacts, policies, safety, devices)
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


def query(name: str, scope: str) -> str:
    """Return the statement ``name`` for ``scope``: rows of a table that has scopes, or a condition."""
    table = _TABLES.get(name)
    if table is None:
        return _SQL[name].format(scope=_SQL[scope])
    return _SQL[name].format(rows=_SQL[f"rows_{scope}"].format(table=table))


def _in_order(contacts: dict[str, list[Ranked]], scopes: Iterable[str]) -> list[Contact]:
    found = [(narrow, one) for narrow, scope in enumerate(scopes) for one in contacts.get(scope, ())]
    found.sort(key=lambda at: (at[1].position, at[0], at[1].created_ms, at[1].contact.contact_id))
    return [one.contact for _, one in found]


def known_from(
    contacts: Sequence[Row],
    policies: Sequence[Row],
    drivers: Sequence[Row],
    devices: Sequence[Row],
) -> Known:
    """Return what these rows of the four statements say."""
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
    devices: Sequence[Row],
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


def _contact(row: Row, push_tokens: tuple[str, ...]) -> Contact:
    return Contact(
        contact_id=str(row["contact_id"]),
        name=row["name"],
        language=row["language"],
        phone=row["phone"],
        email=row["email"],
        webhook_url=row["webhook_url"],
        push_tokens=push_tokens,
        time_zone=zone_for(row["time_zone"], row["number"]),
    )


def _scope(row: Row) -> str:
    return scope_of(row["tenant_id"], row["vendor_id"], row["driver_id"])
