"""What the auditor looks at: open alerts, attempts that wait or hang, processes that are alive."""

from typing import Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from alerts.alert import Alert
from alerts.attempt import Attempt, Channel
from realtime.store.alerts.rows import alert_of, attempt_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL: Final = load("audit")

LOOKED_AT: Final = 1_000
"""Rows of one kind at most; more would tell nobody more."""
REMEMBERED_MS: Final = 86_400_000
"""A process that said nothing for so long is no part of the system any more."""
REPORTING: Final = (Channel.SMS, Channel.CALL)
"""Channels whose providers say whether a message arrived."""


WORKER: Final = "worker"
WEB: Final = "web"


class JournalBeat(Struct, frozen=True):
    """SOS that a process keeps on its disk until the database has them."""

    waiting: int = 0
    oldest_ms: int | None = None


class StoreFaultBeat(Struct, frozen=True):
    """Statements about alerts that Postgres has failed for a process although it answers."""

    recent: int = 0
    """In the last five minutes."""
    last_ms: int | None = None


class BeatDetail(Struct, frozen=True):
    """What a process says of itself with each beat."""

    journal: JournalBeat = JournalBeat()
    store_faults: StoreFaultBeat = StoreFaultBeat()
    copy_age_ms: int | None = None
    """Since when its local copy of contacts was not read, in ms; None: it did not say."""


class Beat(Struct, frozen=True):
    """When a process was last heard."""

    process: str
    role: str
    beat_ms: int
    detail: BeatDetail = BeatDetail()


class Hanging(Struct, frozen=True):
    """An attempt that should have been claimed, or an alert that should have gone on, since ``since_ms``."""

    alert_id: UUID
    since_ms: int


class MassSilence(Struct, frozen=True):
    """Many drivers of a tenant are silent at once: ``timers`` of theirs are held back since ``since_ms``."""

    tenant: str
    timers: int
    since_ms: int


class HealthSnapshot(Struct, frozen=True):
    """One look, drills left out. ``alerts`` are those that nobody has answered, and that nobody is known to
    have heard of or nobody is left to try for.
    """

    now_ms: int
    open_count: int = 0
    alerts: tuple[Alert, ...] = ()
    hanging: tuple[Hanging, ...] = ()
    sent: tuple[Attempt, ...] = ()
    beats: tuple[Beat, ...] = ()
    waiting: dict[str, int] = {}
    silences: tuple[MassSilence, ...] = ()


async def look(db: Database, hanging_ms: int, max_rows: int = LOOKED_AT) -> HealthSnapshot:
    """Everything at once. ``hanging_ms``: from when on what waits is worth a look. ``max_rows``: of one kind.

    Raises Refused(unavailable).
    """
    async with db.writer() as connection:  # across tenants
        counts = await connection.fetchrow(_SQL["counts"])
        alerts = await connection.fetch(_SQL["unanswered"], max_rows)
        hanging = await connection.fetch(_SQL["stuck"], hanging_ms, max_rows)
        sent = await connection.fetch(_SQL["sent"], [channel.value for channel in REPORTING], max_rows)
        beats = await connection.fetch(_SQL["beats"], REMEMBERED_MS)
        waiting = await connection.fetch(_SQL["waiting"])
        held = await connection.fetch(_SQL["held"], max_rows)
    return HealthSnapshot(
        now_ms=counts["now_ms"],
        open_count=counts["open"],
        alerts=tuple(alert_of(row) for row in alerts),
        hanging=tuple(Hanging(row["alert_id"], row["since_ms"]) for row in hanging),
        sent=tuple(attempt_of(row) for row in sent),
        beats=tuple(beat_of(row) for row in beats),
        waiting={row["channel"]: row["waiting"] for row in waiting},
        silences=tuple(MassSilence(row["tenant_id"], row["timers"], row["since_ms"]) for row in held),
    )


async def beat(db: Database, process: str, role: str, detail: BeatDetail) -> None:
    """``process`` is alive. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(_SQL["beat"], process, role, msgspec.json.encode(detail).decode())


async def end_beat(db: Database, process: str) -> None:
    """``process`` stops because it was told to: its silence means nothing. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(_SQL["end_beat"], process)


async def beats(db: Database) -> tuple[int, tuple[Beat, ...]]:
    """The time by Postgres' clock, and the last beat of each process. Raises Refused(unavailable)."""
    async with db.writer() as connection:  # of no tenant
        now_ms = await connection.fetchval(_SQL["clock"])
        found = await connection.fetch(_SQL["beats"], REMEMBERED_MS)
    return now_ms, tuple(beat_of(row) for row in found)


def beat_of(row: asyncpg.Record) -> Beat:
    """A row of ``beats``."""
    detail = msgspec.json.decode(row["detail"], type=BeatDetail)
    return Beat(row["process"], row["role"], row["beat_ms"], detail)
