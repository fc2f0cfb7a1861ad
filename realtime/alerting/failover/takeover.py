"""Escalates the open alerts of Postgres while Postgres is unavailable, from what was last read of them.

While Postgres answers, each process only reads its open alerts. After Postgres has been unavailable for
``take_over_after_s``, each process writes the alerts that it has read to its journal. The process that gets
the lease in Redis escalates them, as it does a press of that time, and the importer stores them in Postgres.

If Redis is unavailable too, a process cannot see which of them acts. Each then acts after a delay of its own,
one after the other (`realtime.alerting.failover.partition_detector`). While a worker still reaches Postgres,
only workers that do escalate these alerts.

An alert that cannot be escalated or sent from Postgres although Postgres answers
(`realtime.store.alerts.delivery_faults`) is written to the journal of the worker that finds this, and
delivered from there in the same way.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

from alerts.alert import Press, alert_id_of
from alerts.attempt import Status, rank
from alerts.case import Case
from alerts.leases import stood_in_for
from alerts.ports import StorageFailure
from realtime.aio import end
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.ports import Copies, Local
from realtime.store.alerts.delivery_faults import DeliveryFaults
from realtime.store.alerts.open_cases import OpenCases

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
AWAY_LOOK_S: Final = 0.5
ASK_S: Final = 5.0
AWAY_S: Final = 4.0
"""Shorter absences are waited out: what was sent is not known. Whom nobody has told yet waits for this."""
AT_ONCE: Final = 100
"""So many are written to the disk and taken up together, those first of whom nobody was told."""
LEASE_MS: Final = 30_000
"""What was being sent may still be; who stands in alone has waited for as long already."""
ASKED_MS: Final = 1_000
"""What had set out before Postgres went is at its provider by now, where that can be asked for it."""
DUE_MS: Final = 5_000
"""What no process could claim while claims failed; the last claim that worked may be later than the look."""


class Takeover:
    """`start` begins to read, and to stand in."""

    def __init__(
        self,
        reach: DatabaseGuard,
        open_cases: OpenCases,
        local: Local,
        copies: Copies,
        now_ms: Callable[[], int],
        faults: DeliveryFaults,
        announced: Callable[[], Iterable[Case]],
        *,
        take_over_after_s: float = AWAY_S,
        batch_size: int = AT_ONCE,
    ) -> None:
        self._reach: Final = reach
        self._open: Final = open_cases
        self._local: Final = local
        self._copies: Final = copies
        self._now_ms: Final = now_ms
        self._faults: Final = faults
        self._announced: Final = announced
        self._take_over_after_s: Final = take_over_after_s
        self._batch_size: Final = batch_size
        self._stood_in = 0
        """The absence in which it did."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Look no more."""
        await end(self._tasks)

    async def beat(self) -> None:
        """Read what is open, and deliver from the journal what Postgres fails; or, with Postgres unavailable
        for long enough, stand in once. Raises StorageFailure.
        """
        if self._reach.is_up:
            try:
                await self._reach.ask(self._open.look, ASK_S)
            finally:
                if self._reach.is_up:
                    await self._stand_in_for_faults()
        elif self._stood_in != (absence := self._reach.losses) and self._is_wanted:
            await self._stand_in()
            self._stood_in = absence

    @property
    def _is_wanted(self) -> bool:
        if self._copies.stands_in:
            return True
        return (
            self._reach.lost_for_s >= self._take_over_after_s
            and self._copies.is_up
            and not self._copies.is_served
        )

    def note(self, case: Case) -> None:
        """This process has committed it just now: it is known before the next look."""
        self._open.note(case)

    def of_press(self, press: Press) -> Case | None:
        """What a press belongs to, as one who stands in has it: its own alert, else the driver's open one.

        What was due is looked up at once: the escalation would take a wait for a provider in trouble.
        """
        cases = self._open.cases
        case = cases.get(alert_id_of(press.tenant, press.driver, press.sos_id))
        whose = (press.tenant, press.driver, press.drill)
        for other in cases.values() if case is None else ():
            if (other.alert.tenant, other.alert.driver, other.alert.drill) == whose:
                case = other
        return None if case is None else stood_in_for(case, self._now_ms(), 0, 0)

    def case_of(self, alert_id: UUID) -> Case | None:
        """An open alert as it was last read, with what was due of it to be looked up at once."""
        case = self._open.cases.get(alert_id)
        return None if case is None else stood_in_for(case, self._now_ms(), 0, 0)

    async def _stand_in(self) -> None:
        if self._open.cases:
            log.warning("%d open alerts go on without postgres", len(self._open.cases))
        waiting = sorted(self._open.cases.values(), key=_was_told)
        for at in range(0, len(waiting), self._batch_size):
            if self._reach.is_up:
                return
            some = waiting[at : at + self._batch_size]
            await asyncio.gather(*map(self._adopt, some))
            await self._copies.turn(*(case.alert.alert_id for case in some))

    async def _stand_in_for_faults(self) -> None:
        """Write to the journal what is not delivered from Postgres although Postgres answers, and act on it.

        Its messages are looked up at their providers before they are sent: the one that was being recorded
        when the fault began may have been sent.
        """
        everything = self._faults.all_fail
        failing = None if everything else set(self._faults.failing)
        if failing is not None and not failing:
            return
        known = {case.alert.alert_id: case for case in self._announced()} | self._open.cases
        lacking = [
            case
            for alert_id, case in known.items()
            if (failing is None or alert_id in failing) and not self._is_in_a_journal(alert_id)
        ]
        lacking.sort(key=_was_told)
        if lacking:
            log.error("%d open alerts are delivered from the journal: postgres fails them", len(lacking))
        for at in range(0, len(lacking), self._batch_size):
            some = lacking[at : at + self._batch_size]
            await asyncio.gather(*map(self._adopt_failing, some))
            await self._copies.turn(*(case.alert.alert_id for case in some))

    def _is_in_a_journal(self, alert_id: UUID) -> bool:
        """Whether a process acts on the alert from a journal."""
        ours, copy = self._local.get(alert_id), self._copies.copy_of(alert_id)
        return (ours is not None and ours.acting) or (copy is not None and copy.acting)

    async def _adopt_failing(self, case: Case) -> None:
        kept = await self._local.adopt(stood_in_for(case, self._now_ms(), LEASE_MS, ASKED_MS, DUE_MS))
        self._local.doubt(case.alert.alert_id)
        await self._copies.share(kept)

    async def _adopt(self, case: Case) -> None:
        alert_id = case.alert.alert_id
        is_ours = self._local.get(alert_id) is not None
        lease_ms, asked_ms = (LEASE_MS, ASKED_MS) if self._copies.is_up else (0, 0)
        kept = await self._local.adopt(stood_in_for(case, self._now_ms(), lease_ms, asked_ms))
        if not is_ours:
            self._copies.share_later(kept)

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except StorageFailure:
                log.debug("the open alerts cannot be read")
            except Exception as error:  # its own text may quote a row
                log.error("the open alerts cannot be kept up with: %s", type(error).__name__)
            await asyncio.sleep(LOOK_S if self._reach.is_up else AWAY_LOOK_S)


def _was_told(case: Case) -> bool:
    """Whether somebody was: a provider took a message."""
    return any(rank(attempt.status) >= rank(Status.SENT) for attempt in case.attempts.values())
