"""The intake on Postgres alone: what `realtime.alerting.repository` falls back from when it is away."""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from alerts.alert import Alert, Press
from alerts.case import Case
from alerts.policy import Circumstances, Contact
from alerts.ports import Applied, Away, Taken
from realtime.alerting import last_positions
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.publisher import AlertPublisher
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.store.alerts import reads
from realtime.store.alerts.circumstances import DriverQuery, circumstances, situation
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database

RETRY_S: Final = 2.0


class StoredIntake:
    """`realtime.alerting.ports.Intake` on a ledger in Postgres. Every change is announced."""

    def __init__(
        self,
        db: Database,
        ledger: PostgresLedger,
        announcer: AlertPublisher,
        news: OpenAlerts,
        operator_of: Callable[[str], Contact | None],
    ) -> None:
        self._db = db
        self._ledger = ledger
        self._announcer = announcer
        self._news = news
        self._operator_of = operator_of

    async def press(self, press: Press) -> Taken:
        """Keep a press."""
        known, seen = await situation(
            self._db,
            press.vendor,
            DriverQuery(press.tenant, press.driver, press.journey_id),
            self._operator_of(press.tenant),
            now_ms=press.received_ms,
            seen_s=last_positions.LOOK_S,
        )
        press = last_positions.placed(press, seen, (), press.received_ms)
        try:
            taken = await self._ledger.press(press, known)
        except Away as error:
            raise _away() from error
        self._announcer.changed(taken.alert)
        return taken

    async def apply(self, tenant: str, alert_id: UUID, event: Any) -> Applied | None:
        """One event."""
        alert = await self.get(tenant, alert_id)
        if alert is None:
            return None
        try:
            applied = await self._ledger.apply(alert.alert_id, event)
        except Away as error:
            raise _away() from error
        if applied is not None:
            self._announcer.changed(applied.alert)
        return applied

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert of a press."""
        try:
            return await self._ledger.find(tenant, driver, sos_id)
        except Away as error:
            raise _away() from error

    async def get(self, tenant: str, alert_id: UUID) -> Alert | None:
        """The alert: as it is stored, or as it was heard of."""
        try:
            alert = await reads.get(self._db, tenant, alert_id)
        except Refused:
            alert = self._news.get(tenant, alert_id)
            if alert is None:
                raise
        return alert or self._news.get(tenant, alert_id)

    async def case(self, alert_id: UUID) -> Case | None:
        """All of an alert."""
        try:
            return await self._ledger.look(alert_id)
        except Away as error:
            raise _away() from error

    async def circumstances(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """What is known of a driver."""
        return await circumstances(self._db, tenant, vendor, driver, self._operator_of(tenant))


def _away() -> Refused:
    return Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=RETRY_S)
