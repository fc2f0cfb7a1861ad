"""Which attempt is claimed when, and whose word of it counts: the same in every ledger. Pure."""

from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.destination import named, without_beside
from alerts.alert import Alert, Kind
from alerts.attempt import OF_NO_ALERT, Accepted, Attempt, Channel, Outcome, Purpose, Status
from alerts.case import Case
from alerts.policy import OPERATOR, Contact, PolicyCopy, addressee

_CLAIMABLE: Final = frozenset({Status.DUE, Status.SENDING, Status.UNSURE})
_FIRST: Final = frozenset({Purpose.ALERT, Purpose.EXHAUSTED})
_UNSENT: Final = _CLAIMABLE
_ABSENT: Final = "absent"
_ASKED: Final = frozenset({Channel.SMS, Channel.CALL})
"""Ways whose provider can be asked whether it has a message."""
_PRESSED: Final = frozenset({Kind.SOS, Kind.CRASH, Kind.FALL})
"""Kinds that a driver or a phone raises. A timer's alerts come a thousand at once and never hold one back."""
OPERATOR_HOST: Final = "*operator"
"""Host of the operator's own webhook: no contact can name it, whatever host the settings give."""
UNKNOWN_HOST: Final = "*unknown"
"""Host of a URL without one, which its notifier refuses."""
SOS_URGENCY: Final = 0
DRILL_URGENCY: Final = 3
"""From here on nothing is about a real alert."""


class Lane(Struct, frozen=True):
    """Whose messages share slots, breaker and budget with an attempt."""

    channel: Channel
    tenant: str
    is_sos: bool
    """Whether it may use the slots that are reserved for SOS."""
    host: str | None = None
    """Of a webhook; None for every other channel, which has one provider."""


def lane_of(attempt: Attempt, alert: Alert, contact: Contact) -> Lane:
    """Return the lane of ``attempt``, a message of ``alert`` to ``contact``."""
    is_sos = urgency(attempt, alert) == SOS_URGENCY
    return Lane(attempt.channel, attempt.tenant, is_sos, host_of(attempt, contact))


def host_of(attempt: Attempt, contact: Contact) -> str | None:
    """Return the host that a webhook is sent to, lower case and without a port; None for other channels."""
    if attempt.channel is not Channel.WEBHOOK:
        return None
    if attempt.contact_id == OPERATOR:
        return OPERATOR_HOST
    try:
        host = urlsplit(contact.webhook_url or "").hostname
    except ValueError:
        host = None
    return (host or "").rstrip(".") or UNKNOWN_HOST


def claim_ms(attempt: Attempt) -> int | None:
    """From when it may be claimed; None: it is over, or with its provider."""
    if attempt.status not in _CLAIMABLE:
        return None
    if attempt.status is Status.SENDING and attempt.lease_until_ms is not None:
        return attempt.lease_until_ms
    return attempt.due_ms


def urgency(attempt: Attempt, alert: Alert) -> int:
    """Return which attempt is claimed first; smaller is sooner. There are five cases:

    0. an SOS, to its contacts or, when they are exhausted, to the operator;
    1. the same of a timer's alert;
    2. everything else that is said about a real alert;
    3. a drill;
    4. a code that verifies an address, or a test message.
    """
    if attempt.purpose in OF_NO_ALERT:
        return 4
    if alert.drill:
        return DRILL_URGENCY
    if attempt.purpose not in _FIRST:
        return 2
    return SOS_URGENCY if alert.kind in _PRESSED else 1


def leased(attempt: Attempt, by: str, until_ms: int) -> Attempt:
    """``attempt`` as a job has it: its status is the one from before the claim."""
    return replace(attempt, lease_by=by, lease_until_ms=until_ms)


def stood_in_for(case: Case, now_ms: int, lease_ms: int, asked_ms: int, due_ms: int | None = None) -> Case:
    """``case`` as who stands in for an absent ledger has it, who knows it as it was some seconds before.

    What was due then may have been sent, or is being sent by a process that cannot record it: it counts as
    being sent for ``lease_ms`` and is looked up at the provider first. Where that surely finds it,
    ``asked_ms`` will do. ``due_ms``: the same for what was due and not claimed, when no process could claim
    it in the time before; ``lease_ms`` by default.
    """

    def held_back(attempt: Attempt) -> Attempt:
        held_ms = due_ms if due_ms is not None and attempt.status is Status.DUE else lease_ms
        until_ms = now_ms + (min(asked_ms, held_ms) if attempt.channel in _ASKED else held_ms)
        return replace(attempt, status=Status.SENDING, lease_by=_ABSENT, lease_until_ms=until_ms)

    held = {
        key: held_back(attempt)
        for key, attempt in case.attempts.items()
        if attempt.status is Status.SENDING or (attempt.status is Status.DUE and attempt.due_ms <= now_ms)
    }
    return replace(case, attempts=case.attempts | held)


def without_held(case: Case) -> Case:
    """``case`` without the attempts that `stood_in_for` held back and nobody has claimed since: of those who
    stood in knows nothing that the ledger it stood in for does not.
    """
    left = {
        key: attempt
        for key, attempt in case.attempts.items()
        if attempt.status is not Status.SENDING or attempt.lease_by != _ABSENT
    }
    return case if len(left) == len(case.attempts) else replace(case, attempts=left)


def may_settle(stored: Attempt, claimed: Attempt, outcome: Outcome) -> bool:
    """Whether ``outcome`` counts: its lease still holds, or it says that the message was sent."""
    holds = (stored.lease_by, stored.lease_until_ms) == (claimed.lease_by, claimed.lease_until_ms)
    return holds or (isinstance(outcome, Accepted) and stored.status in _UNSENT)


def of_provider(case: Case, claimed: Attempt) -> Case:
    """``case`` with the provider that the claimed attempt was given to."""
    stored = case.attempts[claimed.attempt_id]
    if claimed.provider is None or claimed.provider == stored.provider:
        return case
    attempts = {**case.attempts, stored.attempt_id: replace(stored, provider=claimed.provider)}
    return replace(case, attempts=attempts)


def lane_in(copy: PolicyCopy, attempt: Attempt, alert: Alert) -> Lane:
    """Return `lane_of` ``attempt``, its contact by its snapshot."""
    is_sos = urgency(attempt, alert) == SOS_URGENCY
    return Lane(attempt.channel, attempt.tenant, is_sos, host_in(copy, attempt))


def host_in(copy: PolicyCopy, attempt: Attempt) -> str | None:
    """Return `host_of` the contact of ``attempt``, by its snapshot."""
    if attempt.channel is not Channel.WEBHOOK:
        return None
    found = addressee(copy, attempt.contact_id, attempt.channel)
    return host_of(attempt, Contact(attempt.contact_id, name="") if found is None else found)


def contact_of(copy: PolicyCopy, attempt: Attempt) -> Contact:
    """The contact of a job, named as everybody at its address, without the devices that another message of
    its step goes to. One that is not there has no address, which its notifier says and is recorded.
    """
    found = addressee(copy, attempt.contact_id, attempt.channel)
    if found is None:
        return Contact(attempt.contact_id, name="")
    name = named(copy, attempt.contact_id, attempt.channel)
    found = found if name == found.name else replace(found, name=name)
    return without_beside(found, attempt, copy)
