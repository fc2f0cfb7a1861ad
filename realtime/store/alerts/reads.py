"""Alerts read: one, listed, explained, those that are open, and those that changed since the last look."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from alerts.alert import Actor, Alert, Press, State
from alerts.attempt import Attempt, Purpose, Status
from alerts.case import Audit
from alerts.policy import PolicyCopy
from realtime.store.alerts.rows import alert_of, attempt_of, copy_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL = load("alert_reads")

EXPLAINED: Final = 500
"""Attempts, events and presses of one alert in one read at most: each repeated press adds an event."""
REACHED: Final = 2_000
"""Contacts and channels of one alert: it takes along 200 contacts at most."""
OPEN_LISTED: Final = 1_000
CHANGED_A_LOOK: Final = 5_000
EVERY_OPEN: Final = 20_000

_read_press: Final = msgspec.json.Decoder(Press).decode
_read_actor: Final = msgspec.json.Decoder(Actor).decode


class AlertCursor(Struct, frozen=True):
    """The last alert of a page."""

    raised_ms: int
    alert_id: UUID


class AttemptCursor(Struct, frozen=True):
    """The first attempt of a page, in order of time: the page before ends with the one before it."""

    created_ms: int
    attempt_id: UUID


class AttemptSlice(Struct, frozen=True):
    """Attempts in order of time. ``earlier``: where the page before them ends; None when there is none."""

    attempts: tuple[Attempt, ...]
    earlier: AttemptCursor | None


class AuditPage(Struct, frozen=True):
    """Lines of a history in order of time. ``earlier``: the id of the first, None when none is before it."""

    audit: tuple[Audit, ...]
    earlier: int | None


class Explanation(Struct, frozen=True):
    """What is known of an alert: the newest presses, attempts and lines of its history, in order of time.

    ``earlier_attempts`` and ``earlier_audit`` say where what is before them ends; None when these are all.
    """

    alert: Alert
    copy: PolicyCopy
    presses: tuple[Press, ...]
    attempts: tuple[Attempt, ...]
    audit: tuple[Audit, ...]
    earlier_attempts: AttemptCursor | None = None
    earlier_audit: int | None = None


async def get(db: Database, tenant: str, alert_id: UUID) -> Alert | None:
    """The alert, also by the id that a press promised before it joined; None when ``tenant`` has none.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, alert_id)
    return None if row is None else alert_of(row)


async def list_(
    db: Database,
    tenant: str,
    *,
    vendors: Collection[str] | None = None,
    driver: str | None = None,
    states: Collection[State] | None = None,
    since_ms: int | None = None,
    after: AlertCursor | None = None,
    limit: int,
) -> list[Alert]:
    """Alerts raised from ``since_ms`` on, the newest first; the next page is ``after`` the last one.

    ``vendors``, ``states``: only of these; None for any. Raises Refused(unavailable).
    """
    given: tuple[Any, ...] = (
        tenant,
        None if vendors is None else list(vendors),
        driver,
        None if states is None else [state.value for state in states],
        since_ms,
        None if after is None else after.raised_ms,
        None if after is None else after.alert_id,
    )
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["list"], *given, limit)
    return [alert_of(row) for row in rows]


async def open_of(
    db: Database,
    tenant: str,
    *,
    vendor: str | None = None,
    driver: str | None = None,
    journey_id: UUID | None = None,
) -> list[Alert]:
    """The open alerts of a vendor, a driver, a journey or the whole tenant, the oldest first, for a snapshot.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["open"], tenant, vendor, driver, journey_id, OPEN_LISTED)
    return [alert_of(row) for row in rows]


async def explain(db: Database, tenant: str, alert_id: UUID, limit: int = EXPLAINED) -> Explanation | None:
    """The alert with its newest attempts, events and presses, ``limit`` of each; None for an unknown one.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, alert_id)
        if row is None:
            return None
        alert = alert_of(row)
        attempts = await _attempts(connection, tenant, alert.alert_id, None, limit)
        events = await _audits(connection, tenant, alert.alert_id, None, limit)
        presses = await connection.fetch(_SQL["presses"], tenant, alert.alert_id, limit)
    return Explanation(
        alert=alert,
        copy=copy_of(row),
        presses=tuple(_read_press(r["press"]) for r in reversed(presses)),
        attempts=attempts.attempts,
        audit=events.audit,
        earlier_attempts=attempts.earlier,
        earlier_audit=events.earlier,
    )


async def attempts_before(
    db: Database, tenant: str, alert_id: UUID, before: AttemptCursor | None, limit: int
) -> tuple[PolicyCopy, AttemptSlice] | None:
    """The page of the alert's attempts that ends before ``before``, None for the newest, and its policy,
    which names the contacts; None when ``tenant`` has no such alert. Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, alert_id)
        if row is None:
            return None
        own_id = alert_of(row).alert_id
        return copy_of(row), await _attempts(connection, tenant, own_id, before, limit)


async def history_before(
    db: Database, tenant: str, alert_id: UUID, before: int | None, limit: int
) -> AuditPage:
    """The page of the history of the alert with this id of its own that ends before the event ``before``,
    None for the newest. Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        return await _audits(connection, tenant, alert_id, before, limit)


async def furthest(
    db: Database, tenant: str, alert_id: UUID, purpose: Purpose, statuses: Sequence[Status]
) -> tuple[PolicyCopy, tuple[Attempt, ...]] | None:
    """Of each contact and channel the attempt of ``purpose`` that came furthest, and the alert's policy.

    ``statuses``: from the least to the furthest. None when ``tenant`` has no such alert. Raises
    Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, alert_id)
        if row is None:
            return None
        found = await connection.fetch(
            _SQL["furthest"],
            tenant,
            alert_of(row).alert_id,
            purpose.value,
            [status.value for status in statuses],
            REACHED,
        )
    return copy_of(row), tuple(attempt_of(r) for r in found)


async def _attempts(
    connection: asyncpg.Connection, tenant: str, alert_id: UUID, before: AttemptCursor | None, limit: int
) -> AttemptSlice:
    last = (None, None) if before is None else (before.created_ms, before.attempt_id)
    rows = await connection.fetch(_SQL["attempts"], tenant, alert_id, *last, limit + 1)
    page = [attempt_of(row) for row in rows[:limit]]
    first = page[-1] if len(rows) > limit else None
    page.sort(key=lambda a: (a.created_ms, a.round, a.step, a.number, a.attempt_id))
    earlier = None if first is None else AttemptCursor(first.created_ms, first.attempt_id)
    return AttemptSlice(tuple(page), earlier)


async def _audits(
    connection: asyncpg.Connection, tenant: str, alert_id: UUID, before: int | None, limit: int
) -> AuditPage:
    rows = await connection.fetch(_SQL["events"], tenant, alert_id, before, limit + 1)
    page = rows[:limit]
    earlier = page[-1]["event_id"] if len(rows) > limit else None
    return AuditPage(tuple(_audit(row) for row in reversed(page)), earlier)


class ChangedAlerts:
    """The alerts of all tenants that changed since the last `look`, each version once.

    A later commit may hold an earlier number, so nothing is counted by a sequence: a look reads whatever was
    changed by a transaction that had not surely ended at the look before. What it finds twice it tells once.
    """

    def __init__(self, db: Database, *, page_size: int = CHANGED_A_LOOK) -> None:
        self._db = db
        self._page_size = page_size
        self._from: int | None = None
        self._told: dict[UUID, int] = {}

    async def look(self) -> list[Alert]:
        """What changed, in the order of the changes, up to ``page_size``.

        The first look only marks the start.

        Raises Refused(unavailable); the next look then tells what this one would have.
        """
        async with self._db.writer() as connection:  # across tenants
            horizon = await connection.fetchval(_SQL["horizon"])
            if self._from is None or horizon < self._from:  # lower: the database was restored
                self._from = horizon
            rows = await connection.fetch(_SQL["changed"], self._from, self._page_size)
        alerts = [alert_of(row) for row in rows]
        news = [a for a in alerts if self._told.get(a.alert_id) != a.version]
        self._told = {a.alert_id: a.version for a in alerts}
        full = len(rows) == self._page_size
        self._from = min(horizon, rows[-1]["changed_by"]) if full else horizon
        return news

    async def every_open(self) -> list[Alert]:
        """The open alerts of every tenant, up to `EVERY_OPEN`, the oldest first.

        Raises Refused(unavailable).
        """
        async with self._db.writer() as connection:  # across tenants
            rows = await connection.fetch(_SQL["every_open"], EVERY_OPEN)
        return [alert_of(row) for row in rows]


def _audit(row: asyncpg.Record) -> Audit:
    return Audit(
        version=row["version"],
        at_ms=row["at_ms"],
        actor=_read_actor(row["actor"]),
        what=row["what"],
        arrow=row["arrow"],
        detail=msgspec.json.decode(row["detail"]),
    )
