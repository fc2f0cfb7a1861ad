"""What the driver's own phone may see of an alert: after a duress PIN, a cancelled one. Pure."""

from msgspec.structs import replace

from alerts.values import Actor, ActorKind, Alert, State, severity_of


def as_shown_to_driver(alert: Alert) -> Alert:
    """``alert`` for the driver's phone, and for nobody else.

    There are three cases:

    1. Never cancelled under duress: as it is.
    2. Cancelled under duress: cancelled, and the same for ever, whatever happens to it.
    3. The driver pressed again after that: active, and only what happened since.
    """
    veil = alert.veil
    if veil is None:
        return alert
    if veil.lifted_ms is None:
        driver = Actor(ActorKind.DRIVER, alert.driver)
        bare = _bare(alert, veil.drawn_ms)
        return replace(
            bare,
            state=State.CANCELLED,
            version=veil.version,
            silent=veil.silent,
            closed_ms=veil.drawn_ms,
            closed_by=driver,
        )
    since_ms = veil.lifted_ms
    shown = replace(_bare(alert, since_ms), state=State.ACTIVE, active_since_ms=since_ms)
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


def _bare(alert: Alert, since_ms: int) -> Alert:
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
