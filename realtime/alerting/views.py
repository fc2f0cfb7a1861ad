"""An alert as those who look at it see it: operators all of it, contacts and shares less, the phone least.

The phone of a driver who cancelled under duress is shown what whoever holds it should believe.
"""

from collections.abc import Callable
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from alerts.alert import (
    OPEN,
    Actor,
    ActorKind,
    Alert,
    Kind,
    Place,
    Severity,
    State,
    as_shown_to_driver,
)
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.fanout.engineio.frames import json_bytes

SEVERITIES: Final = {Severity.NOTICE: "notice", Severity.WARNING: "warning", Severity.CRITICAL: "critical"}


class Person(Struct, frozen=True):
    """Who did something."""

    kind: ActorKind
    id: str
    name: str


class Coming(Struct, frozen=True):
    """Somebody who is coming."""

    person: Person
    at: int
    eta_s: int | None


class Where(Struct, frozen=True):
    """Where the driver was last seen. An open alert follows them.

    ``t_ms`` None: of unknown age. ``source``: ``press``, ``journey``, ``live`` or ``earlier``, empty in an
    alert of an earlier release.
    """

    lat: float
    lon: float
    accuracy_m: float | None
    t_ms: int | None
    battery_pct: float | None
    source: str = ""


class AlertView(Struct, frozen=True):
    """An alert as it stands. ``version`` rises with every change; an event with a lower one is old news."""

    alert_id: UUID
    vendor: str
    driver: str
    kind: Kind
    severity: Literal["notice", "warning", "critical"]
    state: State
    version: int
    pressed_at: int
    raised_at: int
    journey_id: UUID | None
    place: Where | None
    message: str
    drill: bool
    silent: bool
    duress: bool
    presses: int
    pending_until: int | None
    acknowledged_by: Person | None
    acknowledged_at: int | None
    responders: tuple[Coming, ...]
    reached_at: int | None
    exhausted_at: int | None
    exhausted_reason: str | None
    closed_at: int | None
    closed_by: Person | None
    raised_by: Person | None = None
    """The operator who raised it for the driver; None when the driver, their phone or a timer did."""


class PhoneView(Struct, frozen=True):
    """What the driver's own app is told: is anybody coming?"""

    alert_id: UUID
    sos_id: UUID
    kind: Kind
    state: State
    version: int
    drill: bool
    pressed_at: int
    pending_until: int | None
    reached_at: int | None
    acknowledged_by: str | None
    acknowledged_at: int | None
    responders: tuple[tuple[str, int | None], ...]
    """Name and seconds until they are there."""
    exhausted: bool
    told: tuple[tuple[str, str, str], ...] = ()
    """Name, channel and how far it came, of each message."""
    raised_by: str | None = None
    """The operator who raised it for the driver, by name; None after the driver cancelled it, or pressed."""


def operator_view(alert: Alert) -> AlertView:
    """All of it."""
    return AlertView(
        alert_id=alert.alert_id,
        vendor=alert.vendor,
        driver=alert.driver,
        kind=alert.kind,
        severity=SEVERITIES[alert.severity],  # type: ignore[arg-type]  # its values are those of the Literal
        state=alert.state,
        version=alert.version,
        pressed_at=alert.pressed_ms,
        raised_at=alert.raised_ms,
        journey_id=alert.journey_id,
        place=_where(alert.place),
        message=alert.message,
        drill=alert.drill,
        silent=alert.silent,
        duress=alert.duress,
        presses=alert.presses,
        pending_until=alert.pending_until_ms,
        acknowledged_by=_person(alert.acknowledged_by),
        acknowledged_at=alert.acknowledged_ms,
        responders=tuple(
            Coming(Person(r.actor.kind, r.actor.id, r.actor.name), r.at_ms, r.eta_s) for r in alert.responders
        ),
        reached_at=alert.reached_ms,
        exhausted_at=alert.exhausted_ms,
        exhausted_reason=alert.exhausted_reason,
        closed_at=alert.closed_ms,
        closed_by=_person(alert.closed_by),
        raised_by=_person(alert.raised_by),
    )


def contact_view(alert: Alert) -> AlertView:
    """What those who are asked for help see: where, what was said, who is coming; no ids of operators."""
    view = operator_view(alert)
    return replace(
        view,
        acknowledged_by=_nameable(view.acknowledged_by),
        closed_by=_nameable(view.closed_by),
        raised_by=_nameable(view.raised_by),
        responders=tuple(_coming(coming, _nameable) for coming in view.responders),
    )


def glimpse(alert: Alert) -> AlertView:
    """What a link to the journey shows: that there is an alert, and whether anybody is on it."""
    view = operator_view(alert)
    return replace(
        view,
        place=None,
        message="",
        duress=False,
        acknowledged_by=_nobody(view.acknowledged_by),
        closed_by=_nobody(view.closed_by),
        raised_by=_nobody(view.raised_by),
        responders=tuple(_coming(coming, _nobody) for coming in view.responders),
    )


def phone_view(alert: Alert, told: tuple[tuple[str, str, str], ...] = ()) -> PhoneView:
    """What the phone shows. ``told``: name, channel and status of the messages sent, unless the driver
    cancelled it: after a duress PIN they would tell that it goes on.
    """
    shown = as_shown_to_driver(alert)
    by, raised_by = shown.acknowledged_by, alert.raised_by if shown is alert else None
    return PhoneView(
        alert_id=shown.alert_id,
        sos_id=shown.sos_id,
        kind=shown.kind,
        state=shown.state,
        version=shown.version,
        drill=shown.drill,
        pressed_at=shown.pressed_ms,
        pending_until=shown.pending_until_ms,
        reached_at=shown.reached_ms,
        acknowledged_by=None if by is None else _called(by),
        acknowledged_at=shown.acknowledged_ms,
        responders=tuple((_called(r.actor), r.eta_s) for r in shown.responders),
        exhausted=shown.exhausted_ms is not None,
        told=told if shown is alert else (),
        raised_by=None if raised_by is None else _called(raised_by),
    )


def driver_view(alert: Alert) -> AlertView:
    """An alert in a list that the driver itself asked for: the same."""
    return contact_view(as_shown_to_driver(alert))


def _glimpse_as_phone(alert: Alert) -> AlertView:
    """A glimpse through a link that the driver's own app made."""
    return glimpse(as_shown_to_driver(alert))


def view_for(principal: Principal, alert: Alert) -> AlertView:
    """What ``principal``, who may see ``alert``, sees of it."""
    return _view_of(principal, alert)(alert)


def _view_of(principal: Principal, alert: Alert) -> Callable[[Alert], AlertView]:
    if principal.share is None:
        return driver_view if authorize.sees_as_phone(principal) else operator_view
    whole = principal.share.alert_id is not None or authorize.may_answer_alert(
        principal,
        alert.tenant,
        alert.vendor,
        alert.driver,
        alert.alert_id,
        alert.journey_id,
        alert.raised_ms,
    )
    if authorize.sees_as_phone(principal):
        return driver_view if whole else _glimpse_as_phone
    return contact_view if whole else glimpse


class RenderedAlert:
    """One alert as ready JSON, made once for each sort of viewer. ``before``: as it was known until now."""

    def __init__(self, alert: Alert, before: Alert | None = None) -> None:
        self.alert = alert
        self._before = before
        self._made: dict[Callable[[Alert], AlertView], bytes] = {}

    def event_for(self, principal: Principal) -> bytes | None:
        """What is pushed to a viewer, None where nothing may be."""
        alert = self.alert
        if principal.role == authorize.DRIVER and not is_shown_on_phone(alert, self._before):
            return None
        if authorize.sees_as_phone(principal) and not is_changed_as_shown(alert, self._before):
            return None
        if not authorize.may_see_alert(
            principal, alert.tenant, alert.vendor, alert.driver, alert.alert_id, alert.journey_id
        ):
            return None
        return self.bytes_for(principal)

    def bytes_for(self, principal: Principal) -> bytes:
        """What ``principal`` sees of it."""
        view = _view_of(principal, self.alert)
        if view not in self._made:
            self._made[view] = json_bytes(view(self.alert))
        return self._made[view]


def is_shown_on_phone(alert: Alert, before: Alert | None) -> bool:
    """Whether a change is pushed to the driver's own screens: of what `is_changed_as_shown`, none of a silent
    alert.
    """
    return not as_shown_to_driver(alert).silent and is_changed_as_shown(alert, before)


def is_changed_as_shown(alert: Alert, before: Alert | None) -> bool:
    """Whether a change can be seen as the driver is shown the alert: nothing that comes after a duress PIN
    can, also where the alert was not known before.
    """
    shown = as_shown_to_driver(alert)
    if before is None and not is_open(shown):
        return alert.version == shown.version
    return before is None or shown != as_shown_to_driver(before)


def has_only_moved(alert: Alert, before: Alert | None) -> bool:
    """Whether nothing but the place has changed, which the driver's own app knows itself."""
    if before is None:
        return False
    return replace(before, place=alert.place, journey_id=alert.journey_id, version=alert.version) == alert


def is_open_on_phone(alert: Alert) -> bool:
    """Whether the driver's own screens know it as open."""
    return is_open(as_shown_to_driver(alert))


def is_open(alert: Alert) -> bool:
    """Whether it is not over yet."""
    return alert.state in OPEN


def _where(place: Place | None) -> Where | None:
    if place is None:
        return None
    return Where(place.lat, place.lon, place.accuracy_m, place.t_ms, place.battery_pct, place.source)


def _person(actor: Actor | None) -> Person | None:
    return None if actor is None else Person(actor.kind, actor.id, actor.name)


def _nameable(person: Person | None) -> Person | None:
    """An operator's token subject is nobody's business; what they are called is."""
    if person is None or person.kind is not ActorKind.OPERATOR:
        return person
    return Person(person.kind, "", person.name or "operator")


def _nobody(person: Person | None) -> Person | None:
    return None if person is None else Person(person.kind, "", "")


def _coming(coming: Coming, hide: Callable[[Person | None], Person | None]) -> Coming:
    person = hide(coming.person)
    assert person is not None
    return replace(coming, person=person)


def _called(actor: Actor) -> str:
    return actor.name or ("operator" if actor.kind is ActorKind.OPERATOR else actor.id)
