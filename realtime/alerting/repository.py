"""The intake that does not need Postgres: what it cannot have now is kept by the journal of this process.

Each question goes the same way: the cases that wait here, Postgres while it is up, the copies that the other
processes have shown, and what was last read from Postgres. An event on another's copy is applied to a copy of
our own; copies merge, and the process that acts on the alert learns the event from there.

A press of a driver whose alert waits in a journal goes into that journal's copy and not to Postgres: Postgres
does not have the alert and would open a second one.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

from msgspec.structs import replace

from alerts.alert import OPEN, Alert, Place, Press, alert_id_of
from alerts.attempt import StatusReport
from alerts.case import Case
from alerts.events import CaseEvent
from alerts.location import as_earlier
from alerts.policy import Circumstances, Contact, Pins, Source
from alerts.ports import Applied, StorageFailure, Taken
from alerts.press_ids import companion_press, sos_first, sos_ids_of
from realtime.alerting import last_positions
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.case_lookup import CaseLookup
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.last_positions import LOOK_S as LOCATE_S
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.optional import PressStep, attempt, attempt_now
from realtime.alerting.ports import Copies, Local, LocalCase
from realtime.alerting.press_committer import CommittedPress, PressCommitter
from realtime.alerting.publisher import AlertPublisher
from realtime.press_priority import PressPriority
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.store.alerts import reads
from realtime.store.alerts.circumstances import circumstances
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.press_queue import Turns
from realtime.store.db.database import Database

T = TypeVar("T")
log = logging.getLogger(__name__)

ASK_S: Final = 1.0
"""How long Postgres may take for what somebody waits for; then the journal takes it."""
RETRY_S: Final = 2.0
UNSURE_S: Final = 2.0
"""How long a press waits for its import when Postgres was there a moment ago and did not answer; and for as
long again when it is there once more.
"""
LOOK_S: Final = 0.1
LAST_TRY_S: Final = 8.0
"""There is no third place to store a press. An app waits 15 s, of which 3 s may have gone to Postgres."""


@dataclass(frozen=True, slots=True)
class IntakeTimes:
    """How long an intake waits for Postgres and for an import."""

    ask_s: float = ASK_S
    """One question to Postgres at most; then the journal is used."""
    unsure_s: float = UNSURE_S
    """How long a press that Postgres may have waits for its import, before it is acted on."""
    locate_s: float = LOCATE_S
    """How much of ``ask_s`` the driver's last position may take; a press without it is still taken."""
    last_try_s: float = LAST_TRY_S
    """How long Postgres may take for a press that the journal failed."""


INTAKE_TIMES: Final = IntakeTimes()
"""Those of production."""


class AlertRepository:
    """`realtime.alerting.ports.Intake`, with Postgres there or not. Every change is announced."""

    def __init__(
        self,
        reach: DatabaseGuard,
        db: Database,
        ledger: PostgresLedger,
        local: Local,
        copies: Copies,
        directory: ContactCache,
        announcer: AlertPublisher,
        news: OpenAlerts,
        operator_of: Callable[[str], Contact | None],
        earlier: CaseLookup,
        times: IntakeTimes = INTAKE_TIMES,
        *,
        is_import_rejected: Callable[[UUID], bool] = lambda alert_id: False,
        on_journalled: Callable[[], None] = lambda: None,
        committer: PressCommitter,
        last_seen: LastSeen | None = None,
        priority: PressPriority | None = None,
    ) -> None:
        self._reach: Final = reach
        self._db: Final = db
        self._ledger: Final = ledger
        self._committer: Final = committer
        self._local: Final = local
        self._copies: Final = copies
        self._directory: Final = directory
        self._announcer: Final = announcer
        self._news: Final = news
        self._operator_of: Final = operator_of
        self._earlier: Final = earlier
        self._times: Final = times
        self._is_import_rejected: Final = is_import_rejected
        self._on_journalled: Final = on_journalled
        self._last_seen: Final = last_seen
        self._priority: Final = priority or PressPriority()
        self._turns: Final = Turns()
        self._later: Final[set[asyncio.Task[None]]] = set()

    # --- what happens

    async def press(self, press: Press) -> Taken:
        """Keep a press: in Postgres, else in the journal. Raises Refused(unavailable) when neither can.

        One that waits in the journal is answered from there.
        """
        with self._priority.press():
            taken = await self._press(press)
            if taken.alert.drill is press.drill:
                return taken
            # The id is known as that of a drill, and this is none, or the other way round.
            return await self._press(companion_press(press))

    async def _press(self, press: Press) -> Taken:
        no_places: list[Place] = []
        wait_s, live = await asyncio.gather(
            attempt(press, PressStep.JOURNAL, None, lambda: self._wait_in_journal_s(press)),
            attempt(press, PressStep.LIVE_POSITION, no_places, lambda: self._live_places(press)),
        )
        if wait_s is None:
            try:
                # In its turn: Postgres is not slow when a phone's own presses wait for each other.
                taken = await self._turns.take(press, lambda: self._commit(press, live))
            except Exception as error:  # whatever Postgres failed with, the journal stores the press
                if not isinstance(error, StorageFailure):
                    name = type(error).__name__
                    log.error("press %s of tenant %s was not committed: %s", press.sos_id, press.tenant, name)
                wait_s = self._unsure_for_s()
            else:
                self._announce(press, taken)
                return taken
        return await self._journal(press, live, wait_s)

    async def _wait_in_journal_s(self, press: Press) -> float | None:
        """How long ``press`` waits to be acted on in the journal, because a journal has the alert that it
        belongs to and Postgres may not; None when no journal has.
        """
        known = await self._local_find(press.tenant, press.driver, press.sos_id)
        if known is not None:
            kept = self._local.get(known.alert_id)
            return 0.0 if kept is not None and kept.acting else self._unsure_for_s()
        if not self._reach.is_up:
            return None  # `CaseLookup` looks for the alert
        for kept in self._local.all():
            if kept.presses and _may_join(press, kept.case.alert):
                return 0.0 if kept.acting else self._unsure_for_s()
        await self._copies.read_anew()
        copy = self._copies.find(press.tenant, press.driver, press.sos_id)
        copy = copy or self._copies.open_of(press.tenant, press.driver, press.drill)
        return self._times.unsure_s if copy is not None and copy.presses else None

    def _unsure_for_s(self) -> float:
        """How long a press waits in the journal because Postgres may have it: it answered late, or another
        process that the app asked at the same time has committed it. Not positive once Postgres was
        unavailable for long enough.
        """
        return self._times.unsure_s - (0.0 if self._reach.is_up else self._reach.lost_for_s)

    async def _commit(self, press: Press, live: Sequence[Place]) -> Taken:
        """Store a press in Postgres, with what Postgres knows of its driver. Raises StorageFailure."""
        return self._noted(await self._committer.commit(press, live))

    def _noted(self, stored: CommittedPress) -> Taken:
        try:
            self._earlier.committed(*stored)
        except Exception:  # it is committed: to answer anything else would have it notified twice
            press = stored.press
            log.exception(
                "press %s of tenant %s is committed and could not be noted", press.sos_id, press.tenant
            )
        return stored.taken

    async def _live_places(self, press: Press) -> list[Place]:
        """The live positions of the driver, and the places of their open alerts that this process knows."""
        alerts = self._news.open_of_driver(press.tenant, press.driver)
        earlier = [as_earlier(alert.place) for alert in alerts if alert.place is not None]
        return earlier if self._last_seen is None else [*earlier, *await self._last_seen.places(press)]

    async def _journal(self, press: Press, live: Sequence[Place], wait_s: float) -> Taken:
        """Store a press in the journal, and act on it at once unless Postgres may have it (``wait_s`` > 0).

        Once the journal has it, nothing that fails afterwards refuses it. Raises Refused(unavailable) when
        neither the journal nor Postgres takes it.
        """
        await attempt(press, PressStep.OPEN_ALERT, None, lambda: self._earlier.adopt(press))
        known = attempt_now(press, PressStep.CONTACTS, None, lambda: self._known(press))
        if known is None:
            known = Circumstances({}, (), Pins(), source=Source.NONE)
        try:
            located = last_positions.placed_or_as_pressed(press, None, live, press.received_ms)
            taken = await self._local.press(located, known, acting=False)
        except Exception as error:
            if not isinstance(error, StorageFailure):
                name = type(error).__name__
                log.error("press %s of tenant %s was not journalled: %s", press.sos_id, press.tenant, name)
            return await self._commit_without_journal(press, live)
        alert_id = taken.alert.alert_id
        if self._reach.is_up:
            attempt_now(press, PressStep.IMPORT, None, self._on_journalled)
        sharing = attempt(press, PressStep.REPLICATION, False, lambda: self._share(alert_id))
        if wait_s > 0.0:
            shared = await sharing
            attempt_now(press, PressStep.DELIVERY, None, lambda: self._turn_later(alert_id, wait_s))
        else:
            acting = attempt(press, PressStep.DELIVERY, None, lambda: self._act(alert_id))
            shared, _ = await asyncio.gather(sharing, acting)
        self._announce(press, taken)
        return replace(taken, durability="replicated" if shared else "local")

    def _known(self, press: Press) -> Circumstances:
        return self._directory.of(press.tenant, press.vendor, press.driver)

    def _announce(self, press: Press, taken: Taken) -> None:
        attempt_now(press, PressStep.ANNOUNCEMENT, None, lambda: self._announcer.changed(taken.alert))

    async def _act(self, alert_id: UUID) -> None:
        """Escalate and deliver an alert of the journal here, unless another process does."""
        try:
            await self._copies.turn(alert_id)
        except StorageFailure:
            log.error("the journal cannot record that alert %s is acted upon", alert_id)

    async def _commit_without_journal(self, press: Press, live: Sequence[Place]) -> Taken:
        """Store in Postgres a press that the journal failed, although Postgres may be slow or just lost.

        Raises Refused(unavailable).
        """
        try:
            async with asyncio.timeout(self._times.last_try_s):
                taken = self._noted(await self._committer.commit_alone(press, live))
        except Exception as error:
            name = type(error).__name__
            log.error(
                "press %s of tenant %s was stored neither in the journal nor in postgres: %s",
                press.sos_id,
                press.tenant,
                name,
            )
            raise _away() from error
        log.error(
            "press %s of tenant %s was stored in postgres alone, as alert %s: the journal failed",
            press.sos_id,
            press.tenant,
            taken.alert.alert_id,
        )
        self._announce(press, taken)
        return taken

    def _turn_later(self, alert_id: UUID, wait_s: float) -> None:
        """Act on a press after ``wait_s``, unless the import finds it in Postgres before.

        Postgres may be slow and have this press, or have it from another process that the app asked at the
        same time: acting at once would notify its contacts twice. What is sent later is looked up first.
        """
        self._local.doubt(alert_id)

        async def turn() -> None:
            await asyncio.sleep(wait_s)
            looks = int(self._times.unsure_s / LOOK_S)
            while looks and self._may_be_imported(alert_id):
                looks -= 1
                await asyncio.sleep(LOOK_S)
            if self._local.get(alert_id) is not None:
                await self._act(alert_id)

        task = asyncio.ensure_future(turn())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def _may_be_imported(self, alert_id: UUID) -> bool:
        """Whether an import of a case that is still here is about to end."""
        is_here = self._local.get(alert_id) is not None
        return is_here and self._reach.is_up and not self._is_import_rejected(alert_id)

    async def apply(self, tenant: str, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event of an alert, wherever that is kept."""
        applied = await self._apply_here(tenant, alert_id, event)
        if applied is not None:
            return applied
        wait_s: float | None = None
        try:
            applied = await self._reach.ask_in_turn(
                lambda: self._apply_stored(tenant, alert_id, event), self._times.ask_s
            )
        except StorageFailure:
            wait_s = self._unsure_for_s()
        if applied is not None:
            self._announcer.changed(applied.alert)
            return applied
        await self._copies.read_anew()
        if await self._adopt(self._copies.copy_of(alert_id), tenant):
            return await self._apply_here(tenant, alert_id, event)
        if wait_s is None:
            return None
        return await self._apply_unstored(tenant, alert_id, event, wait_s)

    async def _apply_unstored(
        self, tenant: str, alert_id: UUID, event: CaseEvent, wait_s: float
    ) -> Applied | None:
        """One event of an alert that Postgres has and cannot change now: it waits in the journal, which acts
        on it after ``wait_s``. Raises Refused(unavailable) when the alert was never read here.
        """
        case = self._earlier.case_of(tenant, alert_id)
        if case is None:
            raise _away()
        try:
            await self._local.adopt(case)
        except StorageFailure as error:
            raise _away() from error
        applied = await self._apply_here(tenant, alert_id, event)
        self._turn_later(case.alert.alert_id, max(0.0, wait_s))
        return applied

    async def _apply_stored(self, tenant: str, alert_id: UUID, event: CaseEvent) -> Applied | None:
        alert = await reads.get(self._db, tenant, alert_id) or self._news.get(tenant, alert_id)
        return None if alert is None else await self._ledger.apply(alert.alert_id, event)

    async def _apply_here(self, tenant: str, alert_id: UUID, event: CaseEvent) -> Applied | None:
        case = await self._local_case(tenant, alert_id)
        if case is None:
            return None
        try:
            applied = await self._local.apply(case.alert.alert_id, event)
        except StorageFailure as error:
            raise _away() from error
        if applied is not None:
            await self._share(applied.alert.alert_id)
            self._announcer.changed(applied.alert)
        return applied

    # --- what providers say

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word; False when no attempt is known yet of which it speaks: it is kept.

        Raises StorageFailure when it cannot be.
        """
        if await self._local.report(report):
            return True
        try:
            return await self._reach.ask_in_turn(lambda: self._ledger.report(report), self._times.ask_s)
        except StorageFailure:
            pass
        copy = self._copies.of_provider(report.provider, report.provider_id)
        if copy is not None and await self._adopt(copy, copy.case.alert.tenant):
            moved = await self._local.report(report)
            await self._share(copy.case.alert.alert_id)
            return moved
        await self._local.early.keep(report)
        return False

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message. Raises StorageFailure when that cannot be kept."""
        for kept in self._local.all():
            if attempt_id in kept.case.attempts:
                await self._local.answered(attempt_id)
                await self._share(kept.case.alert.alert_id)
                return
        await self._reach.ask_in_turn(lambda: self._ledger.answered(attempt_id), self._times.ask_s)

    # --- what is asked

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into; of a drill and an SOS with one id the SOS (`alerts.press_ids`).

        A drill that is found ends no search: the SOS may be where it was not searched yet.
        """
        ids = sos_ids_of(sos_id)
        local = sos_first(*[await self._local_find(tenant, driver, one) for one in ids])
        if local is not None and not local.drill:
            return local

        async def stored() -> Alert | None:
            return sos_first(*[await self._ledger.find(tenant, driver, one) for one in ids])

        def copied() -> Alert | None:
            return sos_first(*(_alert(self._copies.find(tenant, driver, one)) for one in ids))

        def read_before() -> Alert | None:
            alert_ids = (alert_id_of(tenant, driver, one) for one in ids)
            return sos_first(local, *(_of(self._earlier.case_of(tenant, one)) for one in alert_ids))

        found = await self._first(stored, copied, read_before, is_final=lambda alert: not alert.drill)
        return sos_first(found, local)

    async def get(self, tenant: str, alert_id: UUID) -> Alert | None:
        """The alert, as it is kept or as it was heard of."""
        case = await self._local_case(tenant, alert_id)
        if case is not None:
            return case.alert
        return await self._first(
            lambda: reads.get(self._db, tenant, alert_id),
            lambda: self._copied(tenant, alert_id) or self._news.get(tenant, alert_id),
            lambda: _of(self._earlier.case_of(tenant, alert_id)),
        )

    async def case(self, alert_id: UUID) -> Case | None:
        """All of an alert."""
        try:
            here = await self._local.look(alert_id)
        except StorageFailure as error:
            raise _away() from error
        if here is not None:
            return here
        return await self._first(
            lambda: self._ledger.look(alert_id),
            lambda: _case(self._copies.copy_of(alert_id)),
            lambda: self._earlier.case_read(alert_id),
        )

    async def circumstances(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """What is known of a driver: by Postgres, else as it was last read."""
        operator = self._operator_of(tenant)
        try:
            return await self._reach.ask_in_turn(
                lambda: circumstances(self._db, tenant, vendor, driver, operator), self._times.ask_s
            )
        except StorageFailure:
            return self._directory.of(tenant, vendor, driver)

    async def _first(
        self,
        stored: Callable[[], Any],
        elsewhere: Callable[[], T | None],
        read_before: Callable[[], T | None],
        is_final: Callable[[T], bool] = lambda found: True,
    ) -> T | None:
        """What Postgres has, else what another process has shown; when Postgres cannot be asked, what was
        ``read_before``. What is not ``is_final`` is returned when no later source has anything that is.

        Raises Refused(unavailable) when Postgres cannot be asked and it is in none of these.
        """
        away: StorageFailure | None = None
        known: list[T] = []

        def is_known(found: T | None) -> bool:
            known.extend(() if found is None else [found])
            return any(map(is_final, known))

        try:
            is_enough = is_known(await self._reach.ask_in_turn(stored, self._times.ask_s))
        except StorageFailure as error:
            away, is_enough = error, False
        if not is_enough and not is_known(elsewhere()):
            await self._copies.read_anew()
            if not is_known(elsewhere()) and away is not None:
                is_known(read_before())
        if not known and away is not None:
            raise _away() from away
        return next(filter(is_final, known), known[0] if known else None)

    # --- the copies

    async def _local_find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        try:
            return await self._local.find(tenant, driver, sos_id)
        except StorageFailure:
            return None

    async def _local_case(self, tenant: str, alert_id: UUID) -> Case | None:
        try:
            case = await self._local.look(alert_id)
        except StorageFailure:
            return None
        return case if case is not None and case.alert.tenant == tenant else None

    def _copied(self, tenant: str, alert_id: UUID) -> Alert | None:
        alert = _alert(self._copies.copy_of(alert_id))
        return alert if alert is not None and alert.tenant == tenant else None

    async def _adopt(self, copy: LocalCase | None, tenant: str) -> bool:
        """Make another's copy ours too; whether there is one of ``tenant``."""
        if copy is None or copy.case.alert.tenant != tenant:
            return False
        try:
            await self._local.adopt(copy.case, copy.presses, copy.audit)
        except StorageFailure as error:
            raise _away() from error
        return True

    async def _share(self, alert_id: UUID) -> bool:
        kept = self._local.get(alert_id)
        return kept is not None and await self._copies.share(kept)


def _may_join(press: Press, alert: Alert) -> bool:
    """Whether ``press`` is of the driver of ``alert`` and would join it."""
    same = (alert.tenant, alert.driver, alert.drill) == (press.tenant, press.driver, press.drill)
    return same and alert.state in OPEN


def _of(case: Case | None) -> Alert | None:
    return None if case is None else case.alert


def _alert(kept: LocalCase | None) -> Alert | None:
    return None if kept is None else kept.case.alert


def _case(kept: LocalCase | None) -> Case | None:
    return None if kept is None else kept.case


def _away() -> Refused:
    return Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=RETRY_S)
