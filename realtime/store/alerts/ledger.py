"""The ledger of alerts in Postgres: `alerts.ports.Ledger` on `Database`.

Each step is one transaction: it locks the case, calls a pure function of `alerts.case`, writes what changed.
The clock is Postgres' own, so a process whose clock is wrong neither hurries nor holds back an alert.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import asyncpg
from msgspec import structs

from alerts import case as cases
from alerts.alert import Alert, Press
from alerts.attempt import Accepted, Channel, Outcome, StatusReport
from alerts.case import Audit, Case, Changes, Jitter
from alerts.events import CaseEvent
from alerts.leases import may_settle, of_provider, without_held
from alerts.policy import Circumstances, Contact
from alerts.ports import (
    Applied,
    DeliveryJob,
    Reservation,
    StorageFailure,
    StorageRejected,
    StorageUnavailable,
    Taken,
)
from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.store.alerts import press_groups, rows
from realtime.store.alerts import transactions as steps
from realtime.store.alerts.delivery_faults import DeliveryFaults, DeliveryStage
from realtime.store.alerts.press_groups import GroupedPress
from realtime.store.alerts.press_queue import Turns
from realtime.store.alerts.rows import SQL, Held
from realtime.store.db.database import Database
from realtime.store.db.errors import is_statement_failure
from realtime.store.db.pools import PoolBusy

T = TypeVar("T")

ReadCircumstances = Callable[[str, str, str], Awaitable[Circumstances]]
"""Reads what Postgres knows of a driver, given tenant, vendor and driver. Raises Refused(unavailable)."""

ROWS_S: Final = 2.0
"""How long an import may wait for the contacts of its driver; without them it is completed later."""
ROWS_PAUSE_S: Final = 5.0
EARLY_KEPT_MS: Final = 86_400_000
"""How long a provider's word of a send that nobody has recorded is kept."""

_PUT_OFF_MS: Final = 5_000
_TRIES: Final = 4
_AGAIN: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.UniqueViolationError)
_log = logging.getLogger(__name__)


class PostgresLedger:
    """The ledger while Postgres is up. Everything raises StorageFailure when it is not; see
    `alerts.ports.Ledger`.

    ``circumstances_of``: completes alerts that were raised from a local copy; None: they stay as they are.
    """

    def __init__(
        self,
        db: Database,
        jitter: Jitter = random.random,
        faults: DeliveryFaults | None = None,
        *,
        circumstances_of: ReadCircumstances | None = None,
        rows_s: float = ROWS_S,
    ) -> None:
        self._db: Final = db
        self._jitter: Final = jitter
        self.faults: Final = faults or DeliveryFaults()
        """What cannot be escalated or sent from here although Postgres answers."""
        self._circumstances_of: Final = circumstances_of
        self._rows_s: Final = rows_s
        self._rows_after_s = float("-inf")
        self._turns: Final = Turns()
        self._idle: Final = _Idle()
        self._down: frozenset[Channel] = frozenset()
        self.left_alone: Callable[[], Sequence[UUID]] = tuple
        """Alerts that are neither escalated nor sent from here now: journals have them."""

    # --- what happens to an alert

    async def press(self, press: Press, circumstances: Circumstances) -> Taken:
        """Keep a press for good. Presses of a driver take turns, so that a hundred make one alert.

        Raises StorageUnavailable, and StorageRejected when Postgres answers and fails it.
        """

        async def keep() -> Taken:
            try:
                return await self._step(lambda connection: steps.press(connection, press, circumstances))
            except StorageFailure:
                raise
            except Exception as error:  # whatever it is: a journal may still take what Postgres will not have
                _log.error("a press cannot be kept: %s", type(error).__name__)
                raise StorageRejected from error

        return await self._turns.take(press, keep)

    async def press_group(
        self,
        presses: Sequence[Press],
        operator_of: Callable[[str], Contact | None],
        complete: press_groups.Complete,
    ) -> list[GroupedPress]:
        """Store presses in one transaction, with what Postgres knows of their drivers, in their order.

        Raises StorageFailure, and `StorageRejected` when one of them or a row that it needs cannot be stored
        or read.
        """
        return await self._step(
            lambda connection: press_groups.store(connection, presses, operator_of, complete),
            lock_timeout_s=press_groups.LOCK_TIMEOUT_S,
        )

    async def warm_up(self, connections: int) -> None:
        """Open so many connections, and prepare each for `press_group`. Raises StorageFailure."""
        warmed = (self._step(press_groups.warm_up) for _ in range(connections))
        for result in await asyncio.gather(*warmed, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def apply(self, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event. ``alert_id`` may be what a press promised before it joined another alert."""

        async def step(connection: asyncpg.Connection) -> Applied | None:
            held = await rows.hold(connection, alert_id)
            return None if held is None else await steps.apply(connection, held, event)

        return await self._step(step)

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into."""

        async def step(connection: asyncpg.Connection) -> Alert | None:
            return await steps.of_press(connection, tenant, driver, sos_id)

        return await self._step(step)

    async def look(self, alert_id: UUID) -> Case | None:
        """The case as it stands, whatever its tenant: for a link that names none. Nothing is locked."""
        return await self._step(lambda connection: rows.look(connection, alert_id))

    async def import_case(
        self,
        case: Case,
        presses: Sequence[Press],
        audit: Sequence[Audit] = (),
        their_now_ms: int | None = None,
    ) -> Alert:
        """Bring in what a journal kept while Postgres was away: merged with the alert that is here, or joined
        into the driver's open one; as it stands now. Is idempotent.

        ``presses``: all that went into it. ``their_now_ms``: the journal's clock now; when it is far from
        ours all its times are moved by the difference. A case with the snapshot of a local copy is completed.
        """
        known = await self.circumstances_for(case)
        return await self._step(
            lambda connection: steps.import_case(connection, case, presses, audit, their_now_ms, known)
        )

    async def complete(self, case: Case) -> Alert | None:
        """Complete an alert that has the snapshot of a local copy from the contacts and policies that are
        here; as it stands then. None: it is complete, changed by another at this moment, or nothing can be
        read.
        """
        known = await self.circumstances_for(case)
        if known is None:
            return None

        async def step(connection: asyncpg.Connection) -> Alert | None:
            held = await rows.hold(connection, case.alert.alert_id, wait=False)
            if held is None or held.case.copy.is_complete:
                return None
            changes = cases.completed(held.case, known, held.now_ms, self._down)
            changes = await rows.keep(connection, held.case, changes, held.now_ms)
            return changes.case.alert

        return await self._step(step)

    async def circumstances_for(self, case: Case) -> Circumstances | None:
        """What is known here of the driver of ``case``, if that has to be completed and can be read.

        Never raises, and takes ``rows_s`` at most. Once it took so long it is not tried for `ROWS_PAUSE_S`:
        a thousand imports do not wait for a table that is locked.
        """
        if case.copy.is_complete or self._circumstances_of is None or time.monotonic() < self._rows_after_s:
            return None
        alert = case.alert
        try:
            async with asyncio.timeout(self._rows_s):
                return await self._circumstances_of(alert.tenant, alert.vendor, alert.driver)
        except Exception as error:  # whatever it is, the alert itself can be stored
            _log.warning("the contacts of an alert cannot be read: %s", type(error).__name__)
            if isinstance(error, TimeoutError):
                self._rows_after_s = time.monotonic() + ROWS_PAUSE_S
            return None

    async def known(self, some: Sequence[tuple[Case, Sequence[Audit]]]) -> set[UUID]:
        """Of those cases and histories the alerts of which everything is here. Locks and writes nothing."""
        theirs = {case.alert.alert_id: case for case, _ in some}
        histories = {case.alert.alert_id: audit for case, audit in some}

        async def step(connection: asyncpg.Connection) -> set[UUID]:
            ours = await rows.look_all(connection, list(theirs))
            lacking = await rows.lacking(connection, histories)
            now_ms = await connection.fetchval(SQL["clock"])
            return {
                alert_id
                for alert_id in ours.keys() - lacking
                if not cases.has_news(without_held(theirs[alert_id]), ours[alert_id], now_ms)
            }

        return await self._step(step)

    # --- escalation

    async def advance(self, limit: int, down: frozenset[Channel] = frozenset()) -> int:
        """Escalate up to ``limit`` alerts, each in a transaction of its own; how many were changed.

        One that cannot be escalated is logged and put off, and is in nobody's way.
        """
        self._down = down
        idle, left_alone = self._idle.among(down, time.monotonic()), list(self.left_alone())

        async def due(connection: asyncpg.Connection) -> list[UUID]:
            given = ([c.value for c in down], limit, idle, left_alone)
            found = await connection.fetch(SQL["due_alerts"], *given)
            return [row["alert_id"] for row in found]

        changed = 0
        try:
            found = await self._step(due)
        except Exception as error:
            self._claims_failed(error)
            raise
        for alert_id in found:
            try:
                did = await self.advance_one(alert_id, down)
            except Exception as error:
                if isinstance(error, StorageUnavailable):
                    raise
                _log.error("alert %s cannot be escalated: %s", alert_id, type(error).__name__)
                self.faults.alert_failed(alert_id, DeliveryStage.ESCALATE)
                instruments.ALERT_STORE_FAULTS.inc()
                await self._put_off(alert_id)
                continue
            if did:
                self.faults.alert_worked(alert_id, DeliveryStage.ESCALATE)
            self._idle.note(alert_id, down, did, time.monotonic())
            changed += did
        return changed

    async def advance_one(self, alert_id: UUID, down: frozenset[Channel] = frozenset()) -> bool:
        """Escalate this alert if it is due and nobody else is at it; whether that changed anything."""

        async def step(connection: asyncpg.Connection) -> bool:
            held = await rows.hold(connection, alert_id, wait=False)
            if held is None:
                return False
            changes = cases.advanced(held.case, held.now_ms, down)
            await rows.keep(connection, held.case, changes, held.now_ms)
            return steps.is_change(held.case, changes)

        return await self._step(step)

    async def anything_due(self) -> bool:
        """Whether an alert or an attempt waits for somebody. Two looks into small indexes."""
        return await self._step(lambda connection: connection.fetchval(SQL["anything_due"]))

    def _claims_failed(self, error: Exception) -> None:
        if isinstance(error.__cause__, PoolBusy):
            return  # it says nothing about Postgres
        self.faults.claims_failed()
        if is_statement_failure(error) or not isinstance(error, StorageFailure):
            instruments.ALERT_STORE_FAULTS.inc()

    async def _put_off(self, alert_id: UUID) -> None:
        """Have others escalated first for a while. When this fails too, `faults` have it sent elsewhere."""
        with contextlib.suppress(StorageRejected):
            await self._step(lambda connection: connection.execute(SQL["put_off"], alert_id, _PUT_OFF_MS))

    # --- delivery

    async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
        """Lease due attempts, an SOS first. A job's ``status`` is that before the claim."""
        left_alone = [*self.left_alone(), *self.faults.paused]
        try:
            jobs, unread = await self._step(
                lambda connection: steps.claim(connection, by, slots, lease_s, left_alone)
            )
        except Exception as error:
            self._claims_failed(error)
            raise
        for alert_id in unread:
            self.faults.alert_failed(alert_id, DeliveryStage.CLAIM)
            instruments.ALERT_STORE_FAULTS.inc()
        self.faults.claims_worked(len(jobs))
        return jobs

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        """Record what became of a claimed attempt.

        Of what a holder says after its lease went to another only this counts: that the message was sent.
        """

        async def step(connection: asyncpg.Connection) -> None:
            held = await rows.hold(connection, job.alert.alert_id)
            attempt = None if held is None else held.case.attempts.get(job.attempt.attempt_id)
            if held is None or attempt is None:
                return
            if may_settle(attempt, job.attempt, outcome):
                await self._settled(connection, held, job, outcome)
            else:
                _log.warning("a former holder settled an attempt: %s", type(outcome).__name__.lower())
                if isinstance(outcome, Accepted) and outcome.repeat and not attempt.repeat:
                    await rows.keep_attempt(connection, held.case, structs.replace(attempt, repeat=True))

        try:
            await self._step(step)
        except Exception as error:
            if isinstance(error, StorageUnavailable):
                raise
            self.faults.alert_failed(job.alert.alert_id, DeliveryStage.RECORD)
            instruments.ALERT_STORE_FAULTS.inc()
            raise StorageRejected from error
        self.faults.alert_worked(job.alert.alert_id, DeliveryStage.RECORD)

    async def _settled(
        self, connection: asyncpg.Connection, held: Held, job: DeliveryJob, outcome: Outcome
    ) -> None:
        case = of_provider(held.case, job.attempt)
        changes = cases.settled(case, job.attempt.attempt_id, outcome, held.now_ms, self._jitter, self._down)
        if steps.is_change(held.case, changes):
            await rows.keep(connection, held.case, changes, held.now_ms)

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word; kept for the send it speaks of when that is not recorded yet."""

        def move(held: Held, attempt_id: UUID) -> Changes:
            return cases.reported(held.case, attempt_id, report, held.now_ms, self._down)

        while (found := await self._step(lambda connection: steps.find_sent(connection, report))) is not None:
            if await self._moved(*found, move):
                return True
        return False

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message."""

        async def alert_of(connection: asyncpg.Connection) -> UUID | None:
            found: UUID | None = await connection.fetchval(SQL["of_attempt"], attempt_id)
            return found

        alert_id = await self._step(alert_of)
        if alert_id is not None:
            await self._moved(alert_id, attempt_id, lambda held, a: cases.answered(held.case, a, held.now_ms))

    async def _moved(self, alert_id: UUID, attempt_id: UUID, move: Callable[[Held, UUID], Changes]) -> bool:
        """Let ``move`` change the case of this attempt; False when it is gone."""

        async def step(connection: asyncpg.Connection) -> bool:
            held = await rows.hold(connection, alert_id)
            if held is None or attempt_id not in held.case.attempts:
                return False
            changes = move(held, attempt_id)
            if steps.is_change(held.case, changes):
                await rows.keep(connection, held.case, changes, held.now_ms)
            return True

        return await self._step(step)

    async def forget_early(self) -> int:
        """Forget providers' words that nobody has waited for in a day; how many."""
        return await self._step(lambda connection: connection.fetchval(SQL["forget_early"], EARLY_KEPT_MS))

    # --- transactions

    async def _step(
        self,
        step: Callable[[asyncpg.Connection], Awaitable[T]],
        *,
        lock_timeout_s: float | None = None,
    ) -> T:
        """``step`` in a transaction, again when another was in its way. Raises StorageFailure."""
        for tries_left in reversed(range(_TRIES)):
            try:
                async with self._db.writer(lock_timeout_s=lock_timeout_s) as connection:
                    return await step(connection)
            except Refused as refused:
                if refused.code is not Code.UNAVAILABLE:
                    raise
                raise (StorageRejected if is_statement_failure(refused) else StorageUnavailable) from refused
            except asyncpg.PostgresError as error:
                if not isinstance(error, _AGAIN) or not tries_left:
                    _log.error("a step of the ledger failed: %s", type(error).__name__)
                    raise StorageRejected from error
        raise AssertionError("unreachable")


class _Idle:
    """Alerts in which a closed channel changed nothing: they are not looked at again and again for it."""

    FOR_S: Final = 2.0
    MOST: Final = 1_000

    def __init__(self) -> None:
        self._seen: dict[UUID, tuple[frozenset[Channel], float]] = {}

    def among(self, down: frozenset[Channel], now_s: float) -> list[UUID]:
        """Those that need no look now."""
        self._seen = {k: v for k, v in self._seen.items() if v[0] == down and now_s - v[1] < self.FOR_S}
        return list(self._seen)

    def note(self, alert_id: UUID, down: frozenset[Channel], changed: bool, now_s: float) -> None:
        """It has been looked at."""
        if down and not changed and len(self._seen) < self.MOST:
            self._seen[alert_id] = (down, now_s)
