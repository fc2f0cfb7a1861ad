"""One alert as a state machine: which event leads where, and which is refused. Pure.

docs/ALERTS.md has the diagram; the letters of its arrows are the values of `Arrow`. The values are in
`alerts.values`, the events in `alerts.events`; both can be imported from here.
"""

from collections.abc import Callable
from typing import Any, Final
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from alerts.arrows import Arrow, Refusal
from alerts.events import (
    Acknowledged,
    AckSilent,
    CancelAsked,
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
from alerts.shown import as_shown_to_driver
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
    "Actor", "ActorKind", "Alert", "Arrow", "CancelAsked", "CountdownOver", "Denied", "Event", "FalseAlarm",
    "GaveUp", "Heard", "Kind", "Noted", "PinResult", "Place", "Press", "Pressed", "Reached", "Refusal",
    "Resolved", "Responder", "ResponderAdded", "Severity", "State", "Transition", "Veil", "alert_id_of",
    "as_shown_to_driver", "opened_alert", "severity_of", "transition", "worse",
]  # fmt: skip

MAX_WRONG_PINS: Final = 5
"""The last of them ends a countdown, and every PIN after it is refused: somebody is guessing."""
MAX_RESPONDERS: Final = 50
REVIVE_AFTER_MS: Final = 60_000
"""A further press begins an exhausted escalation afresh, but not sooner than this after it was exhausted."""

_NAMESPACE: Final = UUID("5a0f5b9e-3c1d-5f6e-9d0a-77a79a7d5a05")


class Transition(Struct, frozen=True):
    """What an event did: ``arrow`` is None when nothing, ``refused`` None when it was let in.

    A wrong PIN is both: counted (an arrow) and refused.
    """

    alert: Alert
    arrow: Arrow | None = None
    refused: Refusal | None = None


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
        return _refused(alert, Refusal.OTHER_DRILL)
    if press.sos_id == alert.sos_id:
        return _refused(alert, Refusal.ALREADY)
    joined = replace(
        alert,
        presses=alert.presses + 1,
        pressed_ms=min(alert.pressed_ms, press.pressed_ms),
        journey_id=press.journey_id or alert.journey_id,
        place=_newest(alert.place, press.place),
        message=press.message or alert.message,
        silent=alert.silent or press.silent,
        severity=max(alert.severity, severity_of(press.kind)),
        veil=_lifted(alert.veil, now_ms),
    )
    if worse(press.kind, alert.kind):
        return _changed(_afresh(replace(joined, kind=press.kind), now_ms), Arrow.PRESSED_WORSE)
    gave_up_ms = alert.exhausted_ms if alert.state is State.ACTIVE else None
    if gave_up_ms is not None and now_ms - gave_up_ms >= REVIVE_AFTER_MS:
        return _changed(_afresh(joined, now_ms), Arrow.REVIVED)
    return _changed(joined, Arrow.PRESSED)


def _newest(ours: Place | None, theirs: Place | None) -> Place | None:
    """A press that was long on its way does not move the driver back."""
    if ours is None or theirs is None:
        return theirs or ours
    if ours.t_ms is not None and theirs.t_ms is not None and theirs.t_ms < ours.t_ms:
        return ours
    return theirs


def _lifted(veil: Veil | None, now_ms: int) -> Veil | None:
    if veil is None or veil.lifted_ms is not None:
        return veil
    return replace(veil, lifted_ms=now_ms)


def _countdown_over(alert: Alert, event: CountdownOver, now_ms: int) -> Transition:
    if alert.state is not State.PENDING:
        return _refused(alert, Refusal.NOT_PENDING)
    return _changed(_afresh(alert, now_ms), Arrow.COUNTDOWN_OVER)


# --- the driver's PIN


def _cancel_asked(alert: Alert, event: CancelAsked, now_ms: int) -> Transition:
    if alert.wrong_pins >= MAX_WRONG_PINS:
        return _refused(alert, Refusal.TOO_MANY_PINS)
    if event.pin is PinResult.WRONG:
        return _pin_wrong(alert, now_ms)
    if alert.duress:
        # Whatever PIN it is: the driver alone cannot end this one any more, and must not see that.
        return _veiled(alert, now_ms)
    if event.pin is PinResult.DURESS:
        return _duress(alert, now_ms)
    arrow = Arrow.CANCELLED_UNHEARD if alert.state is State.PENDING else Arrow.CANCELLED
    return _closed(alert, State.CANCELLED, event.actor, now_ms, arrow)


def _pin_wrong(alert: Alert, now_ms: int) -> Transition:
    counted = replace(alert, wrong_pins=alert.wrong_pins + 1)
    if alert.state is State.PENDING and counted.wrong_pins >= MAX_WRONG_PINS:
        done = _changed(_afresh(counted, now_ms), Arrow.GUESSED)
    else:
        done = _changed(counted, Arrow.PIN_WRONG)
    return replace(done, refused=Refusal.WRONG_PIN)


def _duress(alert: Alert, now_ms: int) -> Transition:
    told = replace(
        alert,
        duress=True,
        silent=True,
        severity=Severity.CRITICAL,
        veil=Veil(now_ms, alert.version + 1, alert.silent),
    )
    return _changed(_afresh(told, now_ms), Arrow.DURESS)


def _veiled(alert: Alert, now_ms: int) -> Transition:
    if alert.veil is not None and alert.veil.lifted_ms is None:
        return _refused(alert, Refusal.ALREADY)
    return _changed(replace(alert, veil=Veil(now_ms, alert.version + 1, alert.silent)), Arrow.VEILED)


# --- those who help


def _acknowledged(alert: Alert, event: Acknowledged, now_ms: int) -> Transition:
    if (reason := unfit(alert, event.actor)) is not None:
        return _refused(alert, reason)
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
        return _changed(taken, Arrow.ACKNOWLEDGED)
    if is_responding(alert, event.actor):
        return _life(alert, now_ms)
    return _responding(alert, Responder(event.actor, now_ms), Arrow.JOINED, now_ms)


def _heard(alert: Alert, event: Heard, now_ms: int) -> Transition:
    if alert.state is not State.ACKNOWLEDGED:
        return _refused(alert, Refusal.NOT_ACKNOWLEDGED)
    if not is_responding(alert, event.actor):
        return _refused(alert, Refusal.NOT_RESPONDING)
    return _life(alert, now_ms)


def _ack_silent(alert: Alert, event: AckSilent, now_ms: int) -> Transition:
    if alert.state is not State.ACKNOWLEDGED:
        return _refused(alert, Refusal.NOT_ACKNOWLEDGED)
    return _changed(_afresh(alert, now_ms), Arrow.SILENT)


def _responder_added(alert: Alert, event: ResponderAdded, now_ms: int) -> Transition:
    if (reason := unfit(alert, event.responder.actor)) is not None:
        return _refused(alert, reason)
    if any(_same(known, event.responder) for known in alert.responders):
        return _refused(alert, Refusal.ALREADY)
    return _responding(alert, event.responder, Arrow.RESPONDER, now_ms)


def _responding(alert: Alert, responder: Responder, arrow: Arrow, now_ms: int) -> Transition:
    others = tuple(r for r in alert.responders if who(r.actor) != who(responder.actor))
    if len(others) >= MAX_RESPONDERS:
        return _refused(alert, Refusal.FULL)
    joined = replace(alert, responders=in_order((*others, responder)))
    if alert.state is State.ACKNOWLEDGED:
        joined = replace(joined, heard_ms=now_ms)
    return _changed(joined, arrow)


def _noted(alert: Alert, event: Noted, now_ms: int) -> Transition:
    if alert.state is State.ACKNOWLEDGED and is_responding(alert, event.actor):
        alert = replace(alert, heard_ms=now_ms)
    return _changed(alert, Arrow.NOTED)


# --- the end


def _resolved(alert: Alert, event: Resolved, now_ms: int) -> Transition:
    if (reason := may_not_close(alert, event.actor)) is not None:
        return _refused(alert, reason)
    return _closed(alert, State.RESOLVED, event.actor, now_ms, Arrow.RESOLVED)


def _false_alarm(alert: Alert, event: FalseAlarm, now_ms: int) -> Transition:
    if (reason := may_not_close(alert, event.actor)) is not None:
        return _refused(alert, reason)
    if alert.duress and event.actor.kind is not ActorKind.OPERATOR:
        return _refused(alert, Refusal.DURESS)
    arrow = Arrow.CANCELLED_UNHEARD if alert.state is State.PENDING else Arrow.FALSE_ALARM
    return _closed(alert, State.CANCELLED, event.actor, now_ms, arrow)


# --- what delivery says


def _reached(alert: Alert, event: Reached, now_ms: int) -> Transition:
    if alert.state is State.PENDING:
        return _refused(alert, Refusal.NOT_ACTIVE)
    if alert.reached_ms is not None:
        return _refused(alert, Refusal.ALREADY)
    return _changed(replace(alert, reached_ms=now_ms), Arrow.REACHED)


def _gave_up(alert: Alert, event: GaveUp, now_ms: int) -> Transition:
    if alert.state is not State.ACTIVE:
        return _refused(alert, Refusal.NOT_ACTIVE)
    if alert.exhausted_ms is not None:
        return _refused(alert, Refusal.ALREADY)
    return _changed(replace(alert, exhausted_ms=now_ms, exhausted_reason=event.reason), Arrow.GAVE_UP)


# --- small parts


def _changed(alert: Alert, arrow: Arrow) -> Transition:
    return Transition(replace(alert, version=alert.version + 1), arrow)


def _refused(alert: Alert, reason: Refusal) -> Transition:
    return Transition(alert, refused=reason)


def _life(alert: Alert, now_ms: int) -> Transition:
    # Nobody sees this one, so the version stays.
    return Transition(replace(alert, heard_ms=max(now_ms, alert.heard_ms or 0)), Arrow.HEARD)


def _afresh(alert: Alert, now_ms: int) -> Alert:
    """``alert`` active, its escalation at the beginning."""
    return replace(
        alert,
        state=State.ACTIVE,
        round=alert.round if alert.state is State.PENDING else alert.round + MAX_LOOPS,
        active_since_ms=now_ms,
        pending_until_ms=None,
        acknowledged_by=None,
        acknowledged_ms=None,
        heard_ms=None,
        exhausted_ms=None,
        exhausted_reason=None,
    )


def _closed(alert: Alert, state: State, actor: Actor, now_ms: int, arrow: Arrow) -> Transition:
    done = replace(alert, state=state, pending_until_ms=None, closed_ms=now_ms, closed_by=actor)
    return _changed(done, arrow)


def _same(a: Responder, b: Responder) -> bool:
    return who(a.actor) == who(b.actor) and a.eta_s == b.eta_s


_DECIDE: Final[dict[type, Callable[[Alert, Any, int], Transition]]] = {
    Pressed: _pressed,
    CountdownOver: _countdown_over,
    CancelAsked: _cancel_asked,
    Acknowledged: _acknowledged,
    Heard: _heard,
    AckSilent: _ack_silent,
    Resolved: _resolved,
    FalseAlarm: _false_alarm,
    Noted: _noted,
    Denied: lambda alert, event, now_ms: _refused(alert, Refusal.FORBIDDEN),
    ResponderAdded: _responder_added,
    Reached: _reached,
    GaveUp: _gave_up,
}
