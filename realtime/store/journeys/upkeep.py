"""Upkeep of journey_points: partitions made days ahead and dropped by age, blocking nobody.

How, each seen on Postgres with a long read open and inserts going on:

* ``CREATE TABLE … PARTITION OF`` and ``DROP`` of an attached partition lock the parent against everybody and,
  queueing behind one open read, stop every insert. So a partition is made as a table of its own and attached,
  and detached ``CONCURRENTLY`` before it is dropped.
* A detach waits for reads that began before it; ``lock_timeout`` ends the wait, the partition stays
  "detaching" (new reads do not see it), and the next run finishes it.
* Points of journeys with an alert are copied to the incident first (`incidents`); a table that holds one
which is not copied is not dropped.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import asyncpg

from realtime.settings import Settings
from realtime.store.db import ids
from realtime.store.db.advisory_lock import Lock, locked
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.journeys import incidents, partitions
from realtime.store.journeys.partitions import PartitionState, name_of

LOCK_TIMEOUT_MS = 2_000
TOKEN_GRACE_MS = 31 * 86_400_000
"""A revocation outlives its token: an expired driver token still raises an SOS for 30 days unless revoked."""

_STEP_TIMEOUT_S = 30.0
A = TypeVar("A")
R = TypeVar("R")
_SQL = load("upkeep")
_log = logging.getLogger(__name__)


@dataclass
class UpkeepReport:
    """What one run did, by partition name."""

    made: list[str] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    deferred: list[str] = field(default_factory=list)
    """Somebody was in the way; the next run tries again."""
    tokens_forgotten: int = 0
    incident_points: int = 0
    """Points of journeys with an alert that were copied."""
    incidents_forgotten: int = 0


async def run_once(settings: Settings, now_ms: int, lock_timeout_ms: int = LOCK_TIMEOUT_MS) -> UpkeepReport:
    """Make what the coming days need, drop what is past its time, forget revocations that no longer matter.

    Runs of several workers take turns. ``lock_timeout_ms``: how long one step waits for somebody in its way.
    Raises OSError, TimeoutError or asyncpg.PostgresError when the database cannot be asked.
    """
    today = ids.day_of(now_ms)
    oldest = partitions.oldest_kept(today, settings.retention_days, settings.journey_max_h)
    async with locked(settings.direct_url, Lock.UPKEEP) as connection:
        await connection.execute("SELECT set_config('lock_timeout', $1, false)", str(lock_timeout_ms))
        run = _Run(connection, _states(await connection.fetch(_SQL["partitions"])))
        plan = partitions.plan(today, oldest, run.states)
        await run.prepare(plan)
        # Before anything is detached: from then on its points are read from the copy.
        run.report.incident_points = await run.as_writer(incidents.copy_new, min((*plan.drop, oldest)))
        await run.follow(plan)
        before_ms = now_ms - settings.incident_retention_days * 86_400_000
        run.report.incidents_forgotten, _ = await run.as_writer(incidents.forget_past, before_ms)
        run.report.tokens_forgotten = await run.as_writer(_forget_tokens, now_ms - TOKEN_GRACE_MS)
    _log.info("upkeep %s", run.report)
    return run.report


async def missing_partitions(db: Database, now_ms: int) -> list[date]:
    """The days, from today on, whose partition should be there and is not. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        states = _states(await connection.fetch(_SQL["partitions"]))
    attached = (day for day, state in states.items() if state is PartitionState.ATTACHED)
    return partitions.missing(ids.day_of(now_ms), attached)


def _states(rows: list[asyncpg.Record]) -> dict[date, PartitionState]:
    states = {}
    for row in rows:
        day = partitions.day_of_name(row["name"])
        if day is not None:
            attached = PartitionState.DETACHING if row["detaching"] else PartitionState.ATTACHED
            states[day] = attached if row["attached"] else PartitionState.LOOSE
    return states


class _Run:
    """One run's connection, what it knows of the partitions, and its report."""

    def __init__(self, connection: asyncpg.Connection, states: dict[date, PartitionState]) -> None:
        self.connection = connection
        self.states = states
        self.report = UpkeepReport()

    async def prepare(self, plan: partitions.PartitionPlan) -> None:
        """What the coming days need, first of all: no wait for a reader, and no copying, delays it."""
        for day in plan.make:
            if await self._try("make", day):
                self.report.made.append(name_of(day))

    async def as_writer(self, work: Callable[[asyncpg.Connection, A], Awaitable[R]], given: A) -> R:
        """``work`` in a transaction of the writer: the login itself sees no row."""
        async with self.connection.transaction():
            await self.connection.execute(_SQL["as_writer"])
            return await work(self.connection, given)

    async def follow(self, plan: partitions.PartitionPlan) -> None:
        """Finish, attach and drop."""
        for day in plan.finish:
            if await self._try("finalize", day):
                self.states[day] = PartitionState.LOOSE
        for day in plan.attach:
            if self.states[day] is PartitionState.LOOSE and await self._try("attach", day):
                self.report.attached.append(name_of(day))
        for day in plan.drop:
            if await self._loosened(day) and await self._saved(day) and await self._try("drop", day):
                self.report.dropped.append(name_of(day))

    async def _saved(self, day: date) -> bool:
        """Whether the loose table holds no point of an alert that is not copied. Nothing comes into it any
        more.
        """
        if await self.as_writer(incidents.saved, day):
            return True
        self.report.deferred.append(name_of(day))
        return False

    async def _loosened(self, day: date) -> bool:
        """Whether ``day``'s table is no longer, or could now be made no longer, a part of journey_points."""
        if self.states[day] is PartitionState.ATTACHED:
            if PartitionState.DETACHING in self.states.values():
                self.report.deferred.append(name_of(day))
                return False
            self.states[day] = (
                PartitionState.LOOSE if await self._try("detach", day) else PartitionState.DETACHING
            )
        return self.states[day] is PartitionState.LOOSE

    async def _try(self, step: str, day: date) -> bool:
        """Run one statement; False, and ``day`` deferred, when somebody else's lock was in its way."""
        try:
            await self.connection.execute(_statement(step, day), timeout=_STEP_TIMEOUT_S)
        except (asyncpg.LockNotAvailableError, TimeoutError):
            _log.warning("upkeep cannot %s %s yet: it is in use", step, name_of(day))
            self.report.deferred.append(name_of(day))
            return False
        return True


async def _forget_tokens(connection: asyncpg.Connection, before_ms: int) -> int:
    count: int = await connection.fetchval(_SQL["forget_tokens"], before_ms, timeout=_STEP_TIMEOUT_S)
    await connection.execute(_SQL["forget_pairings"], before_ms, timeout=_STEP_TIMEOUT_S)
    return count


def _statement(step: str, day: date) -> str:
    first, end = ids.partition_bounds(day)
    return _SQL[step].format(name=name_of(day), first=first, end=end)
