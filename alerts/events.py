"""What can happen to an alert. Who may cause what is decided by `alerts.alert` and by its callers. Pure."""

from enum import StrEnum

from msgspec import Struct

from alerts.values import Actor, Place, Press, Responder


class Pressed(Struct, frozen=True, tag="pressed"):
    """A further press (another ``sos_id``) joins the open alert. The same ``sos_id`` is no event."""

    press: Press


class CountdownOver(Struct, frozen=True, tag="countdown_over"):
    """Nobody cancelled in time."""


class PinResult(StrEnum):
    """What a typed PIN is."""

    RIGHT = "right"
    DURESS = "duress"
    WRONG = "wrong"


class CancelAsked(Struct, frozen=True, tag="cancel_asked"):
    """The driver's app asked to cancel."""

    actor: Actor
    pin: PinResult


class Acknowledged(Struct, frozen=True, tag="acknowledged"):
    """A person is on it. ``how``: link, sms, keypress, page, api."""

    actor: Actor
    how: str


class Heard(Struct, frozen=True, tag="heard"):
    """The acknowledger showed life."""

    actor: Actor


class AckSilent(Struct, frozen=True, tag="ack_silent"):
    """The acknowledger has shown none for too long."""


class Resolved(Struct, frozen=True, tag="resolved"):
    """It is over."""

    actor: Actor
    note: str = ""


class FalseAlarm(Struct, frozen=True, tag="false_alarm"):
    """An operator, or a contact who reached the driver, says that nothing is wrong."""

    actor: Actor
    note: str = ""


class Noted(Struct, frozen=True, tag="noted"):
    """A note for the others."""

    actor: Actor
    text: str


class Denied(Struct, frozen=True, tag="denied"):
    """Somebody who may look at it and no more asked for something; ``asked`` is that event's tag."""

    actor: Actor
    asked: str


class ResponderAdded(Struct, frozen=True, tag="responder_added"):
    """Somebody is coming."""

    actor: Actor
    responder: Responder


class Reached(Struct, frozen=True, tag="reached"):
    """A message arrived at a person's device."""

    contact_id: str


class GaveUp(Struct, frozen=True, tag="gave_up"):
    """The policy is exhausted."""

    reason: str


class ContactsFound(Struct, frozen=True, tag="contacts_found"):
    """Postgres has contacts that an exhausted escalation did not know."""


class Moved(Struct, frozen=True):
    """The driver was seen at another place. No event of the state machine: `alerts.case.applied` decides it,
    no arrow leads anywhere, and the history does not have it.
    """

    place: Place


Event = (
    Pressed
    | CountdownOver
    | CancelAsked
    | Acknowledged
    | Heard
    | AckSilent
    | Resolved
    | FalseAlarm
    | Noted
    | Denied
    | ResponderAdded
    | Reached
    | GaveUp
    | ContactsFound
)
"""An event of the state machine."""
CaseEvent = Event | Moved
"""What changes a case."""


def tag_of(event: Event) -> str:
    """What the history calls it."""
    return str(type(event).__struct_config__.tag)
