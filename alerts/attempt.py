"""One attempt to reach one contact by one channel: its states, which only move forward. Pure.

What follows from a provider's answer is in `alerts.retry`.
"""

from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace


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
    ON_IT = "on_it"
    """Somebody acknowledged: to the others who were told, by push alone."""
    REMINDER = "reminder"
    """To the acknowledger, before their silence returns the alert to active."""
    EXHAUSTED = "exhausted"
    """To the operator: nobody could be reached."""
    CODE = "code"
    """The code that verifies a contact's address. Never touches the budget of an SOS."""
    TEST = "test"
    """A test message: it shows a person that messages reach a contact. No alert is behind it."""


OF_NO_ALERT = frozenset({Purpose.CODE, Purpose.TEST})
"""Messages without an alert: they have no link, no callback and no row in a ledger."""


ASKING: Final = frozenset({Purpose.ALERT, Purpose.REMINDER, Purpose.EXHAUSTED})
"""Purposes with a question in them: a key pressed in the call, a reply or the link answers it."""
NO_KEY: Final = "no_key"
"""Why a call failed that was picked up, by a person or a mailbox, and ended without a key."""


class Status(StrEnum):
    """How far it is; `rank` says which is further."""

    DUE = "due"
    SENDING = "sending"
    """Committed before the provider is called."""
    UNSURE = "unsure"
    """It may have been sent: the reply was lost. To be looked up, then sent again as a repeat."""
    SENT = "sent"
    """The provider has it."""
    DELIVERED = "delivered"
    """It is on the person's device. A call that asks for a key never is: see `needs_key`."""
    ANSWERED = "answered"
    """The person acted on it."""
    FAILED = "failed"
    """``reason`` says why. A retry is an attempt of its own."""


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
    beside: tuple[str, ...] = ()
    """Contacts of the same step some of whose devices are this contact's too: their messages go to those."""


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
    address_failed: bool = False
    """Whether the address itself could not take it (a full mailbox). An account's rate limit is none."""


class Permanent(Struct, frozen=True, tag="permanent"):
    """It will never arrive this way; ``prune`` when the address is dead (an unregistered push token)."""

    reason: str
    prune: bool = False


class Unsure(Struct, frozen=True, tag="unsure"):
    """The reply was lost: it may have been sent."""

    reason: str
    repeat: bool = False


Outcome = Accepted | Retryable | Permanent | Unsure


class StatusReport(Struct, frozen=True):
    """What a provider's callback (or a look-up) says of an earlier send; it only moves an attempt forward."""

    provider: str
    provider_id: str
    status: Status
    provider_status: str
    reason: str | None = None


# --- ids and moves


_NAMESPACE: Final = UUID("5a0f5b9e-3c1d-5f6e-9d0a-77a79a7d5a06")
_RANK: Final = {
    Status.DUE: 0,
    Status.SENDING: 1,
    Status.UNSURE: 1,
    Status.SENT: 2,
    Status.FAILED: 3,
    Status.DELIVERED: 4,
    Status.ANSWERED: 5,
}


def attempt_id_of(
    alert_id: UUID, purpose: Purpose, round_: int, step: int, contact_id: str, channel: Channel, number: int
) -> UUID:
    """The id of an attempt: whoever plans the same one makes the same id, so a merge never doubles it."""
    parts = (str(alert_id), purpose.value, str(round_), str(step), channel.value, str(number), contact_id)
    return uuid5(_NAMESPACE, "\0".join(parts))


def planned_attempt(
    alert_id: UUID,
    tenant: str,
    purpose: Purpose,
    round_: int,
    step: int,
    contact_id: str,
    channel: Channel,
    now_ms: int,
    beside: tuple[str, ...] = (),
) -> Attempt:
    """The first attempt of a message, due now."""
    return Attempt(
        attempt_id=attempt_id_of(alert_id, purpose, round_, step, contact_id, channel, 1),
        alert_id=alert_id,
        tenant=tenant,
        purpose=purpose,
        round=round_,
        step=step,
        contact_id=contact_id,
        channel=channel,
        number=1,
        status=Status.DUE,
        due_ms=now_ms,
        created_ms=now_ms,
        beside=beside,
    )


def rank(status: Status) -> int:
    """How far along a status is. `SENDING` and `UNSURE` are equally far: a look-up turns one into the other.

    A failure is further than sent and less than delivered: what was delivered never fails, and a delivery
    reported late overrules a failure.
    """
    return _RANK[status]


def moved_on(
    attempt: Attempt, status: Status, now_ms: int, *, said: str | None = None, reason: str | None = None
) -> Attempt:
    """``attempt`` at ``status`` when that is further; else the very same. ``said``: the provider's word."""
    if rank(status) <= rank(attempt.status):
        return attempt
    moved = replace(
        attempt,
        status=status,
        provider_status=said or attempt.provider_status,
        lease_by=None,
        lease_until_ms=None,
    )
    if status is Status.FAILED:
        return replace(moved, reason=reason or "failed", settled_ms=now_ms)
    moved = replace(moved, reason=None, sent_ms=now_ms if moved.sent_ms is None else moved.sent_ms)
    if rank(status) >= rank(Status.DELIVERED):
        moved = replace(
            moved, delivered_ms=moved.delivered_ms or now_ms, settled_ms=moved.settled_ms or now_ms
        )
    return moved


def needs_key(attempt: Attempt) -> bool:
    """Whether only a key shows that a person was reached: a mailbox picks up a call as well as a person."""
    return attempt.channel is Channel.CALL and attempt.purpose in ASKING


def was_told(attempt: Attempt) -> bool:
    """Whether the contact may have got this message: they are owed its end."""
    if attempt.status is Status.FAILED:
        return attempt.sent_ms is not None
    return attempt.status is not Status.DUE
