"""Alerts of all tenants for the operator's terminal."""

from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts.alert import Alert
from realtime.store.alerts import reads
from realtime.store.alerts.reads import Explanation
from realtime.store.alerts.rows import alert_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL: Final = load("alert_console")


class Standing(Struct, frozen=True):
    """An alert with all that is known of it. ``next_ms``: when escalation is to look at it again."""

    explanation: Explanation
    next_ms: int | None
    now_ms: int


async def recent(db: Database, tenant: str | None, *, only_open: bool, limit: int) -> list[Alert]:
    """The newest first; of every tenant when ``tenant`` is None. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["recent"], tenant, only_open, limit)
    return [alert_of(row) for row in rows]


async def named(db: Database, tenant: str | None, prefix: str) -> list[tuple[str, UUID]]:
    """Tenant and id of the alerts whose id begins so, two at most. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["named"], tenant, prefix)
    return [(row["tenant_id"], row["alert_id"]) for row in rows]


async def standing(
    db: Database, tenant: str, alert_id: UUID, limit: int = reads.EXPLAINED
) -> Standing | None:
    """How the alert stands, with its newest ``limit`` attempts, events and presses; None when there is none.

    Raises Refused(unavailable).
    """
    explanation = await reads.explain(db, tenant, alert_id, limit)
    if explanation is None:
        return None
    async with db.writer() as connection:
        row = await connection.fetchrow(_SQL["waits_until"], tenant, explanation.alert.alert_id)
    return None if row is None else Standing(explanation, row["next_ms"], row["now_ms"])
