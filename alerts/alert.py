"""One alert as a state machine: which event leads where, and which is refused. Pure.

docs/ALERTS.md has the diagram; the letters of its arrows are the values of `Arrow`. The values are in
`alerts.values`, the events in `alerts.events`; both can be imported from here.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec.structs import replace

from alerts import location
from alerts.arrows import Arrow, Refusal
from alerts.cancelling import MAX_WRONG_PINS, cancel_asked, lifted
from alerts.driver_view import as_shown_to_driver
from alerts.events import (
    Acknowledged,
    AckSilent,
    CancelAsked,
    ContactsFound,
    CountdownOver,
    Denied,
    Event,
    FalseAlarm,
    GaveUp,
    Heard,
    Noted,
    PinResult,
    Pressed,
    Reached,
    Resolved,
    ResponderAdded,
)
from alerts.transitions import Transition, afresh, changed, closed, life, refused
from alerts.values import (
    MAX_LOOPS,
    OPEN,
    Actor,
    ActorKind,
    Alert,
    Kind,
    Place,
    Press,
    Responder,
    Severity,
    State,
    Veil,
    in_order,
    severity_of,
    worse,
)
from alerts.who import is_responding, may_not_close, unfit, who

__all__ = [
    "MAX_LOOPS", "MAX_RESPONDERS", "MAX_WRONG_PINS", "OPEN", "REVIVE_AFTER_MS", "AckSilent", "Acknowledged",
    "Actor", "ActorKind", "Alert", "Arrow", "CancelAsked", "ContactsFound", "CountdownOver",
    "Denied", "Event", "FalseAlarm", "GaveUp", "Heard", "Kind", "Noted", "PinResult", "Place", "Press",
    "Pressed", "Reached", "Refusal",
    "Resolved", "Responder", "ResponderAdded", "Severity", "State", "Transition", "Veil", "alert_id_of",
    "as_shown_to_driver", "opened_alert", "severity_of", "transition", "worse",
]  # fmt: skip

MAX_RESPONDERS: Final = 50
REVIVE_AFTER_MS: Final = 60_000
"""A further press begins an exhausted escalation afresh, but not sooner than this after it was exhausted."""

_NAMESPACE: Final = UUID("5a0f5b9e-3c1d-5f6e-9d0a-77a79a7d5a05")


def alert_id_of(tenant: str, driver: str, sos_id: UUID) -> UUID:
    """The id of the alert that this press opens: every process makes the same one without asking."""
    return uuid5(_NAMESPACE, f"{tenant}\0{driver}\0{sos_id}")


def opened_alert(press: Press, countdown_s: int, now_ms: int) -> Transition:
    """The alert that ``press`` raises."""
    counting = countdown_s > 0
    alert = Alert(
        alert_id=alert_id_of(press.tenant, press.driver, press.sos_id),
        tenant=press.tenant,
        vendor=press.vendor,
        driver=press.driver,
        sos_id=press.sos_id,
        kind=press.kind,
        severity=severity_of(press.kind),
        state=State.PENDING if counting else State.ACTIVE,
        version=1,
        pressed_ms=press.pressed_ms,
        raised_ms=now_ms,
        journey_id=press.journey_id,
        place=press.place,
        message=press.message,
        drill=press.drill,
        silent=press.silent,
        pending_until_ms=now_ms + countdown_s * 1000 if counting else None,
        active_since_ms=None if counting else now_ms,
        raised_by=press.by,
    )
    return Transition(alert, Arrow.RAISED_COUNTING if counting else Arrow.RAISED)


def transition(alert: Alert, event: Event, now_ms: int) -> Transition:
    """Where ``event`` leads. Every pair of state and event is decided; nothing is raised."""
    if alert.state not in OPEN and not isinstance(event, Noted | Denied):
        return Transition(alert, refused=Refusal.CLOSED)
    decide: Callable[[Alert, Any, int], Transition] = _DECIDE[type(event)]
    return decide(alert, event, now_ms)


# --- presses and the clock


def _pressed(alert: Alert, event: Pressed, now_ms: int) -> Transition:
    press = event.press
    if press.drill is not alert.drill:
        return refused(alert, Refusal.OTHER_DRILL)
    if press.sos_id == alert.sos_id:
        return refused(alert, Refusal.ALREADY)
    joined = replace(
        alert,
        presses=alert.presses + 1,
        pressed_ms=min(alert.pressed_ms, press.pressed_ms),
        journey_id=press.journey_id or alert.journey_id,
        place=_joined_place(alert.place, press),
        message=press.message or alert.message,
        silent=alert.silent or press.silent,
        severity=max(alert.severity, severity_of(press.kind)),
        veil=lifted(alert, press, now_ms),
        raised_by=alert.raised_by if press.by is not None else None,
    )
    if worse(press.kind, alert.kind):
        return changed(afresh(replace(joined, kind=press.kind), now_ms), Arrow.PRESSED_WORSE)
    gave_up_ms = alert.exhausted_ms if alert.state is State.ACTIVE else None
    if gave_up_ms is not None and now_ms - gave_up_ms >= REVIVE_AFTER_MS:
        return changed(afresh(joined, now_ms), Arrow.REVIVED)
    return changed(joined, Arrow.PRESSED)


def _joined_place(ours: Place | None, press: Press) -> Place | None:
    """A press that was long on its way, or knows the place less well, does not move the driver."""
    theirs = location.of_press(press)
    return press.place if theirs is not None and location.better(ours, theirs) is theirs else ours


def _countdown_over(alert: Alert, event: CountdownOver, now_ms: int) -> Transition:
    if alert.state is not State.PENDING:
        return refused(alert, Refusal.NOT_PENDING)
    return changed(afresh(alert, now_ms), Arrow.COUNTDOWN_OVER)


# --- those who help


def _acknowledged(alert: Alert, event: Acknowledged, now_ms: int) -> Transition:
    if (reason := unfit(alert, event.actor)) is not None:
        return refused(alert, reason)
    if alert.state is not State.ACKNOWLEDGED:
        taken = replace(
            alert,
            state=State.ACKNOWLEDGED,
            pending_until_ms=None,
            acknowledged_by=event.actor,
            acknowledged_ms=now_ms,
            heard_ms=now_ms,
            reached_ms=now_ms if alert.reached_ms is None else alert.reached_ms,
        )
        return changed(taken, Arrow.ACKNOWLEDGED)
    if is_responding(alert, event.actor):
        return life(alert, now_ms)
    return _responding(alert, Responder(event.actor, now_ms), Arrow.JOINED, now_ms)


def _heard(alert: Alert, event: Heard, now_ms: int) -> Transition:
    if alert.state is not State.ACKNOWLEDGED:
        return refused(alert, Refusal.NOT_ACKNOWLEDGED)
    if not is_responding(alert, event.actor):
        return refused(alert, Refusal.NOT_RESPONDING)
    return life(alert, now_ms)


def _ack_silent(alert: Alert, event: AckSilent, now_ms: int) -> Transition:
    if alert.state is not State.ACKNOWLEDGED:
        return refused(alert, Refusal.NOT_ACKNOWLEDGED)
    return changed(afresh(alert, now_ms), Arrow.SILENT)


def _responder_added(alert: Alert, event: ResponderAdded, now_ms: int) -> Transition:
    if (reason := unfit(alert, event.responder.actor)) is not None:
        return refused(alert, reason)
    if any(_same(known, event.responder) for known in alert.responders):
        return refused(alert, Refusal.ALREADY)
    return _responding(alert, event.responder, Arrow.RESPONDER, now_ms)


def _responding(alert: Alert, responder: Responder, arrow: Arrow, now_ms: int) -> Transition:
    others = tuple(r for r in alert.responders if who(r.actor) != who(responder.actor))
    if len(others) >= MAX_RESPONDERS:
        return refused(alert, Refusal.FULL)
    joined = replace(alert, responders=in_order((*others, responder)))
    if alert.state is State.ACKNOWLEDGED:
        joined = replace(joined, heard_ms=now_ms)
    return changed(joined, arrow)


def _noted(alert: Alert, event: Noted, now_ms: int) -> Transition:
    if alert.state is State.ACKNOWLEDGED and is_responding(alert, event.actor):
        alert = replace(alert, heard_ms=now_ms)
    return changed(alert, Arrow.NOTED)


# --- the end


def _resolved(alert: Alert, event: Resolved, now_ms: int) -> Transition:
    if (reason := may_not_close(alert, event.actor)) is not None:
        return refused(alert, reason)
    return closed(alert, State.RESOLVED, event.actor, now_ms, Arrow.RESOLVED)


def _false_alarm(alert: Alert, event: FalseAlarm, now_ms: int) -> Transition:
    if (reason := may_not_close(alert, event.actor)) is not None:
        return refused(alert, reason)
    if alert.duress and event.actor.kind is not ActorKind.OPERATOR:
        return refused(alert, Refusal.DURESS)
    arrow = Arrow.CANCELLED_UNHEARD if alert.state is State.PENDING else Arrow.FALSE_ALARM
    return closed(alert, State.CANCELLED, event.actor, now_ms, arrow)


# --- what delivery says


def _reached(alert: Alert, event: Reached, now_ms: int) -> Transition:
    if alert.state is State.PENDING:
        return refused(alert, Refusal.NOT_ACTIVE)
    if alert.reached_ms is not None:
        return refused(alert, Refusal.ALREADY)
    return changed(replace(alert, reached_ms=now_ms), Arrow.REACHED)


def _gave_up(alert: Alert, event: GaveUp, now_ms: int) -> Transition:
    if alert.state is not State.ACTIVE:
        return refused(alert, Refusal.NOT_ACTIVE)
    if alert.exhausted_ms is not None:
        return refused(alert, Refusal.ALREADY)
    return changed(replace(alert, exhausted_ms=now_ms, exhausted_reason=event.reason), Arrow.GAVE_UP)


def _contacts_found(alert: Alert, event: ContactsFound, now_ms: int) -> Transition:
    if alert.state is not State.ACTIVE:
        return refused(alert, Refusal.NOT_ACTIVE)
    if alert.exhausted_ms is None:
        return refused(alert, Refusal.NOT_EXHAUSTED)
    return changed(afresh(alert, now_ms), Arrow.CONTACTS_FOUND)


def _same(a: Responder, b: Responder) -> bool:
    return who(a.actor) == who(b.actor) and a.eta_s == b.eta_s


_DECIDE: Final[dict[type, Callable[[Alert, Any, int], Transition]]] = {
    Pressed: _pressed,
    CountdownOver: _countdown_over,
    CancelAsked: cancel_asked,
    Acknowledged: _acknowledged,
    Heard: _heard,
    AckSilent: _ack_silent,
    Resolved: _resolved,
    FalseAlarm: _false_alarm,
    Noted: _noted,
    Denied: lambda alert, event, now_ms: refused(alert, Refusal.FORBIDDEN),
    ResponderAdded: _responder_added,
    Reached: _reached,
    GaveUp: _gave_up,
    ContactsFound: _contacts_found,
}
