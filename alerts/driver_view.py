"""What the driver's own phone may see of an alert: after a duress PIN what is seen after the right. Pure."""

from msgspec import UNSET
from msgspec.structs import replace

from alerts.values import Actor, ActorKind, Alert, State, Veil, severity_of


def as_shown_to_driver(alert: Alert) -> Alert:
    """``alert`` for the driver's phone, and for links to a journey that the driver's app made.

    There are four cases:

    1. Cancelled by a PIN, right or duress: cancelled for ever, with nothing of what is done about it.
    2. Cancelled by the driver, without a veil (stored by an earlier version): the same.
    3. The driver pressed again after that: active, and only what happened since.
    4. Else: as it is.
    """
    veil = alert.veil
    if veil is None:
        if _is_cancelled_by_driver(alert) and alert.closed_ms is not None:
            shown = replace(alert, message=message_of_driver(alert))
            return _cancelled(shown, alert.closed_ms, alert.version, alert.silent)
        return alert
    if veil.lifted_ms is None:
        return _cancelled(_as_veiled(alert, veil), veil.drawn_ms, veil.version, veil.silent)
    since_ms = veil.lifted_ms
    of_driver = replace(_as_veiled(alert, veil), place=alert.place)
    shown = replace(_bare(of_driver), state=State.ACTIVE, active_since_ms=since_ms)
    shown = replace(shown, responders=tuple(r for r in alert.responders if r.at_ms >= since_ms))
    if alert.reached_ms is not None and alert.reached_ms >= since_ms:
        shown = replace(shown, reached_ms=alert.reached_ms)
    if alert.acknowledged_ms is not None and alert.acknowledged_ms >= since_ms:
        shown = replace(
            shown,
            state=State.ACKNOWLEDGED,
            acknowledged_by=alert.acknowledged_by,
            acknowledged_ms=alert.acknowledged_ms,
            heard_ms=alert.heard_ms,
        )
    if alert.closed_ms is not None:
        shown = replace(shown, state=alert.state, closed_ms=alert.closed_ms, closed_by=alert.closed_by)
    return shown


def message_of_driver(alert: Alert) -> str:
    """The message of an alert where it is certain that the driver's phone sent it: that of the only press.

    Which of several presses a message is of is not in the record of an alert.
    """
    return alert.message if alert.presses == 1 else ""


def completed(veil: Veil, alert: Alert) -> Veil:
    """``veil`` with what is unset, as stored by an earlier release, as the phone is shown ``alert`` now."""
    return replace(
        veil,
        place=alert.place if veil.place is UNSET else veil.place,
        message=message_of_driver(alert) if veil.message is UNSET else veil.message,
        kind=alert.kind if veil.kind is UNSET else veil.kind,
        journey_id=alert.journey_id if veil.journey_id is UNSET else veil.journey_id,
        pressed_ms=alert.pressed_ms if veil.pressed_ms is UNSET else veil.pressed_ms,
    )


def _as_veiled(alert: Alert, veil: Veil) -> Alert:
    """Return ``alert`` with what presses of others may have changed as the driver's phone knows it."""
    known = completed(veil, alert)
    return replace(
        alert,
        place=known.place,
        message=known.message,
        kind=known.kind,
        journey_id=known.journey_id,
        pressed_ms=known.pressed_ms,
    )


def _is_cancelled_by_driver(alert: Alert) -> bool:
    by = alert.closed_by
    return alert.state is State.CANCELLED and by is not None and by.kind is ActorKind.DRIVER


def _cancelled(alert: Alert, at_ms: int, version: int, silent: bool) -> Alert:
    """What a PIN leaves to be seen: the right one and the duress PIN must leave the same."""
    return replace(
        _bare(alert),
        state=State.CANCELLED,
        place=None,  # it follows the driver while the alert is open
        version=version,
        silent=silent,
        closed_ms=at_ms,
        closed_by=Actor(ActorKind.DRIVER, alert.driver),
    )


def _bare(alert: Alert) -> Alert:
    """``alert`` without a trace of the duress or of what others did."""
    return replace(
        alert,
        severity=severity_of(alert.kind),
        duress=False,
        veil=None,
        wrong_pins=0,
        round=1,
        presses=1,
        pending_until_ms=None,
        active_since_ms=None,
        acknowledged_by=None,
        acknowledged_ms=None,
        heard_ms=None,
        responders=(),
        reached_ms=None,
        exhausted_ms=None,
        exhausted_reason=None,
        closed_ms=None,
        closed_by=None,
    )
