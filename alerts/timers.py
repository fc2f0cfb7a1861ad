"""Safety timers: "arrive by 22:30", "check in every 20 minutes", "silent for 10 minutes on a journey". Pure.

A timer is a value; each function gives how it stands after something happened. Who stores it decides nothing.
docs/ALERTS.md describes the rules.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID, uuid5

from msgspec import Struct
from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Kind, Place, Press

MIN_EVERY_S: Final = 60
MAX_EVERY_S: Final = 86_400
MAX_GRACE_S: Final = 3_600
MAX_AHEAD_MS: Final = 7 * 86_400_000
SETTLE_MS: Final = 60_000
"""After an outage of ours the phones are given this long to be back before silence counts again."""
SHORTEST_LOOK_MS: Final = 1_000
MASS_WINDOW_MS: Final = 120_000
"""Drivers who fell silent within this long of each other fell silent at once."""

TOLERATED_MS: Final = 5_000
"""A clock that was set back by less was not."""

_NAMESPACE: Final = UUID("0d0f6c4f-5b0e-5d7e-8f60-3f0f3c6c9a11")


class TimerKind(StrEnum):
    """What it waits for."""

    ARRIVE_BY = "arrive_by"
    CHECK_IN = "check_in"
    SIGNAL_LOST = "signal_lost"


class TimerState(StrEnum):
    """Where a timer is."""

    ARMED = "armed"
    HELD = "held"
    """Silent together with many others: the operator was told first, contacts wait for a dismissal."""
    FIRED = "fired"
    """It has raised an alert."""
    CANCELLED = "cancelled"
    DONE = "done"
    """Arrived, or its journey ended."""


LIVE: Final = frozenset({TimerState.ARMED, TimerState.HELD})

_RAISES: Final = {
    TimerKind.ARRIVE_BY: Kind.ARRIVE_BY_MISSED,
    TimerKind.CHECK_IN: Kind.CHECK_IN_MISSED,
    TimerKind.SIGNAL_LOST: Kind.SIGNAL_LOST,
}


class Spec(Struct, frozen=True):
    """What is asked for. ``client_timer_id`` (a UUID by the app) makes asking again safe."""

    kind: TimerKind
    client_timer_id: UUID
    by_ms: int | None = None
    """``arrive_by``: by when."""
    every_s: int | None = None
    """``check_in``: from one to the next. ``signal_lost``: how long a silence."""
    grace_s: int = 0
    journey_id: UUID | None = None
    drill: bool = False


class Timer(Struct, frozen=True):
    """A timer as it stands. ``due_ms``: when it is to be looked at, the grace included."""

    timer_id: UUID
    tenant: str
    vendor: str
    driver: str
    kind: TimerKind
    state: TimerState
    due_ms: int
    armed_ms: int
    armed_by: Actor
    by_ms: int | None = None
    every_s: int | None = None
    grace_s: int = 0
    journey_id: UUID | None = None
    drill: bool = False
    heard_ms: int | None = None
    """``check_in``: the last one. ``signal_lost``: when the driver was last heard of."""
    seen: tuple[UUID, int] | None = None
    """``signal_lost``: the active journey and its last seq at the last look."""
    looked_ms: int | None = None
    """``signal_lost``: when that was."""
    fired: int = 0
    """How often it has raised an alert."""
    alert_id: UUID | None = None
    """The last alert it raised."""
    dismissed_by: Actor | None = None
    """Who last said that its silence, with many others', was known of."""
    ended_ms: int | None = None
    ended_by: Actor | None = None


class Sign(Struct, frozen=True):
    """The last that is known of a driver: the active journey, its last seq, when that came, and where."""

    journey_id: UUID
    seq: int = 0
    received_ms: int | None = None
    place: Place | None = None


def timer_id_of(tenant: str, driver: str, client_timer_id: UUID) -> UUID:
    """The id that every process makes of the app's."""
    return uuid5(_NAMESPACE, f"{tenant}\0{driver}\0{client_timer_id}")


def driver_actor(driver: str) -> Actor:
    """The driver themselves."""
    return Actor(ActorKind.DRIVER, driver)


def problem(spec: Spec, now_ms: int) -> str | None:
    """Why ``spec`` cannot be armed, in a few words; None when it can."""
    if not 0 <= spec.grace_s <= MAX_GRACE_S:
        return f"grace_s is not within 0 and {MAX_GRACE_S}"
    if spec.kind is TimerKind.ARRIVE_BY:
        if spec.by_ms is None:
            return "by_ms is missing"
        return None if now_ms < spec.by_ms <= now_ms + MAX_AHEAD_MS else "by_ms is not within the next 7 days"
    if spec.every_s is None:
        return "every_s is missing"
    if not MIN_EVERY_S <= spec.every_s <= MAX_EVERY_S:
        return f"every_s is not within {MIN_EVERY_S} and {MAX_EVERY_S}"
    return None


def armed(
    spec: Spec, tenant: str, vendor: str, driver: str, by: Actor, sign: Sign | None, now_ms: int
) -> Timer:
    """A timer of ``spec``, which has no `problem`. ``sign``: the last that is known of the driver."""
    return Timer(
        timer_id=timer_id_of(tenant, driver, spec.client_timer_id),
        tenant=tenant,
        vendor=vendor,
        driver=driver,
        kind=spec.kind,
        state=TimerState.ARMED,
        due_ms=_due_ms(spec.by_ms, spec.every_s, spec.grace_s, now_ms),
        armed_ms=now_ms,
        armed_by=by,
        by_ms=spec.by_ms,
        every_s=spec.every_s,
        grace_s=spec.grace_s,
        journey_id=spec.journey_id,
        drill=spec.drill,
        heard_ms=now_ms,
        seen=None if sign is None else (sign.journey_id, sign.seq),
        looked_ms=now_ms,
    )


def checked_in(timer: Timer, now_ms: int) -> Timer | None:
    """The driver checked in, late or not: the next interval begins. None for another kind, and when over."""
    if timer.kind is not TimerKind.CHECK_IN or timer.state in (TimerState.CANCELLED, TimerState.DONE):
        return None
    due_ms = _due_ms(None, timer.every_s, timer.grace_s, now_ms)
    return replace(timer, state=TimerState.ARMED, due_ms=due_ms, heard_ms=now_ms)


def ended(timer: Timer, state: TimerState, by: Actor, now_ms: int) -> Timer | None:
    """Arrived or cancelled; None when it is over already. One that has fired can still be ended."""
    if timer.state in (TimerState.CANCELLED, TimerState.DONE):
        return None
    return replace(timer, state=state, ended_ms=now_ms, ended_by=by)


def fired(timer: Timer, alert_id: UUID, now_ms: int) -> Timer:
    """It has raised ``alert_id``."""
    return replace(timer, state=TimerState.FIRED, fired=timer.fired + 1, alert_id=alert_id, looked_ms=now_ms)


def held(timer: Timer, until_ms: int, now_ms: int) -> Timer:
    """It is kept back with many others until ``until_ms``."""
    return replace(timer, state=TimerState.HELD, due_ms=until_ms, looked_ms=now_ms)


def dismissed(timer: Timer, by: Actor, now_ms: int) -> Timer:
    """The operator, ``by``, knows why so many are silent: it begins anew."""
    due_ms = _due_ms(None, timer.every_s, timer.grace_s, now_ms)
    begun = replace(timer, state=TimerState.ARMED, due_ms=due_ms, heard_ms=now_ms, looked_ms=now_ms)
    return replace(begun, dismissed_by=by)


def press_of(timer: Timer, place: Place | None, journey_id: UUID | None, now_ms: int) -> Press:
    """The press that firing is. The same firing is the same ``sos_id``, whoever does it again."""
    return Press(
        tenant=timer.tenant,
        vendor=timer.vendor,
        driver=timer.driver,
        sos_id=uuid5(timer.timer_id, str(timer.fired)),
        kind=_RAISES[timer.kind],
        received_ms=now_ms,
        pressed_ms=now_ms,
        source="timer",
        journey_id=timer.journey_id or journey_id,
        place=place,
        drill=timer.drill,
    )


def settled_into(timer: Timer, now_ms: int) -> Timer:
    """``timer`` by a clock that shows ``now_ms``: when it was set back, what lies in the future is moved.

    When to arrive by is a time of day, and stays.
    """
    known = (timer.armed_ms, timer.heard_ms, timer.looked_ms)
    ahead_ms = max(at_ms for at_ms in known if at_ms is not None) - now_ms
    if ahead_ms <= TOLERATED_MS:
        return timer
    return replace(
        timer,
        armed_ms=min(timer.armed_ms, now_ms),
        heard_ms=None if timer.heard_ms is None else timer.heard_ms - ahead_ms,
        looked_ms=None if timer.looked_ms is None else timer.looked_ms - ahead_ms,
        due_ms=timer.due_ms if timer.by_ms is not None else timer.due_ms - ahead_ms,
    )


# --- silence


def looked(timer: Timer, sign: Sign | None, online: bool, now_ms: int) -> Timer:
    """``timer`` with what a look found of its driver. ``online``: the app is connected.

    With no active journey there is nothing to be silent on.

    ``received_ms`` is by another process' clock: it counts only between the last look and this one. New
    points whose arrival it cannot tell arrived just now: a wrong clock never makes a driver silent.
    """
    heard_ms = timer.heard_ms or timer.armed_ms
    if online or sign is None:
        heard_ms = now_ms
    elif timer.seen is None or sign.journey_id != timer.seen[0] or sign.seq > timer.seen[1]:
        since_ms = timer.looked_ms or timer.armed_ms
        arrived_ms = sign.received_ms
        trusted = arrived_ms is not None and since_ms <= arrived_ms <= now_ms
        heard_ms = max(heard_ms, arrived_ms if trusted and arrived_ms is not None else now_ms)
    seen = None if sign is None else (sign.journey_id, sign.seq)
    return replace(timer, heard_ms=heard_ms, seen=seen, looked_ms=now_ms)


def silence_ms(heard_ms: int, now_ms: int, uptime: Sequence[tuple[int, int]]) -> int:
    """How long a driver has been silent: the time since ``heard_ms`` in which ingest was open.

    ``uptime``: when each process could take positions, in any order and overlapping. After a stretch in which
    none could, the first `SETTLE_MS` do not count.
    """
    counted = 0
    for from_ms, until_ms in _joined(uptime):
        settled_ms = from_ms if from_ms <= heard_ms <= until_ms else from_ms + SETTLE_MS
        counted += max(0, min(until_ms, now_ms) - max(settled_ms, heard_ms))
    return counted


def allowed_ms(timer: Timer) -> int:
    """How long a silence its driver asked to be let alone for."""
    return ((timer.every_s or 0) + timer.grace_s) * 1000


def look_again(timer: Timer, silent_ms: int, now_ms: int) -> Timer:
    """``timer`` armed again, to be looked at when its driver could have been silent for too long."""
    wait_ms = max(allowed_ms(timer) - silent_ms, SHORTEST_LOOK_MS)
    return replace(timer, state=TimerState.ARMED, due_ms=now_ms + wait_ms)


def fell_silent_with(heard_ms: int, others: Sequence[int], now_ms: int) -> int:
    """How many of ``others`` (when each was last heard of) are silent since about ``heard_ms`` too.

    ``others`` are in ascending order.
    """
    first = bisect_left(others, heard_ms - MASS_WINDOW_MS)
    last = bisect_right(others, min(heard_ms + MASS_WINDOW_MS, now_ms - SETTLE_MS - 1))
    return max(0, last - first)


def is_mass(silent: int, active: int, least: int, share: float) -> bool:
    """Whether so many silent ones among ``active`` speak of a network or of us, not of each of them."""
    return silent >= least and silent >= share * active


def _due_ms(by_ms: int | None, every_s: int | None, grace_s: int, now_ms: int) -> int:
    from_ms = by_ms if by_ms is not None else now_ms + (every_s or 0) * 1000
    return from_ms + grace_s * 1000


def _joined(stretches: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for from_ms, until_ms in sorted(stretches):
        if joined and from_ms <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until_ms))
        else:
            joined.append((from_ms, until_ms))
    return joined
