"""Incidents: the points of journeys with an alert, copied so that they outlive their partition.

`upkeep` calls these on its own connection, as the writer. They are copied soon after they are committed, and
a last time from the detached partition, into which nothing can come any more, before it is dropped.
"""

import logging
from datetime import date
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg

from realtime.store.db import ids
from realtime.store.db.queries import load
from realtime.store.journeys.partitions import name_of

COPY_POINTS: Final = 20_000
"""Points in one statement."""
FORGOTTEN_AT_ONCE: Final = 500
"""Journeys and alerts that one run forgets at most; the next goes on."""

_TIMEOUT_S: Final = 30.0
_LAST: Final = UUID(int=(1 << 128) - 1)
_SQL = load("incidents")
_log = logging.getLogger(__name__)


class _Alerted(NamedTuple):
    """A journey with an alert of its own driver, and the last seq of it that is copied."""

    tenant: str
    journey_id: UUID
    copied: int


async def copy_new(connection: asyncpg.Connection, since: date, batch_points: int = COPY_POINTS) -> int:
    """Copy what is new of every journey with an alert that was begun on ``since`` or later; how many
    points. ``batch_points``: so many in one statement.
    """
    first, _ = ids.partition_bounds(since)
    return sum(
        [
            await _copied(connection, journey, "journey_points", batch_points)
            for journey in await _alerted(connection, first)
        ]
    )


async def saved(connection: asyncpg.Connection, day: date) -> bool:
    """Copy what is left in the table of ``day``, attached or not; whether nothing of an alert is in it
    alone.
    """
    first, end = ids.partition_bounds(day)
    source = name_of(day)
    journeys = await _alerted(connection, first, end)
    for journey in journeys:
        await _copied(connection, journey, source)
    left: int = 0
    if journeys:
        uncopied = _SQL["uncopied"].format(source=source)
        named = ([one.tenant for one in journeys], [one.journey_id for one in journeys])
        left = await connection.fetchval(uncopied, *named, timeout=_TIMEOUT_S)
    if left:
        _log.error("%d points of alerts in %s are not copied: it is kept", left, source)
    return not left


async def forget_past(connection: asyncpg.Connection, before_ms: int) -> tuple[int, int]:
    """Forget points and alerts of what was closed before ``before_ms``; how many journeys and alerts."""
    past = await connection.fetch(_SQL["past"], before_ms, FORGOTTEN_AT_ONCE, timeout=_TIMEOUT_S)
    for row in past:
        await connection.execute(
            _SQL["forget_points"], row["tenant_id"], row["journey_id"], timeout=_TIMEOUT_S
        )
    alerts: int = await connection.fetchval(
        _SQL["forget_alerts"], before_ms, FORGOTTEN_AT_ONCE, timeout=_TIMEOUT_S
    )
    return len(past), alerts


async def _alerted(connection: asyncpg.Connection, first: UUID, end: UUID = _LAST) -> list[_Alerted]:
    rows = await connection.fetch(_SQL["alerted"], first, end, ids.minted_ms(first), timeout=_TIMEOUT_S)
    return [_Alerted(row["tenant_id"], UUID(int=row["journey_id"].int), row["copied"]) for row in rows]


async def _copied(
    connection: asyncpg.Connection, journey: _Alerted, source: str, batch_points: int = COPY_POINTS
) -> int:
    copy, copied = _SQL["copy"].format(source=source), journey.copied
    while True:
        last: int | None = await connection.fetchval(
            copy, journey.tenant, journey.journey_id, copied, batch_points, timeout=_TIMEOUT_S
        )
        if last is None:
            return copied - journey.copied
        copied = last
