"""One alert: its values, its events, and the state machine that says which event leads where. Pure.

docs/ALERTS.md has the diagram; the letters of its arrows are the values of `Arrow`.
"""

from enum import IntEnum, StrEnum
from uuid import UUID

from msgspec import Struct


class State(StrEnum):
    """Where an alert is."""

    PENDING = "pending"
    """Counting down; a PIN still cancels it before anybody is told."""
    ACTIVE = "active"
    """Somebody is being looked for."""
    ACKNOWLEDGED = "acknowledged"
    """A person has said that they are on it."""
    RESOLVED = "resolved"
    CANCELLED = "cancelled"
    """False alarm; everyone who was told is told so."""


class Kind(StrEnum):
    """What raised it."""

    SOS = "sos"
    CHECK_IN_MISSED = "check_in_missed"
    ARRIVE_BY_MISSED = "arrive_by_missed"
    SIGNAL_LOST = "signal_lost"
    CRASH = "crash"
    FALL = "fall"


class Severity(IntEnum):
    """How bad; it only rises while an alert is open."""

    NOTICE = 1
    WARNING = 2
    CRITICAL = 3


class ActorKind(StrEnum):
    """Who did something."""

    DRIVER = "driver"
    CONTACT = "contact"
    OPERATOR = "operator"
    """Dispatcher, admin or service, by the pages or the API."""
    SYSTEM = "system"


class Actor(Struct, frozen=True):
    """Somebody who did something: ``id`` is a driver id, contact id, token subject, or a part of ours."""

    kind: ActorKind
    id: str
    name: str = ""


class Place(Struct, frozen=True):
    """Where: WGS84 degrees, metres, milliseconds since the epoch."""

    lat: float
    lon: float
    accuracy_m: float | None = None
    t_ms: int | None = None
    battery_pct: float | None = None


class Press(Struct, frozen=True):
    """One accepted cry for help, cleaned. ``noted`` names what was dropped from it, and why it was let in by less."""

    tenant: str
    vendor: str
    driver: str
    sos_id: UUID
    kind: Kind
    received_ms: int
    pressed_ms: int
    """By the phone's clock; ``received_ms`` when it gave none that can be."""
    source: str
    """``socket``, ``http`` or ``timer``."""
    journey_id: UUID | None = None
    place: Place | None = None
    message: str = ""
    silent: bool = False
    drill: bool = False
    noted: tuple[str, ...] = ()


class Responder(Struct, frozen=True):
    """Somebody who is coming."""

    actor: Actor
    at_ms: int
    eta_s: int | None = None


class Alert(Struct, frozen=True):
    """An alert as it stands. ``version`` rises by one with every change that anybody can see."""

    alert_id: UUID
    tenant: str
    vendor: str
    driver: str
    sos_id: UUID
    """Of the first press: `alert_id_of` makes ``alert_id`` of it."""
    kind: Kind
    severity: Severity
    state: State
    version: int
    pressed_ms: int
    raised_ms: int
    journey_id: UUID | None = None
    place: Place | None = None
    message: str = ""
    drill: bool = False
    silent: bool = False
    duress: bool = False
    """Cancelled with the duress PIN: the phone is shown a cancelled alert, everyone else an active one."""
    presses: int = 1
    pending_until_ms: int | None = None
    active_since_ms: int | None = None
    """When escalation (again) began."""
    acknowledged_by: Actor | None = None
    acknowledged_ms: int | None = None
    heard_ms: int | None = None
    """When the acknowledger last showed life."""
    responders: tuple[Responder, ...] = ()
    reached_ms: int | None = None
    """When the first message was delivered to a person's device, or a person answered."""
    exhausted_ms: int | None = None
    exhausted_reason: str | None = None
    closed_ms: int | None = None
    closed_by: Actor | None = None


OPEN = frozenset({State.PENDING, State.ACTIVE, State.ACKNOWLEDGED})


# --- events: what can happen to an alert. Who may cause one is decided outside.


class Pressed(Struct, frozen=True, tag="pressed"):
    """A further press (another ``sos_id``, or a worse kind) joins the open alert. The same ``sos_id`` is no event."""

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
    | ResponderAdded
    | Reached
    | GaveUp
)
