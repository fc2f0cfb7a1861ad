"""What an alert is: the values that everything about it is made of. Pure."""

from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import Final
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType

MAX_LOOPS: Final = 20
"""How often a policy may go through its steps, so that rounds of two escalations never have one number."""


class State(StrEnum):
    """Where an alert is."""

    PENDING = "pending"
    """Counting down; a PIN still cancels it before anybody is told."""
    ACTIVE = "active"
    """Somebody is being looked for."""
    ACKNOWLEDGED = "acknowledged"
    """A person has said that they are on it."""
    RESOLVED = "resolved"
    """It is over; everyone who was told is told so."""
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
    """Where: WGS84 degrees, metres, milliseconds since the epoch. `alerts.location` says which place counts.

    ``accuracy_m`` None: unknown. ``t_ms`` None: the time of the fix is unknown or not credible.
    """

    lat: float
    lon: float
    accuracy_m: float | None = None
    t_ms: int | None = None
    battery_pct: float | None = None
    source: str = ""
    """`alerts.location.PlaceSource`; empty in records of earlier releases."""
    order_ms: int | None = None
    """Without ``t_ms``: the time that it counts as when places are compared."""
    journey_id: UUID | None = None
    seq: int | None = None
    """Of a position of a journey: which one."""


class Press(Struct, frozen=True):
    """One accepted cry for help, cleaned.

    ``noted`` names what was dropped from it, and why it was let in by less.
    """

    tenant: str
    vendor: str
    driver: str
    sos_id: UUID
    kind: Kind
    received_ms: int
    pressed_ms: int
    """By the phone's clock; ``received_ms`` when it gave none that can be."""
    source: str
    """``socket``, ``http`` or ``timer``; ``dispatcher`` or ``api``: an operator pressed for the driver."""
    journey_id: UUID | None = None
    place: Place | None = None
    message: str = ""
    silent: bool = False
    drill: bool = False
    noted: tuple[str, ...] = ()
    said_place: Place | None = None
    """The place that the phone sent, where another one counts."""
    by: Actor | None = None
    """The operator who pressed for the driver; None: the driver, their phone or a timer."""


class Responder(Struct, frozen=True):
    """Somebody who is coming."""

    actor: Actor
    at_ms: int
    eta_s: int | None = None


class Veil(Struct, frozen=True):
    """What the driver's phone is shown of an alert that was cancelled by a PIN, under duress or not.

    From ``drawn_ms`` it is shown a cancelled alert that never changes again. A further press lifts the veil
    at ``lifted_ms``: from then the phone is shown an active one, and nothing of what happened before.
    """

    drawn_ms: int
    version: int
    silent: bool = False
    """Whether it was silent before."""
    lifted_ms: int | None = None
    place: Place | UnsetType | None = UNSET
    """The place when it was drawn: what the phone is shown does not follow the driver. Unset in records of
    earlier releases, as the next ones.
    """
    message: str | UnsetType = UNSET
    kind: Kind | UnsetType = UNSET
    journey_id: UUID | UnsetType | None = UNSET
    pressed_ms: int | UnsetType = UNSET
    """The same of what a press by an operator or a timer may change; presses of the phone change them too."""


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
    veil: Veil | None = None
    wrong_pins: int = 0
    round: int = 1
    """The first round of the escalation under way; a fresh one begins `MAX_LOOPS` further on."""
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
    raised_by: Actor | None = None
    """The operator who raised it for the driver; None once the driver, their phone or a timer pressed too."""


OPEN: Final = frozenset({State.PENDING, State.ACTIVE, State.ACKNOWLEDGED})

_SEVERITY: Final = {
    Kind.SOS: Severity.CRITICAL,
    Kind.CRASH: Severity.CRITICAL,
    Kind.FALL: Severity.WARNING,
    Kind.CHECK_IN_MISSED: Severity.WARNING,
    Kind.ARRIVE_BY_MISSED: Severity.WARNING,
    Kind.SIGNAL_LOST: Severity.NOTICE,
}


def severity_of(kind: Kind) -> Severity:
    """How bad a kind is by itself."""
    return _SEVERITY[kind]


def worse(kind: Kind, than: Kind) -> bool:
    """Whether ``kind`` asks for more than ``than``: a higher severity, or a person where a machine spoke."""
    return (severity_of(kind), kind is Kind.SOS) > (severity_of(than), than is Kind.SOS)


def in_order(responders: Iterable[Responder]) -> tuple[Responder, ...]:
    """The order in which responders are kept, so that two copies of an alert keep the same."""
    return tuple(sorted(responders, key=lambda r: (r.at_ms, r.actor.kind.value, r.actor.id)))
