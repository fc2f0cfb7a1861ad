"""What the edges ask of the alert engine: the intake, and those who want to hear of every change."""

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from alerts.alert import Alert, Press
from alerts.case import Case
from alerts.policy import Circumstances
from alerts.ports import Applied, Taken

Heard = Callable[[Alert], None]
"""Is told of an alert as it stands now, each version at most once. Must not block."""


class Intake(Protocol):
    """Takes what happens to alerts, with Postgres there or not. Raises Refused(unavailable) if it cannot."""

    async def press(self, press: Press) -> Taken:
        """Keep a press durably. Idempotent by ``sos_id``."""

    async def apply(self, tenant: str, alert_id: UUID, event: Any) -> Applied | None:
        """One event of an alert; None when ``tenant`` has none of that id. The caller has authorised it."""

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into."""

    async def get(self, tenant: str, alert_id: UUID) -> Alert | None:
        """The alert, wherever it is kept; also by the id that a press promised before it joined."""

    async def case(self, alert_id: UUID) -> Case | None:
        """All of an alert, whatever its tenant: for a signed link, which names none."""

    async def circumstances(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """What is known of a driver: PINs, contacts, policies. From the local copy with Postgres away."""
