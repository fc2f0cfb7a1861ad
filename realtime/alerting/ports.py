"""What the edges ask of the alert engine: the intake, and those who want to hear of every change."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from alerts.alert import Alert, Press
from alerts.attempt import Outcome, StatusReport
from alerts.case import Audit, Case
from alerts.events import CaseEvent
from alerts.journal.records import JournalCase
from alerts.policy import Circumstances
from alerts.ports import Applied, DeliveryJob, Taken
from realtime.store.people.replies import LastMessage

Heard = Callable[[Alert], None]
"""Is told of an alert as it stands now, each version at most once. Must not block."""


class Intake(Protocol):
    """Takes what happens to alerts, with Postgres there or not. Raises Refused(unavailable) if it cannot."""

    async def press(self, press: Press) -> Taken:
        """Keep a press durably. Idempotent by ``sos_id``."""

    async def apply(self, tenant: str, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event of an alert; None when ``tenant`` has none of that id. The caller has authorised it."""

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into."""

    async def get(self, tenant: str, alert_id: UUID) -> Alert | None:
        """The alert, wherever it is kept; also by the id that a press promised before it joined."""

    async def case(self, alert_id: UUID) -> Case | None:
        """All of an alert, whatever its tenant: for a signed link, which names none."""

    async def circumstances(self, tenant: str, vendor: str, driver: str) -> Circumstances:
        """What is known of a driver: PINs, contacts, policies. From the local copy with Postgres away."""


# --- with Postgres away


class LocalCase(Protocol):
    """A case that a process keeps, with the presses that went into it and what happened meanwhile."""

    @property
    def case(self) -> Case:
        """As it stands."""

    @property
    def acting(self) -> bool:
        """Whether this process escalates it and sends its messages."""

    @property
    def presses(self) -> tuple[Press, ...]:
        """All that went into it here."""

    @property
    def audit(self) -> tuple[Audit, ...]:
        """What happened to it here."""


class EarlyReports(Protocol):
    """Reports of providers about unknown messages, on this disk. Everything raises StorageFailure."""

    async def keep(self, report: StatusReport) -> None:
        """Have it until `forget`."""

    def kept(self) -> Sequence[StatusReport]:
        """All of them."""

    async def forget(self, report: StatusReport) -> None:
        """Postgres has it."""


class Local(Protocol):
    """What the repository asks of the journal of this process. Everything raises StorageFailure."""

    @property
    def early(self) -> EarlyReports:
        """Providers' words of nothing that is here."""

    async def press(self, press: Press, circumstances: Circumstances, *, acting: bool = True) -> Taken:
        """Keep a press on disk. Idempotent by ``sos_id``. A new case is acted on here if ``acting``."""

    async def apply(self, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event of a case that is here."""

    async def complete(self, alert_id: UUID, rows: Circumstances) -> Alert | None:
        """Complete the snapshot of a local copy from what Postgres has; None: the case is not here."""

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into, if it is here."""

    async def look(self, alert_id: UUID) -> Case | None:
        """The case, if it is here; also by the id that a press promised before it joined."""

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        """What became of a claimed message of a case that is here."""

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word; False when it speaks of nothing that is here."""

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message."""

    async def adopt(
        self, case: Case, presses: tuple[Press, ...] = (), audit: tuple[Audit, ...] = ()
    ) -> JournalCase:
        """Bring another's copy in, to be acted upon by whoever does now; the case as it is here then."""

    def doubt(self, alert_id: UUID) -> None:
        """Another may have its press as well, and send of it: what is due is looked up first."""

    def get(self, alert_id: UUID) -> JournalCase | None:
        """The case and what belongs to it."""

    def all(self) -> Sequence[JournalCase]:
        """Everything that is here."""

    def hold(self, alert_id: UUID) -> AbstractAsyncContextManager[JournalCase | None]:
        """Nothing else changes the case meanwhile, and no message of it is under way."""

    async def forget(self, alert_id: UUID) -> None:
        """Postgres has it. Inside `hold` alone."""


class Copies(Protocol):
    """The cases of the other processes, as far as they have shown them."""

    @property
    def is_up(self) -> bool:
        """Whether the others can be seen now."""

    @property
    def is_served(self) -> bool:
        """Whether some process delivers alerts from Postgres."""

    @property
    def stands_in(self) -> bool:
        """Whether neither they nor Postgres were seen for so long that all that is known is acted on here."""

    def is_anothers(self, alert_id: UUID) -> bool:
        """Whether another process acts on it, and will bring it in."""

    async def share(self, kept: JournalCase) -> bool:
        """Show the others a case that is kept here; whether they can have it now. Bounded."""

    def share_later(self, kept: JournalCase) -> None:
        """The others have it from Postgres as well: they are shown it when something happens to it."""

    async def withdraw(self, *alert_ids: UUID) -> None:
        """Postgres has them."""

    async def read_anew(self) -> None:
        """Read what the others have shown until now. Bounded; never raises."""

    def copy_of(self, alert_id: UUID) -> LocalCase | None:
        """A case by its id."""

    def find(self, tenant: str, driver: str, sos_id: UUID) -> LocalCase | None:
        """The case that a press went into."""

    def open_of(self, tenant: str, driver: str, drill: bool) -> LocalCase | None:
        """The driver's open case."""

    async def turn(self, *alert_ids: UUID) -> None:
        """Cases were pressed or taken up here: act on each, unless another does. Raises StorageFailure."""

    def of_provider(self, provider: str, provider_id: str) -> LocalCase | None:
        """The case of a message that a provider speaks of."""

    def last_asked(self, phone: str) -> list[LastMessage]:
        """The last message to a phone about each open alert."""
