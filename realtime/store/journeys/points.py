"""Reading the points of journeys; `commit` writes them."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
from msgspec import Struct

from geo.position import Point
from realtime.clock import wall_clock_ms
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.db.queries import load

PARTITIONED_MS: Final = 47 * 3_600_000
"""A journey's partition is there at least this long; afterwards its points may be those of the incident
alone.
"""
LATEST_WITHIN_MS: Final = 48 * 3_600_000
"""Journeys created longer ago have no latest position."""

_SQL = load("points")


class Record(Struct, frozen=True, gc=False):
    """A stored point with what is kept beside it. ``void_reason``: why it has no position, else None."""

    point: Point
    received_ms: int
    void_reason: str | None
    clock_odd: bool


async def after(
    db: Database, tenant: str, journey_id: UUID, since_seq: int, limit: int, *, history: bool = False
) -> list[Point]:
    """The journey's points above ``since_seq`` in order, ``limit`` at most; none for an unknown journey.

    Once its partition is dropped, those of a journey with an alert come from the incident's copy.
    A void has null ``t_ms``, ``lat`` and ``lon``. ``history``: what is read is older than 60 s, so a replica
    will do. Raises Refused(unavailable).
    """
    rows = await _rows(db, "after", tenant, journey_id, since_seq, limit, history=history)
    return [Point(*row) for row in rows]


async def records(
    db: Database, tenant: str, journey_id: UUID, since_seq: int, limit: int, *, history: bool = False
) -> list[Record]:
    """Like `after`, each point with what is kept beside it."""
    rows = await _rows(db, "records_after", tenant, journey_id, since_seq, limit, history=history)
    return [Record(Point(*row[:9]), *row[9:]) for row in map(tuple, rows)]


async def _rows(
    db: Database, query: str, tenant: str, journey_id: UUID, since_seq: int, limit: int, *, history: bool
) -> list[asyncpg.Record]:
    async with await db.history(tenant) if history else db.reader(tenant) as connection:
        asked = (tenant, journey_id, since_seq, limit)
        rows: list[asyncpg.Record] = await connection.fetch(
            _SQL[query].format(points="journey_points"), *asked
        )
        age_ms = wall_clock_ms() - ids.minted_ms(journey_id)
        if not rows and age_ms > PARTITIONED_MS:
            rows = await connection.fetch(_SQL[query].format(points="incident_points"), *asked)
    return rows


async def last_before(db: Database, tenant: str, journey_id: UUID, at_ms: int) -> int:
    """The seq that is before the last position earlier than ``at_ms``, so that a reader from there on begins
    with that position; 0 when there is none. Raises Refused(unavailable).

    Earlier is what had arrived by then, and what arrived later up to the first point that was taken at
    ``at_ms`` or after it by the phone's clock. With a clock that stays behind, only what had arrived.
    """
    async with db.reader(tenant) as connection:
        seq: int | None = await connection.fetchval(_SQL["last_before"], tenant, journey_id, at_ms)
    return max(0, (seq or 0) - 1)


async def last_seqs(db: Database, wanted: Sequence[tuple[str, UUID]]) -> dict[UUID, int]:
    """The last stored seq of each (tenant, journey id), in one query; 0 when there is none.

    A journey of another tenant than the one named counts as unknown. Raises Refused(unavailable).
    """
    if not wanted:
        return {}
    async with db.writer() as connection:  # across tenants, which no reader may be
        return await last_seqs_on(connection, wanted)


async def last_seqs_on(connection: asyncpg.Connection, wanted: Sequence[tuple[str, UUID]]) -> dict[UUID, int]:
    """`last_seqs` inside the caller's transaction."""
    found = {UUID(int=journey_id.int): 0 for _, journey_id in wanted}
    if found:
        tenants, journeys = zip(*wanted, strict=True)
        rows = await connection.fetch(_SQL["last_seqs"], tenants, journeys, min(found), max(found))
        found.update({UUID(int=row["journey_id"].int): row["seq"] for row in rows})
    return found


class Latest(NamedTuple):
    """The newest position of a driver. ``ended``: its journey is over."""

    driver: str
    journey_id: UUID
    point: Point
    received_ms: int
    ended: bool


async def latest_of_vendor(db: Database, tenant: str, vendor: str) -> list[Latest]:
    """The newest position of each driver with a journey of the last 48 h, by the rule of
    `realtime.live.precedence`. Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["latest_of_vendor"], tenant, vendor, _latest_since())
    return [_latest(row) for row in rows]


async def latest_of_driver(db: Database, tenant: str, vendor: str, driver: str) -> Latest | None:
    """The same of one driver of the vendor; None when there is none. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["latest_of_driver"], tenant, vendor, _latest_since(), driver)
    return None if row is None else _latest(row)


def _latest_since() -> UUID:
    return ids.floor_of(wall_clock_ms() - LATEST_WITHIN_MS)


def _latest(row: asyncpg.Record) -> Latest:
    driver, journey_id, received_ms, ended, *point = row
    return Latest(driver, UUID(int=journey_id.int), Point(*point), received_ms, ended)
