"""Journeys: begun, resumed, ended, expired, found and listed."""

from collections.abc import Collection, Sequence
from random import SystemRandom
from typing import Any, Final
from uuid import UUID

import asyncpg
from msgspec import Raw, Struct

from realtime.clock import wall_clock_ms
from realtime.protocol import Code, Refused
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.db.replica import HISTORY_AGE_S
from realtime.store.journeys.points import last_seqs_on

_SQL = load("journeys")
_RNG: Final = SystemRandom()


class JourneyHead(Struct, frozen=True):
    """What the commit path needs to know of a journey.

    ``last_seq``: the stored seqs are 1..last_seq. ``created_ms``: when the server first saw it. Once
    ``ended_ms`` is set, points up to ``final_seq`` are still taken. ``expired``: it was closed for its age.
    """

    journey_id: UUID
    tenant: str
    vendor: str
    driver: str
    last_seq: int
    created_ms: int
    ended_ms: int | None
    final_seq: int | None
    expired: bool


class JourneyRecord(JourneyHead, frozen=True):
    """All that is known of a journey. ``started_ms`` is by the app's clock; `list_` omits the last two."""

    client_journey_id: UUID
    started_ms: int
    vehicle: str | None
    destination: Raw | None
    route: Raw | None


async def start(
    db: Database,
    tenant: str,
    vendor: str,
    driver: str,
    client_journey_id: UUID,
    started_ms: int,
    vehicle: str | None,
    destination: Raw | bytes | None,
    route: Raw | bytes | None,
    now_ms: int,
) -> JourneyHead:
    """Begin a journey, or resume the driver's one with this ``client_journey_id``, as it stands.

    ``destination`` and ``route`` are JSON texts. The driver must have connected before.
    Raises Refused: not_found for an unknown driver or vendor, invalid, unavailable.
    """
    if vehicle is not None and "\0" in vehicle:
        raise Refused(Code.INVALID, "vehicle contains a nul")
    key = (tenant, driver, client_journey_id)
    async with db.writer() as connection:
        known = await connection.fetchval(_SQL["known"], *key)
        if known is None:
            journey_id = ids.uuid7(now_ms, _RNG)
            try:
                row = await connection.fetchrow(
                    _SQL["insert"], *key, vendor, journey_id, now_ms, started_ms,
                    vehicle, _text(destination), _text(route),
                )  # fmt: skip
            except asyncpg.ForeignKeyViolationError:
                raise Refused(Code.NOT_FOUND, "driver has not connected yet") from None
            if row is not None:
                return _head(row)
            # The same start on another connection came in between; it has committed by now.
            known = await connection.fetchval(_SQL["known"], *key)
        return _head(await connection.fetchrow(_SQL["head"], tenant, known))


async def head(db: Database, tenant: str, journey_id: UUID) -> JourneyHead | None:
    """The journey's head; None when ``tenant`` has no such journey. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["head"], tenant, journey_id)
    return None if row is None else _head(row)


async def end(
    db: Database, tenant: str, driver: str, journey_id: UUID, ended_ms: int, last_seq: int
) -> JourneyHead:
    """End the driver's journey and return its head; one that has ended already stays as it was.

    ``final_seq`` becomes ``last_seq``, or what is stored when that is more.
    Raises Refused: not_found when the driver has no such journey, unavailable.
    """
    key = (tenant, driver, journey_id)
    async with db.writer() as connection:
        await connection.execute(_SQL["end"], *key, ended_ms, last_seq)
        row = await connection.fetchrow(_SQL["head_of_driver"], *key)
    if row is None:
        raise Refused(Code.NOT_FOUND, "journey is not known")
    return _head(row)


async def expire(db: Database, older_than_ms: int) -> list[JourneyHead]:
    """Close every open journey created before ``older_than_ms``; return those that this call has closed.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["expire"], older_than_ms)
    return [_head(row) for row in rows]


class Closing(Struct, frozen=True):
    """How a journey came to its end: ``expired`` when it was closed for its age."""

    driver: str
    ended_ms: int
    expired: bool


async def closed_among(db: Database, wanted: Sequence[tuple[str, UUID]]) -> dict[UUID, Closing]:
    """Those of the (tenant, journey id) that have ended, in one query. Raises Refused(unavailable)."""
    if not wanted:
        return {}
    tenants, journey_ids = zip(*wanted, strict=True)
    async with db.writer() as connection:  # across tenants
        rows = await connection.fetch(_SQL["closed_among"], list(tenants), list(journey_ids))
    return {
        UUID(int=row["journey_id"].int): Closing(row["driver_id"], row["ended_ms"], row["expired"])
        for row in rows
    }


async def get(db: Database, tenant: str, journey_id: UUID) -> JourneyRecord | None:
    """The journey; None when ``tenant`` has no such journey. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, journey_id)
    return None if row is None else _journey(row, row["last_seq"])


async def list_(
    db: Database,
    tenant: str,
    *,
    vendors: Collection[str] | None = None,
    driver: str | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    before: UUID | None = None,
    limit: int,
) -> list[JourneyRecord]:
    """Journeys created from ``from_ms`` up to, not including, ``to_ms``, the newest first, ``limit`` at most.

    ``vendors``: only of these; None for any. The next page is ``before`` the last journey's id.
    Raises Refused(unavailable).
    """
    least = ids.floor_of(from_ms or 0)
    bound = UUID(int=2**128 - 1) if to_ms is None else ids.floor_of(to_ms)
    if before is not None:
        bound = min(bound, before)
    is_history = bound <= ids.floor_of(wall_clock_ms() - int(HISTORY_AGE_S * 1000))
    wanted = None if vendors is None else list(vendors)
    async with await db.history(tenant) if is_history else db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["list"], tenant, least, bound, wanted, driver, limit)
        last = await last_seqs_on(connection, [(tenant, row["journey_id"]) for row in rows])
    return [_journey(row, last[row["journey_id"]]) for row in rows]


def _text(json: Raw | bytes | None) -> str | None:
    return None if json is None else bytes(json).decode()


def _raw(json: str | None) -> Raw | None:
    return None if json is None else Raw(json.encode())


def _head(row: asyncpg.Record) -> JourneyHead:
    return JourneyHead(**_head_fields(row, row["last_seq"]))


def _journey(row: asyncpg.Record, last_seq: int) -> JourneyRecord:
    return JourneyRecord(
        **_head_fields(row, last_seq),
        client_journey_id=UUID(int=row["client_journey_id"].int),
        started_ms=row["started_ms"],
        vehicle=row["vehicle"],
        destination=_raw(row["destination"]),
        route=_raw(row["route"]),
    )


def _head_fields(row: asyncpg.Record, last_seq: int) -> dict[str, Any]:
    return {
        # asyncpg's own UUID class is a stranger to msgspec.
        "journey_id": UUID(int=row["journey_id"].int),
        "tenant": row["tenant_id"],
        "vendor": row["vendor_id"],
        "driver": row["driver_id"],
        "last_seq": last_seq,
        "created_ms": row["created_ms"],
        "ended_ms": row["ended_ms"],
        "final_seq": row["final_seq"],
        "expired": row["expired"],
    }


async def drivers_under_way(
    db: Database, tenant: str, vendor: str, drivers: Collection[str], since_ms: int
) -> set[str]:
    """Those of ``drivers`` who have an open journey for ``vendor`` that began at ``since_ms`` or later.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(
            _SQL["drivers_under_way"], tenant, vendor, list(drivers), ids.floor_of(since_ms)
        )
    return {row["driver_id"] for row in rows}
