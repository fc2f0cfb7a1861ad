"""Erasing a driver's rows: every table is found by its columns, so that a new one cannot be forgotten.

An erasure is a row of its own that keeps what a resumed one has to know: the ids of journeys and alerts
whose own rows may be gone already. `realtime.erasure.eraser` does the other places and signs the proof.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from realtime.store.db.changes import scope_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

CHUNK: Final = 50
"""Journeys, alerts or contacts in one statement."""
PASSES: Final = 8
"""Tables refer to each other: one whose rows are still referred to is done in the next pass."""
STATEMENT_S: Final = 60.0
REPORTS: Final = "early_reports"

_SQL = load("erasure")
_COLUMNS: Final = ("journey_id", "alert_id", "contact_id", "share_id")


class ErasureScope(Struct):
    """Ids of what is or was the driver's."""

    journey_id: list[UUID] = []
    alert_id: list[UUID] = []
    contact_id: list[UUID] = []
    share_id: list[str] = []
    provider_id: list[str] = []


class Erasure(Struct):
    """One erasure, begun. ``before``: how many rows each place had when it began."""

    erasure_id: UUID
    tenant: str
    asked_by: str
    asked_ms: int
    work: ErasureScope
    before: dict[str, int]


def digest_of(tenant: str, driver: str) -> bytes:
    """Whom an erasure is of, without the name."""
    return hashlib.sha256(f"{tenant}\0{driver}".encode()).digest()


async def has_open_alert(db: Database, tenant: str, driver: str) -> bool:
    """Whether somebody is being looked for on this driver's behalf. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        found: bool = await connection.fetchval(_SQL["open_alert"], tenant, driver)
    return found


async def begin(db: Database, tenant: str, driver: str, asked_by: str) -> Erasure:
    """The driver's unfinished erasure, or a new one, with what is the driver's by now.

    Raises Refused(unavailable).
    """
    digest = digest_of(tenant, driver)
    async with db.writer() as connection:
        await connection.execute(_SQL["ensure_tenant"], tenant)
        await connection.execute(_SQL["lock"], tenant, digest)
        row = await connection.fetchrow(_SQL["unfinished"], tenant, digest)
        if row is None:
            row = await connection.fetchrow(_SQL["begin"], tenant, digest, asked_by)
        work = msgspec.json.decode(row["work"], type=ErasureScope) if row["work"] else ErasureScope()
        before = msgspec.json.decode(row["proof"], type=dict[str, Any]).get("before", {})
        await _gather(connection, tenant, driver, work)
        erasure = Erasure(
            UUID(int=row["erasure_id"].int), tenant, row["asked_by"], row["asked_ms"], work, before
        )
        await _keep(connection, erasure)
    return erasure


async def keep(db: Database, erasure: Erasure) -> None:
    """Keep ``before`` and the ids for whoever resumes it. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await _keep(connection, erasure)


async def finish(db: Database, erasure: Erasure, proof: Mapping[str, Any], done_ms: int) -> None:
    """Nothing is left: keep the proof, forget the ids. Raises Refused(unavailable)."""
    text = msgspec.json.encode(proof).decode()
    async with db.writer() as connection:
        await connection.execute(_SQL["finish"], erasure.tenant, erasure.erasure_id, text, done_ms)


async def proofs(db: Database, tenant: str, driver: str) -> list[dict[str, Any]]:
    """The proofs of the driver's finished erasures, oldest first. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["proofs"], tenant, digest_of(tenant, driver))
    return [msgspec.json.decode(row["proof"]) for row in rows]


async def count(db: Database, driver: str, erasure: Erasure) -> dict[str, int]:
    """How many rows of the driver each table has. Raises Refused(unavailable)."""
    counts = {}
    async with db.writer() as connection:
        for table, columns in await _tables(connection):
            counts[table] = sum(
                [
                    await connection.fetchval(query, *args, timeout=STATEMENT_S)
                    for query, args in _statements("count", table, columns, driver, erasure)
                ]
            )
        counts[REPORTS] = await connection.fetchval(_SQL["count_reports"], erasure.work.provider_id)
    return counts


async def erase(db: Database, driver: str, erasure: Erasure) -> None:
    """Delete the driver's rows, table by table, each in small transactions. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        tables = await _tables(connection)
        await connection.execute(_SQL["delete_reports"], erasure.work.provider_id)
    for _ in range(PASSES):
        tables = [table for table in tables if not await _deleted(db, table, driver, erasure)]
        if not tables:
            break
    db.changes.note([scope_of(erasure.tenant, None, driver)])


async def _deleted(db: Database, table: tuple[str, Sequence[str]], driver: str, erasure: Erasure) -> bool:
    """Whether no row of the driver is in ``table``; not when another table's rows still refer to one."""
    try:
        for query, args in _statements("delete", *table, driver, erasure):
            async with db.writer() as connection:
                await connection.execute(query, *args, timeout=STATEMENT_S)
    except asyncpg.ForeignKeyViolationError:
        return False
    return True


async def _tables(connection: asyncpg.Connection) -> list[tuple[str, Sequence[str]]]:
    rows = await connection.fetch(_SQL["tables"])
    return [(row["name"], row["columns"]) for row in rows if row["columns"]]


def _statements(
    query: str, table: str, columns: Sequence[str], driver: str, erasure: Erasure
) -> list[tuple[str, tuple[Any, ...]]]:
    """The statements that together meet every row of ``table`` that is the driver's."""
    # Of shares one in three kinds has a driver: all of the driver's are known by their ids.
    if "driver_id" in columns and "share_id" not in columns:
        return [
            (_query(query, table, "tenant_id = $1 AND driver_id = $2"), (erasure.tenant, driver)),
        ]
    statements = []
    for column in (one for one in _COLUMNS if one in columns):
        condition = f"tenant_id = $1 AND {column} = ANY ($2)"
        ids = getattr(erasure.work, column)
        statements += [
            (_query(query, table, condition), (erasure.tenant, ids[at : at + CHUNK]))
            for at in range(0, len(ids), CHUNK)
        ]
    return statements


def _query(name: str, table: str, condition: str) -> str:
    return _SQL[name].format(table=table, condition=condition)


async def _gather(connection: asyncpg.Connection, tenant: str, driver: str, work: ErasureScope) -> None:
    for column in ("journey_id", "alert_id", "contact_id"):
        rows = await connection.fetch(_SQL[f"{column.removesuffix('_id')}s"], tenant, driver)
        known = getattr(work, column)
        setattr(work, column, sorted({*known, *(UUID(int=row[0].int) for row in rows)}))
    rows = await connection.fetch(_SQL["shares"], tenant, work.journey_id, work.alert_id, driver)
    work.share_id = sorted({*work.share_id, *(row[0] for row in rows)})
    rows = await connection.fetch(_SQL["provider_ids"], tenant, work.alert_id)
    work.provider_id = sorted({*work.provider_id, *(row[0] for row in rows)})


async def _keep(connection: asyncpg.Connection, erasure: Erasure) -> None:
    work = msgspec.json.encode(erasure.work).decode()
    proof = msgspec.json.encode({"before": erasure.before}).decode()
    await connection.execute(_SQL["keep"], erasure.tenant, erasure.erasure_id, work, proof)
