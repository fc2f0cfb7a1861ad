"""The driver's PINs: the right one ends an alert, the duress PIN seems to, guessing leads nowhere. Pure.

What the phone is shown then is in `alerts.driver_view`.
"""

from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from alerts.arrows import Arrow, Refusal
from alerts.driver_view import as_shown_to_driver, completed
from alerts.events import CancelAsked, PinResult
from alerts.transitions import Transition, afresh, changed, closed, refused
from alerts.values import Alert, Press, Severity, State, Veil, worse

OF_PHONE: Final = frozenset({"socket", "http"})
"""Sources of presses by the driver's own phone."""
MAX_WRONG_PINS: Final = 5
"""The last of them ends a countdown, and every PIN after it is refused: somebody is guessing."""


def cancel_asked(alert: Alert, event: CancelAsked, now_ms: int) -> Transition:
    """A PIN was given to end ``alert``."""
    if alert.wrong_pins >= MAX_WRONG_PINS:
        return refused(alert, Refusal.TOO_MANY_PINS)
    if event.pin is PinResult.WRONG:
        return _pin_wrong(alert, now_ms)
    if alert.duress:
        # Whatever PIN it is: the driver alone cannot end this one any more, and must not see that.
        return _veiled(alert, now_ms)
    if event.pin is PinResult.DURESS:
        return _duress(alert, now_ms)
    arrow = Arrow.CANCELLED_UNHEARD if alert.state is State.PENDING else Arrow.CANCELLED
    # The same veil as after the duress PIN: what is done to the alert later is not shown on the phone either.
    return closed(_with_veil(alert, now_ms), State.CANCELLED, event.actor, now_ms, arrow)


def _pin_wrong(alert: Alert, now_ms: int) -> Transition:
    counted = replace(alert, wrong_pins=alert.wrong_pins + 1)
    if alert.state is State.PENDING and counted.wrong_pins >= MAX_WRONG_PINS:
        done = changed(afresh(counted, now_ms), Arrow.GUESSED)
    else:
        done = changed(counted, Arrow.PIN_WRONG)
    return replace(done, refused=Refusal.WRONG_PIN)


def _duress(alert: Alert, now_ms: int) -> Transition:
    told = replace(
        alert,
        duress=True,
        silent=True,
        severity=Severity.CRITICAL,
        veil=_with_veil(alert, now_ms).veil,
    )
    return changed(afresh(told, now_ms), Arrow.DURESS)


def _veiled(alert: Alert, now_ms: int) -> Transition:
    if alert.veil is not None and alert.veil.lifted_ms is None:
        return refused(alert, Refusal.ALREADY)
    return changed(_with_veil(alert, now_ms), Arrow.VEILED)


def _with_veil(alert: Alert, now_ms: int) -> Alert:
    """``alert`` as of the change that is made now, from which on the phone is shown it as cancelled."""
    known = alert if alert.veil is None else as_shown_to_driver(alert)
    veil = Veil(
        drawn_ms=now_ms,
        version=alert.version + 1,
        silent=alert.silent,
        place=alert.place,
        message=known.message,
        kind=known.kind,
        journey_id=known.journey_id,
        pressed_ms=known.pressed_ms,
    )
    return replace(alert, veil=veil)


def lifted(alert: Alert, press: Press, now_ms: int) -> Veil | None:
    """Return the veil of ``alert`` after ``press``: a driver who presses again after a PIN is shown an alert
    again, with what their own phone has sent.

    A press by an operator or by a timer lifts and changes nothing: an attacker who holds the phone must not
    see it.
    """
    if alert.veil is None:
        return None
    veil = completed(alert.veil, alert)
    if press.by is not None or press.source not in OF_PHONE:
        return veil
    kind, pressed_ms = veil.kind, veil.pressed_ms
    return replace(
        veil,
        lifted_ms=now_ms if veil.lifted_ms is None else veil.lifted_ms,
        message=press.message or veil.message,
        kind=press.kind if kind is UNSET or worse(press.kind, kind) else kind,
        journey_id=press.journey_id or veil.journey_id,
        pressed_ms=press.pressed_ms if pressed_ms is UNSET else min(pressed_ms, press.pressed_ms),
    )
