"""One attempt to reach one contact by one channel: its states, which only move forward, and what follows. Pure."""

from enum import StrEnum
from uuid import UUID

from msgspec import Struct


class Channel(StrEnum):
    """A way to a person."""

    SOCKET = "socket"
    """The live pages and the apps: an alert event."""
    PUSH = "push"
    SMS = "sms"
    CALL = "call"
    EMAIL = "email"
    WEBHOOK = "webhook"


class Purpose(StrEnum):
    """What it tells."""

    ALERT = "alert"
    ALL_CLEAR = "all_clear"
    """A false alarm, to everyone who was told."""
    CLOSED = "closed"
    """Resolved, to everyone who was told."""
    REMINDER = "reminder"
    """To the acknowledger, before their silence returns the alert to active."""
    EXHAUSTED = "exhausted"
    """To the operator: nobody could be reached."""
    CODE = "code"
    """The code that verifies a contact's address. Never touches the budget of an SOS."""


class Status(StrEnum):
    """How far it is, in the order in which it can move; `rank` compares."""

    DUE = "due"
    SENDING = "sending"
    """Committed before the provider is called."""
    UNSURE = "unsure"
    """It may have been sent: the reply was lost. To be looked up at the provider, then sent again as a repeat."""
    SENT = "sent"
    """The provider has it."""
    DELIVERED = "delivered"
    """It is on the person's device."""
    ANSWERED = "answered"
    """The person acted on it."""
    FAILED = "failed"
    """For good; ``reason`` says why. A retry is an attempt of its own."""


class Attempt(Struct, frozen=True):
    """One row of ``alert_attempts``."""

    attempt_id: UUID
    """`attempt_id_of` its alert, purpose, round, step, contact, channel and number."""
    alert_id: UUID
    tenant: str
    purpose: Purpose
    round: int
    step: int
    contact_id: str
    channel: Channel
    number: int
    """1, 2, 3 … of the same message to the same contact by the same channel."""
    status: Status
    due_ms: int
    created_ms: int
    repeat: bool = False
    """Sent although an earlier one may have arrived."""
    lease_by: str | None = None
    lease_until_ms: int | None = None
    sent_ms: int | None = None
    delivered_ms: int | None = None
    settled_ms: int | None = None
    provider: str | None = None
    provider_id: str | None = None
    provider_status: str | None = None
    """The provider's own last word: a status, or an error code."""
    reason: str | None = None
    """Of a failure: a fixed word, never a coordinate, a number or a secret."""


# --- what a notifier answers


class Accepted(Struct, frozen=True, tag="accepted"):
    """The provider has taken it; ``delivered`` when that already means the person's device has it.

    ``repeat``: an earlier try of the same attempt may have arrived too, see `Attempt.repeat`.
    """

    provider_id: str | None
    status: str
    delivered: bool = False
    repeat: bool = False


class Retryable(Struct, frozen=True, tag="retryable"):
    """It was surely not sent and may be later; ``retry_after_s`` when the provider named a time."""

    reason: str
    retry_after_s: float | None = None
    provider_down: bool = False
    """Whether this speaks against the provider (5xx, refused, timeout), not only against this message."""


class Permanent(Struct, frozen=True, tag="permanent"):
    """It will never arrive this way; ``prune`` when the address itself is dead (an unregistered push token)."""

    reason: str
    prune: bool = False


class Unsure(Struct, frozen=True, tag="unsure"):
    """The reply was lost: it may have been sent."""

    reason: str
    repeat: bool = False


Outcome = Accepted | Retryable | Permanent | Unsure


class StatusReport(Struct, frozen=True):
    """What a provider's callback (or a look-up) says of an earlier send; only ever moves an attempt forward."""

    provider: str
    provider_id: str
    status: Status
    provider_status: str
    reason: str | None = None
