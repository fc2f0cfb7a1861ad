"""The group commit's SQL: many batches of many journeys in one transaction, all stored or none."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from geo.position import Point, clock_is_odd
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL = load("commit")


@dataclass(slots=True, eq=False)
class PointBatch:
    """Consecutive points of one journey, in seq order. ``voids`` gives the reason of each void among them."""

    journey_id: UUID
    tenant: str
    driver: str
    points: list[Point]
    voids: dict[int, str]
    received_ms: int

    @property
    def first_seq(self) -> int:
        """The seq of the first point."""
        return self.points[0].seq

    @property
    def last_seq(self) -> int:
        """The seq of the last point."""
        return self.points[-1].seq


@dataclass(slots=True)
class Disagreement(Exception):
    """Some batches cannot be stored as they are; the transaction was rolled back."""

    conflicts: dict[PointBatch, list[int]] = field(default_factory=dict)
    refused: list[PointBatch] = field(default_factory=list)


async def store(db: Database, batches: Sequence[PointBatch], timeout_s: float) -> None:
    """Store ``batches`` in one transaction, durably when it returns. Sending stored points again is fine.

    Raises Disagreement when some conflict with what is stored or are refused, Refused(unavailable) when
    Postgres is away, asyncpg.PostgresError when a row cannot be stored; nothing is stored then, except that
    after unavailable the outcome is unknown.
    """
    columns = _columns(batches)
    async with db.writer(timeout_s) as connection:
        status = await connection.execute(_SQL["insert_points"], *columns, *_owners(batches))
        if int(status.rpartition(" ")[2]) != len(columns[0]):
            await _explain(connection, batches, columns)
            await connection.execute(_SQL["write_something"])


def _columns(batches: Sequence[PointBatch]) -> list[list[Any]]:
    rows = [
        (
            batch.journey_id,
            point.seq,
            point.t_ms,
            batch.received_ms,
            point.lat,
            point.lon,
            point.speed_mps,
            point.heading_deg,
            point.accuracy_m,
            point.altitude_m,
            point.battery_pct,
            batch.voids.get(point.seq) if point.lat is None else None,
            point.t_ms is not None and clock_is_odd(point.t_ms, batch.received_ms),
        )
        for batch in batches
        for point in batch.points
    ]
    return [list(column) for column in zip(*rows, strict=True)]


def _owners(batches: Sequence[PointBatch]) -> tuple[list[UUID], list[str], list[str]]:
    owners = {batch.journey_id: batch for batch in batches}.values()
    return (
        [batch.journey_id for batch in owners],
        [batch.tenant for batch in owners],
        [batch.driver for batch in owners],
    )


async def _explain(
    connection: asyncpg.Connection, batches: Sequence[PointBatch], columns: list[list[Any]]
) -> None:
    """Tell a harmless replay from a conflict and from points nobody may store. Raises Disagreement."""
    compared = [*columns[:3], *columns[4:11]]
    rows = await connection.fetch(_SQL["compare_points"], *compared, *_owners(batches))
    if not rows:
        return
    found = Disagreement()
    wrong: dict[int, bool] = {row["place"]: row["absent"] for row in rows}
    place = 0
    for batch in batches:
        mine = [(at, p.seq) for at, p in enumerate(batch.points, place + 1) if at in wrong]
        place += len(batch.points)
        if any(wrong[at] for at, _ in mine):
            found.refused.append(batch)
        elif mine:
            found.conflicts[batch] = [seq for _, seq in mine]
    raise found
