"""How an alert moves: what every event that is let in, or is not, does to it. Pure."""

from msgspec import Struct
from msgspec.structs import replace

from alerts.arrows import Arrow, Refusal
from alerts.values import MAX_LOOPS, Actor, Alert, State


class Transition(Struct, frozen=True):
    """What an event did: ``arrow`` is None when nothing, ``refused`` None when it was let in.

    A wrong PIN is both: counted (an arrow) and refused.
    """

    alert: Alert
    arrow: Arrow | None = None
    refused: Refusal | None = None


def changed(alert: Alert, arrow: Arrow) -> Transition:
    """A version that everybody is told."""
    return Transition(replace(alert, version=alert.version + 1), arrow)


def refused(alert: Alert, reason: Refusal) -> Transition:
    """It stays as it is."""
    return Transition(alert, refused=reason)


def life(alert: Alert, now_ms: int) -> Transition:
    """Somebody who is on it was heard. Nobody sees that, so the version stays."""
    return Transition(replace(alert, heard_ms=max(now_ms, alert.heard_ms or 0)), Arrow.HEARD)


def afresh(alert: Alert, now_ms: int) -> Alert:
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


def closed(alert: Alert, state: State, actor: Actor, now_ms: int, arrow: Arrow) -> Transition:
    """It is over."""
    done = replace(alert, state=state, pending_until_ms=None, closed_ms=now_ms, closed_by=actor)
    return changed(done, arrow)
