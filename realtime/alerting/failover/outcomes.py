"""What became of a message that a worker was sending when Postgres went away: the journal keeps it and the
others see it, so nobody sends it again.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from alerts.attempt import Status, rank
from alerts.case import Case
from alerts.delivery.send import SendResult
from alerts.leases import stood_in_for
from alerts.ports import DeliveryJob
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.takeover import ASKED_MS, LEASE_MS
from realtime.alerting.ports import Copies, Local
from realtime.store.alerts.delivery_faults import DeliveryFaults
from realtime.store.alerts.open_cases import OpenCases


class Outcomes:
    """`keep` is `alerts.delivery.recorder.Keep` on the journal of this process."""

    def __init__(
        self,
        reach: DatabaseGuard,
        open_cases: OpenCases,
        local: Local,
        copies: Copies,
        faults: DeliveryFaults,
        now_ms: Callable[[], int],
    ) -> None:
        self._reach: Final = reach
        self._faults: Final = faults
        self._now_ms: Final = now_ms
        self._open: Final = open_cases
        self._local: Final = local
        self._copies: Final = copies

    async def keep(self, tried: SendResult) -> bool:
        """Whether it is on the disk. Not while Postgres may take it in a moment; not of an alert that was not
        read here yet: a case with one message in it would be escalated as if there were no others.

        Raises StorageFailure when the journal cannot be written.
        """
        job = tried.job
        alert_id = job.alert.alert_id
        known = self._local.get(alert_id)
        case = self._read(alert_id) if known is None else known.case
        is_awaited = self._reach.is_up and known is None and not self._faults.fails(alert_id)
        if is_awaited or case is None:
            return False
        await self._local.adopt(_claimed(case, job))
        await self._local.settle(job, tried.outcome)
        if tried.report is not None:
            await self._local.report(tried.report)
        kept = self._local.get(alert_id)
        if kept is not None:
            await self._copies.share(kept)
            await self._copies.turn(alert_id)
        return True

    def _read(self, alert_id: UUID) -> Case | None:
        """The alert as it was last read; what was due then may be on its way from this process."""
        case = self._open.cases.get(alert_id)
        return None if case is None else stood_in_for(case, self._now_ms(), LEASE_MS, ASKED_MS)


def _claimed(case: Case, job: DeliveryJob) -> Case:
    """``case`` with its attempt as ``job`` claimed it, unless more is known of that."""
    known = case.attempts.get(job.attempt.attempt_id)
    if known is not None and rank(known.status) > rank(Status.SENDING):
        return case
    claimed = replace(job.attempt, status=Status.SENDING)
    return replace(case, attempts=case.attempts | {claimed.attempt_id: claimed})
