"""A case whose times are by another clock than the one it is looked at with now. Pure.

Escalation measures from the times that a case holds. When they lie in the future, because a clock was set
back or because another machine wrote them, everybody would wait for that future. So the case is moved: all
its times by the same amount, and what lies between them stays.
"""

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from alerts.attempt import Attempt
from alerts.case import Case
from alerts.values import Alert, Veil

TOLERATED_MS: Final = 5_000
"""Two clocks that differ by less agree."""

_ROUND_MS: Final = 5_000

_Move = Callable[[int | None], int | None]


def settled_into(case: Case, now_ms: int, skew_ms: int = 0) -> Case:
    """``case`` by a clock that shows ``now_ms``; the one that wrote it is ``skew_ms`` ahead, if known.

    What still lies in the future is moved as far back as it takes. A case that agrees is given back as it is.
    """
    if abs(skew_ms) > TOLERATED_MS:
        # Rounded, so that the same case brought in again a little later is the same.
        case = moved(case, -round(skew_ms / _ROUND_MS) * _ROUND_MS)
    ahead_ms = latest_ms(case) - now_ms
    return moved(case, -ahead_ms) if ahead_ms > TOLERATED_MS else case


def latest_ms(case: Case) -> int:
    """When the last thing in ``case`` happened, by the clock that wrote it."""
    alert = case.alert
    happened = [
        alert.raised_ms, alert.active_since_ms, alert.acknowledged_ms, alert.heard_ms, alert.reached_ms,
        alert.exhausted_ms, alert.closed_ms,
    ]  # fmt: skip
    for attempt in case.attempts.values():
        happened += [attempt.created_ms, attempt.sent_ms, attempt.delivered_ms, attempt.settled_ms]
    return max(at_ms for at_ms in happened if at_ms is not None)


def moved(case: Case, by_ms: int) -> Case:
    """``case`` with all its times ``by_ms`` later, but for ``pressed_ms``, which is by the phone's clock."""

    def move(at_ms: int | None) -> int | None:
        return None if at_ms is None else at_ms + by_ms

    attempts = {key: _attempt(attempt, by_ms, move) for key, attempt in case.attempts.items()}
    return replace(case, alert=_alert(case.alert, by_ms, move), attempts=attempts)


def _alert(alert: Alert, by_ms: int, move: _Move) -> Alert:
    responders = tuple(replace(one, at_ms=one.at_ms + by_ms) for one in alert.responders)
    return replace(
        alert,
        raised_ms=alert.raised_ms + by_ms,
        pending_until_ms=move(alert.pending_until_ms),
        active_since_ms=move(alert.active_since_ms),
        acknowledged_ms=move(alert.acknowledged_ms),
        heard_ms=move(alert.heard_ms),
        responders=responders,
        reached_ms=move(alert.reached_ms),
        exhausted_ms=move(alert.exhausted_ms),
        closed_ms=move(alert.closed_ms),
        veil=_veil(alert.veil, by_ms, move),
    )


def _veil(veil: Veil | None, by_ms: int, move: _Move) -> Veil | None:
    if veil is None:
        return None
    return replace(veil, drawn_ms=veil.drawn_ms + by_ms, lifted_ms=move(veil.lifted_ms))


def _attempt(attempt: Attempt, by_ms: int, move: _Move) -> Attempt:
    return replace(
        attempt,
        due_ms=attempt.due_ms + by_ms,
        created_ms=attempt.created_ms + by_ms,
        lease_until_ms=move(attempt.lease_until_ms),
        sent_ms=move(attempt.sent_ms),
        delivered_ms=move(attempt.delivered_ms),
        settled_ms=move(attempt.settled_ms),
    )
