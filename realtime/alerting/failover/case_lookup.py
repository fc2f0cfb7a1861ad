"""The case that a press belongs to, found without Postgres: among the copies of the others, what Postgres
had, and what was announced. A press that comes again must not tell everybody again.
"""

from collections.abc import Callable
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Alert, Press, alert_id_of
from alerts.case import Case
from alerts.leases import stood_in_for
from alerts.policy import Circumstances, copy_of
from alerts.ports import Taken
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.failover.takeover import Takeover
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import Copies, Local


class CaseLookup:
    """`adopt` before the journal takes a press; `committed` when Postgres took one."""

    def __init__(
        self,
        local: Local,
        copies: Copies,
        shadow: Takeover,
        directory: ContactCache,
        news: OpenAlerts,
        now_ms: Callable[[], int],
    ) -> None:
        self._local: Final = local
        self._copies: Final = copies
        self._shadow: Final = shadow
        self._directory: Final = directory
        self._news: Final = news
        self._now_ms: Final = now_ms

    def committed(self, press: Press, known: Circumstances, taken: Taken) -> None:
        """Postgres has taken ``press``, and may be away before anybody has read that."""
        if taken.created:
            opened = cases.opened(press, known, taken.alert.raised_ms).case
            self._shadow.note(replace(opened, alert=taken.alert))

    async def adopt(self, press: Press) -> None:
        """Make ours what ``press`` may belong to. Raises StorageFailure."""
        tenant, driver = press.tenant, press.driver
        copy = self._copies.find(tenant, driver, press.sos_id)
        copy = copy or self._copies.open_of(tenant, driver, press.drill)
        if copy is not None:
            await self._local.adopt(copy.case, copy.presses, copy.audit)
            return
        case = self._shadow.of_press(press) or self._announced(press)
        if case is not None and self._local.get(case.alert.alert_id) is None:
            await self._local.adopt(case)

    def case_read(self, alert_id: UUID) -> Case | None:
        """An alert of any tenant as it was last read from Postgres, for a signed link."""
        return self._shadow.case_of(alert_id)

    def case_of(self, tenant: str, alert_id: UUID) -> Case | None:
        """An alert of ``tenant`` as it was last read from Postgres, or as it was announced; what is due of it
        is looked up at the provider before it is sent.
        """
        case = self._shadow.case_of(alert_id)
        if case is None:
            return self._of_announcement(tenant, alert_id)
        return case if case.alert.tenant == tenant else None

    def announced(self) -> list[Case]:
        """All open alerts as they were announced, for one that cannot be read from Postgres."""
        return [self._begun(alert) for alert in self._news.all_open()]

    def _announced(self, press: Press) -> Case | None:
        """The alert of this very press, which another process took and this one has not read yet."""
        return self._of_announcement(press.tenant, alert_id_of(press.tenant, press.driver, press.sos_id))

    def _of_announcement(self, tenant: str, alert_id: UUID) -> Case | None:
        """Its first messages are being sent: they are looked up before they are sent again."""
        alert = self._news.get(tenant, alert_id)
        return None if alert is None else stood_in_for(self._begun(alert), self._now_ms(), 0, 0)

    def _begun(self, alert: Alert) -> Case:
        known = self._directory.of(alert.tenant, alert.vendor, alert.driver)
        return cases.advanced(Case(alert, copy_of(known, alert.kind), {}), alert.raised_ms).case
