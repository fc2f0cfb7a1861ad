"""What the hooks ask of the rest."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from alerts.attempt import StatusReport
from alerts.case import Case
from alerts.events import Event
from alerts.ports import Applied
from realtime.store.people.replies import LastMessage


class Alerts(Protocol):
    """Part of `realtime.alerting.ports.Intake`. Raises Refused(unavailable)."""

    async def case(self, alert_id: UUID) -> Case | None:
        """All of an alert, whatever its tenant."""

    async def apply(self, tenant: str, alert_id: UUID, event: Event) -> Applied | None:
        """One event of an alert."""


class Reports(Protocol):
    """Part of `alerts.ports.Ledger`. Raises StorageFailure."""

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word; False when no attempt has that provider id yet."""

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message."""


class Book(Protocol):
    """Numbers and answers that are known: `realtime.store.people.replies`. Raises Refused(unavailable)."""

    async def last_asked(self, phone: str) -> list[LastMessage]:
        """The last message to ``phone`` about each open alert, in whichever spelling the alert has it."""

    def ordered(self, phone: str) -> AbstractAsyncContextManager[None]:
        """Apply the texts of ``phone`` one after the other, on all workers. Never raises."""

    async def bound(self, message_id: str) -> LastMessage | None:
        """The alert that an earlier delivery of this text was for. Never raises."""

    async def bind(self, message_id: str, asked: LastMessage) -> LastMessage:
        """Store which alert a text is for, before it is applied; what to apply it to. Never raises."""

    async def is_known(self, answer_id: str) -> bool:
        """Whether this answer has taken effect."""

    async def keep(self, answer_id: str) -> None:
        """This answer has taken effect."""

    def language_of(self, phone: str) -> str | None:
        """The language of the contact who has ``phone``; None: no contact is known."""

    async def opt_out(self, phone: str) -> int | None:
        """``phone`` wants nothing more; in how many tenants that is new, None = unknown."""

    async def opt_in(self, phone: str) -> int | None:
        """``phone`` wants messages again; as `opt_out`."""
