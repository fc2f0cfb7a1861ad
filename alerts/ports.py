"""What the services of the alert engine need from outside, and what they offer each other."""

from collections.abc import Sequence
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from alerts.alert import Alert, Press
from alerts.attempt import Attempt, Channel, Outcome, StatusReport, Unsure
from alerts.events import CaseEvent
from alerts.leases import Lane
from alerts.policy import Circumstances, Contact, PolicyCopy

Durability = Literal["committed", "replicated", "local"]


class StorageFailure(Exception):
    """Storage did not do it; nothing was changed, or it is not known whether it was. Never raised itself."""


class StorageUnavailable(StorageFailure):
    """Storage does not answer now: the same again may succeed later."""


class StorageRejected(StorageFailure):
    """Storage answers and refuses this: the same again will hardly succeed."""


class Taken(Struct, frozen=True):
    """What became of a press. ``joined``: it went into an alert that was open already."""

    alert: Alert
    durability: Durability
    created: bool
    joined: bool


class Applied(Struct, frozen=True):
    """What became of an event. ``refused`` is a reason when it changed nothing, None when it did."""

    alert: Alert
    refused: str | None = None


class DeliveryJob(Struct, frozen=True):
    """One claimed attempt with all that is needed to send it without asking anybody."""

    attempt: Attempt
    alert: Alert
    contact: Contact
    copy: PolicyCopy
    elsewhere: bool = False
    """Another process, which cannot be seen now, may have sent it."""
    opted_out: bool = False
    """The number has said STOP since the alert took it along."""


class Wanted(Struct, frozen=True):
    """How many attempts of ``channel`` one claim may lease: ``most``, and SOS alone where ``only_sos``."""

    channel: Channel
    most: int
    only_sos: bool = False


class FullLanes(Struct, frozen=True):
    """Lanes that take nothing now, so that a ledger need not read what waits in them.

    A hint: `Reservation.take` decides. ``tenants``: of (channel, tenant). ``hosts``: of (tenant, host), the
    tenant empty when the host is full for all. ``…_but_sos``: those that take an SOS.
    """

    tenants: frozenset[tuple[Channel, str]] = frozenset()
    tenants_but_sos: frozenset[tuple[Channel, str]] = frozenset()
    hosts: frozenset[tuple[str, str]] = frozenset()
    hosts_but_sos: frozenset[tuple[str, str]] = frozenset()


class Reservation(Protocol):
    """The slots of one claim. A ledger leases no attempt that `take` has not given a slot."""

    @property
    def wanted(self) -> Sequence[Wanted]:
        """The channels with free slots; a positive number each."""

    @property
    def full(self) -> FullLanes:
        """What can be passed over."""

    def take(self, attempt_id: UUID, lane: Lane) -> bool:
        """Take a slot for an attempt that is about to be leased; False when there is none for its lane.

        Does not wait. Asked again for the same attempt (a transaction that is repeated) it says the same and
        takes no second slot.
        """


class Ledger(Protocol):
    """Where cases live: `realtime.store.alerts.ledger` in Postgres, `alerts.journal` in a file while that is
    away.

    Both load a case, call the pure functions of `alerts.case`, and keep what changed. Everything raises
    StorageFailure when the storage is. Reasons for refusals are the values of `alerts.alert.Refusal`.
    """

    async def press(self, press: Press, circumstances: Circumstances) -> Taken:
        """Keep a press for good: alert, first attempts and audit in one durable step.

        Is idempotent by ``sos_id``.
        """

    async def apply(self, alert_id: UUID, event: CaseEvent) -> Applied | None:
        """One event of `alerts.alert.Event`, authorised by the caller; None when there is no such alert."""

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        """The alert that a press went into."""

    async def advance(self, limit: int, down: frozenset[Channel] = frozenset()) -> int:
        """Escalate up to ``limit`` alerts whose time has come; how many were changed.

        ``down``: channels whose provider's breaker is open; alerts with an attempt waiting in one are looked
        at too.
        """

    async def anything_due(self) -> bool:
        """Whether an alert or an attempt waits for somebody."""

    async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
        """Due attempts, and those in `sending` whose lease is over, leased to ``by``, an SOS first.

        Each has a slot of ``slots``; what has none stays for the next claim, here or in another process.

        They are committed as ``sending`` when this returns. A job's attempt has the status from before: DUE
        is to be sent; SENDING (a take-over) and UNSURE (a lost reply) are to be looked up first, and so is
        what may have been sent ``elsewhere``.
        """

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        """Record what became of a claimed attempt, and the retry that follows from it."""

    async def report(self, report: StatusReport) -> bool:
        """A provider's later word; False when no attempt has that provider id (yet)."""

    async def answered(self, attempt_id: UUID) -> None:
        """The person acted on this message."""


class Notifier(Protocol):
    """One way out. Never raises for what a provider does; bounded by ``timeout_s`` in all."""

    channel: Channel
    provider: str

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Try once."""

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """Whether an earlier try of this attempt arrived at the provider: its report, None when it surely did
        not, Unsure when that cannot be known (there is no look-up, or the provider is away).
        """

    async def close(self) -> None:
        """Let go of connections."""
