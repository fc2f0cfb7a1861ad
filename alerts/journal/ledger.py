"""The ledger of one process on its own disk: `alerts.ports.Ledger` on a `AppendLog`.

Each step decides at once on the newest state that is planned, without waiting, and appends what changed; it
answers when that is on the disk. Steps that come together share one write. What is planned and cannot be kept
is given up together: everything is as the disk has it.

A case that another process acts on is a copy here: it takes events and answers, and is never escalated.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Alert, Press, alert_id_of
from alerts.attempt import Accepted, Attempt, Channel, Outcome, Status, StatusReport
from alerts.case import Audit, Case, Changes, Jitter
from alerts.clock_skew import settled_into
from alerts.events import CaseEvent
from alerts.journal.append_log import JOURNAL_LIMITS, JournalLimits, Need
from alerts.journal.early_reports import EarlyReportLog
from alerts.journal.peer_visibility import PeerVisibility
from alerts.journal.records import JournalCase, history, together
from alerts.journal.store import CaseStore
from alerts.leases import claim_ms, contact_of, lane_in, leased, may_settle, of_provider, urgency
from alerts.policy import Circumstances
from alerts.ports import Applied, DeliveryJob, Reservation, Taken
from alerts.press_ids import companion_case

log = logging.getLogger(__name__)

HOLD_S: Final = 10.0
"""How long an import waits for messages that are under way."""
MOVE_S: Final = 0.5
"""How long an SOS that gets its companion id waits for them: its escalation is held up as long."""


class LocalLedger:
    """`open` replays the journal; ``on_change`` is told of each case that has changed and is kept."""

    def __init__(self, keeping: CaseStore, jitter: Jitter = random.random) -> None:
        self._keeping: Final = keeping
        self._shelf: Final = keeping.shelf
        self._now_ms: Final = keeping.now_ms
        self._jitter: Final = jitter
        self.early: Final = EarlyReportLog(keeping)
        self.sight: Final = PeerVisibility()
        self._down: frozenset[Channel] = frozenset()

    @classmethod
    async def open(
        cls,
        folder: Path,
        key: bytes,
        *,
        now_ms: Callable[[], int],
        jitter: Jitter = random.random,
        on_change: Callable[[JournalCase], None] | None = None,
        limits: JournalLimits = JOURNAL_LIMITS,
    ) -> "LocalLedger":
        """The ledger in ``folder``, or an empty one. Raises `alerts.journal.append_log.InUse`, OSError."""
        keeping = CaseStore(folder, key, now_ms, on_change, limits)
        if unread := await keeping.open():
            log.error("%d records of the journal make no sense", unread)
        return cls(keeping, jitter)

    async def close(self) -> None:
        """Write what waits, and let go of the folder."""
        await self._keeping.close()

    # --- what happens to an alert

    async def press(self, press: Press, circumstances: Circumstances, *, acting: bool = True) -> Taken:
        """Keep a press for good. Unless ``acting`` the case is not escalated here until `act` says so."""
        own_id = alert_id_of(press.tenant, press.driver, press.sos_id)
        while True:
            found = self._shelf.of_press(press.tenant, press.driver, press.sos_id)
            is_known = found is not None
            if found is None:
                found = self._shelf.open_of(press.tenant, press.driver, press.drill)
            if found is None or not await self._keeping.free(found.case.alert.alert_id):
                break
        now_ms = self._now_ms()
        if found is not None and is_known:
            await self._keeping.flushed()
            alert = found.case.alert
            return Taken(alert, "local", created=False, joined=alert.alert_id != own_id)
        if found is None:
            changes = cases.opened(press, circumstances, now_ms)
            kept = JournalCase(changes.case, (press,), changes.audit, acting, now_ms)
        else:
            case = settled_into(found.case, now_ms)
            changes = cases.joined(case, press, circumstances, now_ms)
            kept = self._keeping.after(found, changes, now_ms)
            kept = replace(kept, presses=(*found.presses, press), acting=found.acting or acting)
        await self._keeping.keep(found, kept, changes.next_ms, need=Need.PRESS)
        return Taken(changes.case.alert, "local", created=found is None, joined=found is not None)

    async def apply(self, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event; by the id that a press promised, too."""
        changes = await self._keeping.change(
            alert_id, lambda case, now_ms: cases.applied(case, event, now_ms)
        )
        return None if changes is None else Applied(changes.case.alert, changes.refused)

    async def complete(self, alert_id: UUID, rows: Circumstances) -> Alert | None:
        """Complete the snapshot of a local copy from what Postgres has; None: the case is not here."""
        changes = await self._keeping.change(
            alert_id, lambda case, now_ms: cases.completed(case, rows, now_ms, self._down)
        )
        return None if changes is None else changes.case.alert

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into, as the disk has it."""
        found = self._shelf.of_press(tenant, driver, sos_id)
        seen = None if found is None else self._shelf.seen(found.case.alert.alert_id)
        return None if seen is None else seen.case.alert

    async def look(self, alert_id: UUID) -> Case | None:
        """The case; by the id that a press promised, too."""
        kept = self.get(alert_id)
        return None if kept is None else kept.case

    # --- escalation and delivery

    async def advance(self, limit: int, down: frozenset[Channel] = frozenset()) -> int:
        """Escalate up to ``limit`` alerts that this process acts on; how many were changed."""
        self._down = down
        now_ms = self._now_ms()
        writes: list[asyncio.Future[None]] = []
        for kept in self._shelf.due(now_ms, down):
            if len(writes) >= limit:
                break
            alert_id = kept.case.alert.alert_id
            if alert_id in self._keeping.closing or self._is_early(kept, now_ms):
                continue
            changes = cases.advanced(settled_into(kept.case, now_ms), now_ms, down)
            after = self._keeping.after(kept, changes, now_ms)
            self._shelf.note_next(alert_id, changes.next_ms)
            if after != kept:
                writes.append(self._keeping.keep(kept, after, changes.next_ms))
        await _all(writes)
        return len(writes)

    async def anything_due(self) -> bool:
        """Whether a case that this process acts on, or a message of one, waits for somebody."""
        now_ms = self._now_ms()
        waiting = (claim_ms(a) for kept in self._shelf.acting() for a in kept.case.attempts.values())
        return bool(self._shelf.due(now_ms, self._down)) or any(
            due_ms is not None and due_ms <= now_ms for due_ms in waiting
        )

    async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
        """Lease due attempts of what this process acts on, an SOS first."""
        if not self.sight.may_send():
            return []
        now_ms = self._now_ms()
        until_ms = now_ms + int(lease_s * 1000)
        wanted = frozenset(one.channel for one in slots.wanted)
        found = [
            (urgency(attempt, kept.case.alert), due_ms, kept, attempt)
            for kept in self._shelf.acting()
            if kept.case.alert.alert_id not in self._keeping.closing
            for attempt in kept.case.attempts.values()
            if attempt.channel in wanted and (due_ms := claim_ms(attempt)) is not None and due_ms <= now_ms
        ]
        found.sort(key=lambda one: (one[0], one[1]))
        jobs = []
        left = {one.channel: one.most for one in slots.wanted}
        for _, _, kept, attempt in found:
            if not left[attempt.channel]:
                continue
            case = kept.case
            if slots.take(attempt.attempt_id, lane_in(case.copy, attempt, case.alert)):
                left[attempt.channel] -= 1
                contact = contact_of(case.copy, attempt)
                elsewhere = self.sight.is_elsewhere(case.alert, now_ms)
                jobs.append(
                    DeliveryJob(leased(attempt, by, until_ms), case.alert, contact, case.copy, elsewhere)
                )
        by_alert: dict[UUID, list[DeliveryJob]] = {}
        for job in jobs:
            by_alert.setdefault(job.alert.alert_id, []).append(job)
        await _all([self._lease(alert_id, some, now_ms) for alert_id, some in by_alert.items()])
        return jobs

    def _is_early(self, kept: JournalCase, now_ms: int) -> bool:
        late_ms = self.sight.lateness_ms(kept.case.alert, now_ms)
        next_ms = self._shelf.next_of(kept.case.alert.alert_id)
        return late_ms > 0 and next_ms is not None and now_ms < next_ms + late_ms

    def _lease(self, alert_id: UUID, jobs: Sequence[DeliveryJob], now_ms: int) -> "asyncio.Future[None]":
        kept = self._shelf.planned(alert_id)
        assert kept is not None
        sending = {job.attempt.attempt_id: replace(job.attempt, status=Status.SENDING) for job in jobs}
        self._keeping.sends(alert_id, list(sending), jobs[0].attempt.lease_until_ms or now_ms)
        case = replace(kept.case, attempts=kept.case.attempts | sending)
        after = replace(kept, case=case, changed_ms=now_ms)
        return self._keeping.keep(kept, after, self._shelf.next_of(alert_id))

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        """Record what became of a claimed attempt.

        Of what a holder says after its lease went to another only this counts: that the message was sent.
        """
        alert_id, attempt_id = job.alert.alert_id, job.attempt.attempt_id

        def move(case: Case, now_ms: int) -> Changes:
            stored = case.attempts.get(attempt_id)
            if stored is None:
                return Changes(case)
            if not may_settle(stored, job.attempt, outcome):
                log.warning("a former holder settled an attempt: %s", type(outcome).__name__.lower())
                if not (isinstance(outcome, Accepted) and outcome.repeat):
                    return Changes(case)
                attempts = case.attempts | {attempt_id: replace(stored, repeat=True)}
                return Changes(replace(case, attempts=attempts))
            given = of_provider(case, job.attempt)
            changes = cases.settled(given, attempt_id, outcome, now_ms, self._jitter, self._down)
            return self._with_early(changes, changes.case.attempts[attempt_id], now_ms)

        try:
            await self._keeping.change(alert_id, move)
        finally:
            self._keeping.landed(alert_id, attempt_id)

    def _with_early(self, changes: Changes, attempt: Attempt, now_ms: int) -> Changes:
        """Let what the provider said before its answer was recorded count."""
        for report in self.early.of(attempt):
            more = cases.reported(changes.case, attempt.attempt_id, report, now_ms, self._down)
            changes = replace(more, audit=changes.audit + more.audit)
        return changes

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word. One of an attempt that is not known yet is kept in memory for a while."""
        found = self._shelf.of_provider(report.provider, report.provider_id)
        if found is None:
            self.early.hear(report)
            return False
        alert_id, attempt_id = found
        moved = await self._keeping.change(
            alert_id, lambda case, now_ms: cases.reported(case, attempt_id, report, now_ms, self._down)
        )
        return moved is not None

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message."""
        alert_id = self._shelf.of_attempt(attempt_id)
        if alert_id is not None:
            await self._keeping.change(
                alert_id, lambda case, now_ms: cases.answered(case, attempt_id, now_ms)
            )

    # --- copies

    async def adopt(
        self, case: Case, presses: Sequence[Press] = (), audit: Sequence[Audit] = (), *, acting: bool = False
    ) -> JournalCase:
        """Bring another's copy of a case in; the case as it is here now. Again, it changes nothing.

        An SOS with the id of a drill comes in under its companion id, or is moved there for a drill
        (`alerts.press_ids`).
        """
        await self._keeping.free(case.alert.alert_id)
        ours = self._shelf.planned(case.alert.alert_id)
        if ours is not None and ours.case.alert.drill is not case.alert.drill:
            if not case.alert.drill:
                return await self.adopt(companion_case(case), presses, audit, acting=acting)
            await self._move_from(case.alert.alert_id)
            ours = None
        if ours is None:
            kept = JournalCase(case, tuple(presses), tuple(audit), acting, self._now_ms())
            await self._keeping.keep(None, kept, 0)
            return kept
        return await self._merge(ours, case, presses, audit, acting=acting)

    async def learn(self, case: Case, presses: Sequence[Press] = (), audit: Sequence[Audit] = ()) -> None:
        """What another knows of a case that is here. One that Postgres is getting just now does not come
        back by it: it would be acted on anew.
        """
        await self._keeping.free(case.alert.alert_id)
        ours = self._shelf.planned(case.alert.alert_id)
        if ours is None:
            return
        if ours.case.alert.drill is case.alert.drill:
            await self._merge(ours, case, presses, audit)
        elif case.alert.drill:
            await self._move_from(case.alert.alert_id)
        else:
            await self.adopt(case, presses, audit)

    async def _move_from(self, alert_id: UUID) -> None:
        """Store the SOS of this id under its companion id: another process has a drill of it.

        A message that is still being sent after `MOVE_S` is looked up at its provider.
        """
        async with self._keeping.hold(alert_id, MOVE_S) as kept:
            if kept is None or kept.case.alert.alert_id != alert_id or kept.case.alert.drill:
                return
            moved = replace(kept, case=companion_case(kept.case))
            await self._keeping.keep(None, moved, 0, need=Need.PRESS)
            await self._keeping.forget(alert_id)

    async def _merge(
        self,
        ours: JournalCase,
        case: Case,
        presses: Sequence[Press],
        audit: Sequence[Audit],
        *,
        acting: bool = False,
    ) -> JournalCase:
        now_ms = self._now_ms()
        changes = cases.merged(settled_into(ours.case, now_ms), case, now_ms)
        after = replace(
            self._keeping.after(ours, changes, now_ms),
            presses=together(ours.presses, presses),
            acting=ours.acting or acting,
        )
        after = replace(after, audit=history(after.audit, audit))
        if replace(after, changed_ms=ours.changed_ms) == ours:
            await self._keeping.flushed()
            return ours
        await self._keeping.keep(ours, after, changes.next_ms)
        return after

    async def act(self, alert_id: UUID, acting: bool) -> None:
        """Escalate and deliver the case from now on, or leave that to another process."""
        kept = self._shelf.planned(alert_id)
        if kept is not None and kept.acting is not acting:
            # To begin is as urgent as the press: an alert that no process acts on notifies no contact.
            need = Need.PRESS if acting else Need.DELIVERY
            await self._keeping.keep(kept, replace(kept, acting=acting), 0, need=need)

    def doubt(self, alert_id: UUID) -> None:
        """Another may have this press as well, and send of it: what is due is looked up first."""
        if self.get(alert_id) is not None:
            self.sight.doubt(alert_id)

    def get(self, alert_id: UUID) -> JournalCase | None:
        """The case and what belongs to it, as the disk has it; by the id that a press promised, too."""
        found = self._shelf.planned(alert_id)
        return None if found is None else self._shelf.seen(found.case.alert.alert_id)

    def all(self) -> list[JournalCase]:
        """Everything that is here, as the disk has it."""
        return self._shelf.all_seen()

    def hold(self, alert_id: UUID, hold_s: float = HOLD_S) -> AbstractAsyncContextManager[JournalCase | None]:
        """Nothing else changes the case meanwhile, and nothing new of it is sent.

        Waits for what this process is sending of it, for ``hold_s`` at most: what is then still under way is
        looked up by whoever takes it over.
        """
        return self._keeping.hold(alert_id, hold_s)

    async def forget(self, alert_id: UUID) -> None:
        """Postgres has the case."""
        self.sight.forget(alert_id)
        await self._keeping.forget(alert_id)

    @property
    def is_full(self) -> bool:
        """Whether copies of what others have are not taken any more."""
        return self._keeping.is_full


async def _all(writes: Sequence["asyncio.Future[None]"]) -> None:
    for done in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(done, BaseException):
            raise done
