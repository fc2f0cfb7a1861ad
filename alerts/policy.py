"""Who is told, by which ways, in which order: contacts and policies, and the copy an alert keeps of them.

Pure.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from alerts.attempt import Channel
from alerts.values import MAX_LOOPS, Kind

ALL: Final = "*"
"""Every contact but `DISPATCH` and `OPERATOR`; `OPERATOR` when there is none."""
DISPATCH: Final = "dispatch"
"""The vendor's dispatchers: their live pages and their apps."""
OPERATOR: Final = "operator"
"""A tenant's emergency number and the operator's webhook, from the settings."""

MAX_STEPS: Final = 20
MAX_CONTACTS_OF_STEP: Final = 50
WAIT_S: Final = (10, 3_600)
MAX_COUNTDOWN_S: Final = 300
ACK_SILENCE_S: Final = (60, 86_400)
MAX_LASTING_S: Final = 86_400
"""From the first message to giving up."""


class Contact(Struct, frozen=True):
    """Somebody to be told. Only addresses that count are here: verified, not opted out."""

    contact_id: str
    """A UUID, `DISPATCH` or `OPERATOR`."""
    name: str
    language: str = "en"
    phone: str | None = None
    """E.164."""
    email: str | None = None
    webhook_url: str | None = None
    push_tokens: tuple[str, ...] = ()
    time_zone: str = "UTC"


class Step(Struct, frozen=True):
    """One step: these contacts (ids, or `ALL`), by these channels, then wait.

    ``channels`` are told together; ``fallback`` at once for a contact whose channels have all failed, are
    missing or are down.
    """

    contacts: tuple[str, ...]
    channels: tuple[Channel, ...]
    wait_s: int
    fallback: tuple[Channel, ...] = ()


class Policy(Struct, frozen=True):
    """How a kind of alert escalates. ``loops``: how often the steps are gone through before giving up."""

    steps: tuple[Step, ...]
    loops: int = 3
    countdown_s: int = 0
    ack_silence_s: int = 900
    """An acknowledger silent for this long returns the alert to active; reminded at two thirds of it."""
    exhausted_channels: tuple[Channel, ...] = (Channel.SMS, Channel.EMAIL, Channel.WEBHOOK)
    """How the contact `OPERATOR` is told that nobody was reached."""


class Source(StrEnum):
    """Where contacts and policies were read from when an alert was raised."""

    POSTGRES = "postgres"
    LOCAL_COPY = "local_copy"
    """The copy of a process, for its Postgres did not answer; see ``age_ms``."""
    NONE = "none"
    """That process had never read any: the built-in policy, the dispatchers and the operator."""


class PolicyCopy(Struct, frozen=True):
    """The snapshot that an alert took along when it was raised: later edits change nothing of an alert under
    way. One that was taken from a local copy is completed once from Postgres (`alerts.completing`).
    """

    policy: Policy
    contacts: tuple[Contact, ...]
    driver_name: str = ""
    language: str = "en"
    source: Source = Source.POSTGRES
    age_ms: int | None = None
    """Milliseconds between the last reading of the local copy and the alert; None unless ``LOCAL_COPY``."""
    is_complete: bool = True
    """Whether ``policy`` and ``contacts`` are those of Postgres."""
    former: tuple[Contact, ...] = ()
    """Contacts as a local copy had them, where Postgres has them otherwise or not: they are sent nothing new
    of the alert, but if they were notified of it they are sent its end.
    """


class Pins(Struct, frozen=True):
    """Hashes (`alerts.pin`) of a driver's PINs; None = none set."""

    cancel: str | None = None
    duress: str | None = None


class Circumstances(Struct, frozen=True):
    """What is known of a driver before a press: the policy by kind, the contacts, the PINs."""

    policies: dict[Kind, Policy]
    contacts: tuple[Contact, ...]
    pins: Pins
    driver_name: str = ""
    language: str = "en"
    source: Source = Source.POSTGRES
    age_ms: int | None = None
    """See `PolicyCopy.age_ms`."""


def address_of(contact: Contact, channel: Channel) -> bool:
    """Whether ``contact`` can be told by ``channel`` at all."""
    match channel:
        case Channel.SOCKET:
            return contact.contact_id == DISPATCH
        case Channel.PUSH:
            return bool(contact.push_tokens)
        case Channel.SMS | Channel.CALL:
            return contact.phone is not None
        case Channel.EMAIL:
            return contact.email is not None
        case Channel.WEBHOOK:
            return contact.webhook_url is not None


def copy_of(circumstances: Circumstances, kind: Kind) -> PolicyCopy:
    """What an alert of ``kind`` takes along: its policy, or the built-in one.

    The dispatchers are always among the contacts.
    """
    contacts = circumstances.contacts
    if all(contact.contact_id != DISPATCH for contact in contacts):
        contacts = (Contact(DISPATCH, "dispatch", circumstances.language), *contacts)
    policy = circumstances.policies.get(kind, DEFAULTS[kind])
    return PolicyCopy(
        policy,
        contacts,
        circumstances.driver_name,
        circumstances.language,
        source=circumstances.source,
        age_ms=circumstances.age_ms,
        is_complete=circumstances.source is Source.POSTGRES,
    )


def everyone(copy: PolicyCopy) -> dict[str, Contact]:
    """All contacts that the alert is or was for, by their ids; as the snapshot has them where it does."""
    return {contact.contact_id: contact for contact in (*copy.former, *copy.contacts)}


def addressee(copy: PolicyCopy, contact_id: str, channel: Channel) -> Contact | None:
    """The contact as a message by ``channel`` is addressed: as the snapshot has them; as a former local copy
    had them when they have no such address any more. None when neither knows them.
    """
    found = [c for c in (*copy.contacts, *copy.former) if c.contact_id == contact_id]
    return next((c for c in found if address_of(c, channel)), found[0] if found else None)


def check(policy: Policy) -> Policy:
    """``policy`` when it is one that a person may set. Raises ValueError with what is wrong."""
    if not 1 <= len(policy.steps) <= MAX_STEPS:
        raise ValueError(f"a policy has 1 to {MAX_STEPS} steps")
    for number, step in enumerate(policy.steps, 1):
        _check_step(step, number)
    if not 1 <= policy.loops <= MAX_LOOPS:
        raise ValueError(f"loops is not 1 to {MAX_LOOPS}")
    if not 0 <= policy.countdown_s <= MAX_COUNTDOWN_S:
        raise ValueError(f"countdown_s is not 0 to {MAX_COUNTDOWN_S}")
    if not ACK_SILENCE_S[0] <= policy.ack_silence_s <= ACK_SILENCE_S[1]:
        raise ValueError(f"ack_silence_s is not {ACK_SILENCE_S[0]} to {ACK_SILENCE_S[1]}")
    _check_channels(policy.exhausted_channels, "exhausted_channels")
    if not policy.exhausted_channels:
        raise ValueError("exhausted_channels is empty")
    if policy.loops * sum(step.wait_s for step in policy.steps) > MAX_LASTING_S:
        raise ValueError(f"its steps and loops last more than {MAX_LASTING_S} s")
    return policy


def _check_step(step: Step, number: int) -> None:
    if not 1 <= len(step.contacts) <= MAX_CONTACTS_OF_STEP:
        raise ValueError(f"step {number} has not 1 to {MAX_CONTACTS_OF_STEP} contacts")
    if not all(0 < len(contact) <= 64 for contact in step.contacts):
        raise ValueError(f"step {number} has a contact that is no id")
    if len(set(step.contacts)) < len(step.contacts):
        raise ValueError(f"step {number} has a contact twice")
    if not step.channels:
        raise ValueError(f"step {number} has no channels")
    _check_channels(step.channels + step.fallback, f"step {number}")
    if not WAIT_S[0] <= step.wait_s <= WAIT_S[1]:
        raise ValueError(f"step {number} does not wait {WAIT_S[0]} to {WAIT_S[1]} s")


def _check_channels(channels: tuple[Channel, ...], where: str) -> None:
    if len(set(channels)) < len(channels):
        raise ValueError(f"{where} has a channel twice")


_C = Channel
_SOS: Final = Policy(
    steps=(
        Step((DISPATCH, ALL), (_C.SOCKET, _C.PUSH, _C.SMS, _C.WEBHOOK), 45, fallback=(_C.CALL, _C.EMAIL)),
        Step((ALL,), (_C.CALL, _C.EMAIL), 90, fallback=(_C.SMS,)),
        Step((DISPATCH, ALL), (_C.PUSH, _C.SMS), 60, fallback=(_C.CALL, _C.EMAIL)),
    ),
    loops=3,
    ack_silence_s=900,
)
_FALL: Final = Policy(steps=_SOS.steps, loops=3, countdown_s=30, ack_silence_s=900)
_TIMER: Final = Policy(
    steps=(
        Step((DISPATCH, ALL), (_C.SOCKET, _C.PUSH, _C.WEBHOOK), 60, fallback=(_C.SMS, _C.EMAIL)),
        Step((DISPATCH, ALL), (_C.SMS, _C.PUSH), 120, fallback=(_C.CALL, _C.EMAIL)),
        Step((ALL,), (_C.CALL, _C.EMAIL), 120, fallback=(_C.SMS,)),
    ),
    loops=3,
    ack_silence_s=1_800,
)
_SILENCE: Final = Policy(
    steps=(
        Step((DISPATCH,), (_C.SOCKET, _C.PUSH), 120),
        *_TIMER.steps,
    ),
    loops=2,
    ack_silence_s=1_800,
)
DEFAULTS: Final[Mapping[Kind, Policy]] = {
    Kind.SOS: _SOS,
    Kind.CRASH: Policy(steps=_SOS.steps, loops=3, countdown_s=15, ack_silence_s=900),
    Kind.FALL: _FALL,
    Kind.CHECK_IN_MISSED: _TIMER,
    Kind.ARRIVE_BY_MISSED: _TIMER,
    Kind.SIGNAL_LOST: _SILENCE,
}
"""The built-in policies: what counts where nobody has set another."""
