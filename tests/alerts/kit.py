"""What the pure tests of the alert engine are made of. Time is a number."""

from typing import Any
from uuid import UUID, uuid5

from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Alert, Kind, Place, Press, State, opened_alert
from alerts.attempt import Attempt, Channel, Purpose
from alerts.case import Case, Changes
from alerts.policy import DISPATCH, OPERATOR, Circumstances, Contact, Pins, Policy, Step

T0 = 1_764_000_000_000
S = 1_000
"""A second."""
ANA = Contact("ana", "Ana", phone="+41790000001", email="ana@example.org", push_tokens=("p1",))
BEN = Contact("ben", "Ben", phone="+41790000002")
MUTE = Contact("mute", "Mute")
DESK = Contact(OPERATOR, "Desk", phone="+41790000009", webhook_url="https://desk.example.org")
DISPATCHERS = Contact(DISPATCH, "dispatch", push_tokens=("d1",))
PEOPLE = (DISPATCHERS, ANA, BEN, DESK)

DRIVER = Actor(ActorKind.DRIVER, "d1", "Dee")
OLGA = Actor(ActorKind.OPERATOR, "olga", "Olga")
BY_ANA = Actor(ActorKind.CONTACT, "ana", "Ana")
BY_BEN = Actor(ActorKind.CONTACT, "ben", "Ben")
MACHINE = Actor(ActorKind.SYSTEM, "machine")

ANA_THEN_BEN = Policy(
    steps=(
        Step(("ana",), (Channel.SMS,), wait_s=60, fallback=(Channel.CALL,)),
        Step(("ben",), (Channel.SMS,), wait_s=30),
    ),
    loops=2,
    ack_silence_s=900,
)


def sos(number: int) -> UUID:
    """A press's id."""
    return UUID(int=number + (4 << 76))


def press(number: int = 1, **changes: Any) -> Press:
    """A press of d1, an SOS unless told otherwise."""
    made = Press(
        tenant="acme",
        vendor="north",
        driver="d1",
        sos_id=sos(number),
        kind=Kind.SOS,
        received_ms=T0,
        pressed_ms=T0,
        source="socket",
        place=Place(53.4, -2.9, 12.0, T0),
    )
    return replace(made, **changes)


def alert(state: State = State.ACTIVE, **changes: Any) -> Alert:
    """An alert in ``state``, opened by `press` at `T0`."""
    counting = 30 if state is State.PENDING else 0
    made = opened_alert(press(kind=changes.pop("kind", Kind.SOS)), counting, T0).alert
    if state is State.ACKNOWLEDGED:
        made = replace(made, state=state, acknowledged_by=BY_ANA, acknowledged_ms=T0, heard_ms=T0)
    elif state in (State.RESOLVED, State.CANCELLED):
        made = replace(made, state=state, closed_ms=T0, closed_by=OLGA)
    return replace(made, **changes)


def circumstances(policy: Policy = ANA_THEN_BEN, *contacts: Contact) -> Circumstances:
    """``policy`` for every kind, with these contacts, `PEOPLE` unless told otherwise."""
    return Circumstances(dict.fromkeys(Kind, policy), contacts or PEOPLE, Pins(), "Dee")


def told(changes: Changes | Case, purpose: Purpose | None = None) -> list[tuple[str, str]]:
    """Whom, by what: of the changes what is new or moved and due, of a case all that is due."""
    attempts = changes.touched if isinstance(changes, Changes) else changes.attempts.values()
    due = [a for a in attempts if a.status == "due" and purpose in (None, a.purpose)]
    return sorted((a.contact_id, a.channel.value) for a in due)


def only(case: Case, contact_id: str, channel: Channel, number: int = 1, **parts: Any) -> Attempt:
    """The one attempt that is so."""
    (found,) = [
        a
        for a in case.attempts.values()
        if (a.contact_id, a.channel, a.number) == (contact_id, channel, number)
        and all(getattr(a, name) == value for name, value in parts.items())
    ]
    return found


def somebody(name: str) -> Actor:
    """A contact with an id made of ``name``."""
    return Actor(ActorKind.CONTACT, str(uuid5(UUID(int=7), name)))
