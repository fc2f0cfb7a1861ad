"""Safety timers as values: what arms, answers, ends and fires them, and what counts as silence."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts import timers
from alerts.alert import Actor, ActorKind, Kind, Place
from alerts.timers import SETTLE_MS, Sign, Spec, Timer, TimerKind, TimerState

NOW = 1_764_000_000_000
MINUTE = 60_000
BY = Actor(ActorKind.DRIVER, "d1")
JOURNEY = UUID(int=7)
OPEN = [(NOW - 100 * MINUTE, NOW + 100 * MINUTE)]
"""Ingest was open all the time."""

CHECK_IN = Spec(TimerKind.CHECK_IN, UUID(int=1), every_s=1_200, grace_s=60)
ARRIVE = Spec(TimerKind.ARRIVE_BY, UUID(int=2), by_ms=NOW + 30 * MINUTE, grace_s=120)
SILENT = Spec(TimerKind.SIGNAL_LOST, UUID(int=3), every_s=600)


def armed(spec: Spec, sign: Sign | None = None) -> Timer:
    assert timers.problem(spec, NOW) is None
    return timers.armed(spec, "t1", "north", "d1", BY, sign, NOW)


@pytest.mark.parametrize(
    ("spec", "due_ms"),
    [(CHECK_IN, NOW + 21 * MINUTE), (ARRIVE, NOW + 32 * MINUTE), (SILENT, NOW + 10 * MINUTE)],
)
def test_a_timer_is_due_after_its_time_and_its_grace(spec: Spec, due_ms: int) -> None:
    timer = armed(spec)
    assert (timer.due_ms, timer.state) == (due_ms, TimerState.ARMED)


@pytest.mark.parametrize(
    "spec",
    [
        Spec(TimerKind.ARRIVE_BY, UUID(int=1)),
        Spec(TimerKind.ARRIVE_BY, UUID(int=1), by_ms=NOW),
        Spec(TimerKind.ARRIVE_BY, UUID(int=1), by_ms=NOW + 8 * 24 * 60 * MINUTE),
        Spec(TimerKind.CHECK_IN, UUID(int=1)),
        Spec(TimerKind.CHECK_IN, UUID(int=1), every_s=59),
        Spec(TimerKind.SIGNAL_LOST, UUID(int=1), every_s=86_401),
        Spec(TimerKind.CHECK_IN, UUID(int=1), every_s=600, grace_s=-1),
        Spec(TimerKind.CHECK_IN, UUID(int=1), every_s=600, grace_s=3_601),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_fields_name(spec: Spec) -> None:
    assert timers.problem(spec, NOW) in {
        "by_ms is missing",
        "by_ms is not within the next 7 days",
        "every_s is missing",
        "every_s is not within 60 and 86400",
        "grace_s is not within 0 and 3600",
    }


def test_checking_in_begins_the_next_interval_from_now_even_after_it_fired() -> None:
    timer = armed(CHECK_IN)
    later = NOW + 5 * MINUTE
    again = timers.checked_in(timer, later)
    assert again is not None
    assert again.due_ms == later + 21 * MINUTE
    late = timers.checked_in(timers.fired(timer, UUID(int=9), later), later)
    assert late is not None
    assert (late.state, late.fired) == (TimerState.ARMED, 1)


def test_nobody_checks_in_to_another_kind_or_to_one_that_is_over() -> None:
    assert timers.checked_in(armed(ARRIVE), NOW) is None
    over = timers.ended(armed(CHECK_IN), TimerState.CANCELLED, BY, NOW)
    assert over is not None
    assert timers.checked_in(over, NOW) is None
    assert timers.ended(over, TimerState.DONE, BY, NOW) is None


def test_each_firing_is_a_press_of_its_own_and_the_same_firing_the_same_press() -> None:
    timer = armed(CHECK_IN)
    place = Place(53.4, -2.9)
    first = timers.press_of(timer, place, JOURNEY, NOW)
    assert (first.kind, first.source, first.place) == (Kind.CHECK_IN_MISSED, "timer", place)
    assert first.journey_id == JOURNEY
    assert timers.press_of(timer, None, None, NOW + 1).sos_id == first.sos_id
    again = timers.press_of(timers.fired(timer, UUID(int=9), NOW), place, JOURNEY, NOW)
    assert again.sos_id != first.sos_id


def test_the_same_apps_id_of_another_driver_is_another_timer() -> None:
    ids = {timers.timer_id_of(t, d, CHECK_IN.client_timer_id) for t in ("t1", "t2") for d in ("d1", "d2")}
    assert len(ids) == 4


@pytest.mark.parametrize("spec", [CHECK_IN, ARRIVE, SILENT])
def test_a_clock_that_agrees_moves_no_timer(spec: Spec) -> None:
    timer = armed(spec)
    assert timers.settled_into(timer, NOW) is timer
    assert timers.settled_into(timer, NOW + 10**9) is timer
    assert timers.settled_into(timer, NOW - timers.TOLERATED_MS) is timer


def test_a_clock_set_back_moves_what_is_counted_from_now_and_no_time_of_day() -> None:
    back = NOW - 60 * MINUTE
    assert timers.settled_into(armed(CHECK_IN), back).due_ms == back + 21 * MINUTE
    assert timers.settled_into(armed(SILENT), back).heard_ms == back
    assert timers.settled_into(armed(ARRIVE), back).due_ms == armed(ARRIVE).due_ms


# --- silence


def test_silence_is_the_time_since_the_last_sign() -> None:
    assert timers.silence_ms(NOW - 10 * MINUTE, NOW, OPEN) == 10 * MINUTE


def test_our_own_outage_is_no_silence_and_phones_are_given_time_to_be_back() -> None:
    heard = NOW - 30 * MINUTE
    uptime = [(NOW - 60 * MINUTE, NOW - 25 * MINUTE), (NOW - 5 * MINUTE, NOW)]
    assert timers.silence_ms(heard, NOW, uptime) == 5 * MINUTE + 5 * MINUTE - SETTLE_MS


def test_stretches_of_several_processes_count_once() -> None:
    heard = NOW - 10 * MINUTE
    halves = [(NOW - 20 * MINUTE, NOW - 4 * MINUTE), (NOW - 6 * MINUTE, NOW), (NOW - 20 * MINUTE, NOW)]
    assert timers.silence_ms(heard, NOW, halves) == 10 * MINUTE


def test_without_uptime_nobody_is_silent() -> None:
    assert timers.silence_ms(NOW - 10 * MINUTE, NOW, []) == 0
    assert timers.silence_ms(NOW - 10 * MINUTE, NOW, [(NOW - 90 * MINUTE, NOW - 20 * MINUTE)]) == 0


stretches = st.lists(
    st.tuples(st.integers(0, 10_000_000), st.integers(0, 3_000_000)).map(lambda p: (p[0], p[0] + p[1])),
    max_size=8,
)


@given(st.integers(0, 10_000_000), st.integers(0, 10_000_000), stretches, stretches)
def test_silence_is_within_the_time_that_passed_and_grows_with_uptime_that_joins(
    heard: int, passed: int, uptime: list[tuple[int, int]], more: list[tuple[int, int]]
) -> None:
    now = heard + passed
    silent = timers.silence_ms(heard, now, uptime)
    assert 0 <= silent <= passed
    assert timers.silence_ms(heard, now, [*uptime, *uptime]) == silent
    assert timers.silence_ms(heard, now, [*uptime, *more, (0, 20_000_000)]) == passed


def test_a_point_that_came_since_the_last_look_is_a_sign_at_its_arrival() -> None:
    timer = armed(SILENT, Sign(JOURNEY, 5))
    now = NOW + 10 * MINUTE
    seen = timers.looked(timer, Sign(JOURNEY, 6, now - MINUTE), False, now)
    assert (seen.heard_ms, seen.seen) == (now - MINUTE, (JOURNEY, 6))


@pytest.mark.parametrize("wrong_ms", [-60 * MINUTE, 60 * MINUTE])
def test_a_wrong_clock_where_it_arrived_makes_nobody_silent(wrong_ms: int) -> None:
    timer = armed(SILENT, Sign(JOURNEY, 5))
    now = NOW + 10 * MINUTE
    assert timers.looked(timer, Sign(JOURNEY, 6, now + wrong_ms), False, now).heard_ms == now


def test_the_same_last_point_is_no_sign() -> None:
    timer = armed(SILENT, Sign(JOURNEY, 5))
    now = NOW + 10 * MINUTE
    assert timers.looked(timer, Sign(JOURNEY, 5, now), False, now).heard_ms == NOW


def test_a_new_journey_a_connected_app_or_no_journey_is_a_sign() -> None:
    timer = armed(SILENT, Sign(JOURNEY, 50))
    now = NOW + 10 * MINUTE
    assert timers.looked(timer, Sign(UUID(int=8), 2, now - 1), False, now).heard_ms == now - 1
    assert timers.looked(timer, Sign(JOURNEY, 50), True, now).heard_ms == now
    assert timers.looked(timer, None, False, now).heard_ms == now


def test_it_is_looked_at_again_when_it_could_be_too_long() -> None:
    timer = armed(SILENT)
    again = timers.look_again(structs.replace(timer, state=TimerState.HELD), 4 * MINUTE, NOW)
    assert (again.state, again.due_ms) == (TimerState.ARMED, NOW + 6 * MINUTE)
    assert timers.look_again(timer, 11 * MINUTE, NOW).due_ms > NOW


# --- many at once


def test_those_who_fell_silent_at_about_the_same_time_are_counted() -> None:
    heard = NOW - 10 * MINUTE
    others = [heard + MINUTE, heard - 2 * MINUTE, heard + 5 * MINUTE, NOW - 1_000, heard - 60 * MINUTE]
    assert timers.fell_silent_with(heard, sorted(others), NOW) == 2


@pytest.mark.parametrize(
    ("silent", "active", "mass"), [(4, 4, False), (5, 10, True), (5, 100, False), (30, 100, True)]
)
def test_a_mass_is_both_many_and_a_large_part(silent: int, active: int, mass: bool) -> None:
    assert timers.is_mass(silent, active, 5, 0.3) is mass


def test_a_dismissal_begins_anew_and_says_who() -> None:
    held = timers.held(armed(SILENT), NOW + 5 * MINUTE, NOW)
    operator = Actor(ActorKind.OPERATOR, "olga")
    begun = timers.dismissed(held, operator, NOW + MINUTE)
    assert (begun.state, begun.due_ms, begun.dismissed_by) == (TimerState.ARMED, NOW + 11 * MINUTE, operator)
    assert begun.heard_ms == NOW + MINUTE


# --- the diagram of docs/ALERTS.md

STATES = {
    TimerState.ARMED: armed(CHECK_IN),
    TimerState.HELD: timers.held(armed(SILENT), NOW + MINUTE, NOW),
    TimerState.FIRED: timers.fired(armed(CHECK_IN), UUID(int=9), NOW),
    TimerState.CANCELLED: timers.ended(armed(CHECK_IN), TimerState.CANCELLED, BY, NOW),
    TimerState.DONE: timers.ended(armed(CHECK_IN), TimerState.DONE, BY, NOW),
}
ARROWS: dict[str, tuple[TimerState, Callable[[Timer], Timer | None], TimerState]] = {
    "a": (TimerState.ARMED, lambda t: timers.checked_in(t, NOW), TimerState.ARMED),
    "a, heard": (TimerState.ARMED, lambda t: timers.look_again(t, 0, NOW), TimerState.ARMED),
    "b": (TimerState.ARMED, lambda t: timers.held(t, NOW + 1, NOW), TimerState.HELD),
    "c": (TimerState.HELD, lambda t: timers.dismissed(t, BY, NOW), TimerState.ARMED),
    "c, heard": (TimerState.HELD, lambda t: timers.look_again(t, 0, NOW), TimerState.ARMED),
    "d": (TimerState.ARMED, lambda t: timers.fired(t, UUID(int=9), NOW), TimerState.FIRED),
    "e": (TimerState.HELD, lambda t: timers.fired(t, UUID(int=9), NOW), TimerState.FIRED),
    "f": (TimerState.FIRED, lambda t: timers.checked_in(t, NOW), TimerState.ARMED),
    "g": (TimerState.ARMED, lambda t: timers.ended(t, TimerState.DONE, BY, NOW), TimerState.DONE),
    "h": (TimerState.ARMED, lambda t: timers.ended(t, TimerState.CANCELLED, BY, NOW), TimerState.CANCELLED),
}


@pytest.mark.parametrize("arrow", ARROWS)
def test_each_arrow_leads_where_the_diagram_says(arrow: str) -> None:
    state, happens, then = ARROWS[arrow]
    timer = STATES[state]
    assert timer is not None
    after = happens(timer)
    assert after is not None
    assert after.state is then


@pytest.mark.parametrize("state", [TimerState.CANCELLED, TimerState.DONE])
def test_nothing_leads_out_of_an_end(state: TimerState) -> None:
    timer = STATES[state]
    assert timer is not None
    assert timers.checked_in(timer, NOW) is None
    assert timers.ended(timer, TimerState.DONE, BY, NOW) is None
    assert timers.ended(timer, TimerState.CANCELLED, BY, NOW) is None


@pytest.mark.parametrize("state", [TimerState.HELD, TimerState.FIRED])
def test_what_is_held_or_has_fired_can_be_ended(state: TimerState) -> None:
    timer = STATES[state]
    assert timer is not None
    after = timers.ended(timer, TimerState.DONE, BY, NOW)
    assert after is not None
    assert after.state is TimerState.DONE
