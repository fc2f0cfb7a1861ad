"""When a provider is left alone, and how it is found to be back."""

from hypothesis import given
from hypothesis import strategies as st

from alerts.delivery.breaker import LONGEST_PAUSE_S, PAUSE_S, STRIKES, Breaker, BreakerState


def opened_at(now_s: float) -> Breaker:
    breaker = Breaker()
    for _ in range(STRIKES):
        breaker.began(now_s)
        breaker.struck(now_s)
    return breaker


def test_it_opens_after_three_strikes_in_a_row() -> None:
    breaker = Breaker()
    for expected in (BreakerState.CLOSED, BreakerState.CLOSED, BreakerState.OPEN):
        breaker.began(0.0)
        breaker.struck(0.0)
        assert breaker.state(0.0) is expected
    assert breaker.room(0.0, 10) == 0
    assert breaker.is_down(0.0)


def test_strikes_with_a_success_between_them_are_not_in_a_row() -> None:
    breaker = Breaker()
    for _ in range(10):
        breaker.struck(0.0)
        breaker.struck(0.0)
        breaker.well()
    assert breaker.state(0.0) is BreakerState.CLOSED
    assert breaker.room(0.0, 10) == 10


def test_after_the_pause_one_call_may_see_and_the_channel_is_not_down_until_it_does() -> None:
    breaker = opened_at(0.0)
    assert breaker.state(PAUSE_S) is BreakerState.HALF_OPEN
    assert not breaker.is_down(PAUSE_S)
    assert breaker.room(PAUSE_S, 10) == 1
    breaker.began(PAUSE_S)
    assert breaker.room(PAUSE_S, 10) == 0
    assert breaker.is_down(PAUSE_S)


def test_a_probe_that_succeeds_closes_it() -> None:
    breaker = opened_at(0.0)
    breaker.began(PAUSE_S)
    breaker.well()
    assert breaker.room(PAUSE_S, 10) == 10
    assert not breaker.is_down(PAUSE_S)


def test_probes_that_fail_come_ever_more_rarely_but_never_stop() -> None:
    breaker = opened_at(0.0)
    now_s, pauses = 0.0, []
    for _ in range(8):
        waited_s = 0.0
        while breaker.room(now_s, 1) == 0:
            now_s, waited_s = now_s + 0.5, waited_s + 0.5
        pauses.append(waited_s)
        breaker.began(now_s)
        breaker.struck(now_s)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]


def test_a_probe_that_was_never_made_leaves_room_for_another() -> None:
    breaker = opened_at(0.0)
    breaker.began(PAUSE_S)
    breaker.abandoned()
    assert breaker.room(PAUSE_S, 10) == 1


def test_a_provider_that_names_a_time_is_left_alone_for_it_at_once() -> None:
    breaker = Breaker()
    breaker.struck(0.0, retry_after_s=7.0)
    assert breaker.is_down(6.9)
    assert not breaker.is_down(7.0)


def test_a_provider_cannot_name_a_time_that_silences_it_for_long() -> None:
    breaker = Breaker()
    breaker.struck(0.0, retry_after_s=86_400.0)
    assert breaker.room(LONGEST_PAUSE_S, 10) == 1


def test_the_failures_of_calls_begun_before_it_opened_do_not_prolong_the_pause() -> None:
    breaker = opened_at(0.0)
    breaker.struck(PAUSE_S - 0.1)
    breaker.struck(PAUSE_S - 0.1)
    assert breaker.room(PAUSE_S, 1) == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["began", "well", "struck", "abandoned"]), st.floats(0, 40)), max_size=60
    )
)
def test_whatever_happens_it_asks_again_within_the_longest_pause(steps: list[tuple[str, float]]) -> None:
    breaker, now_s = Breaker(), 0.0
    for what, seconds in steps:
        now_s += seconds
        if what == "began" and breaker.room(now_s, 1):
            breaker.began(now_s)
        elif what == "well":
            breaker.well()
        elif what == "struck":
            breaker.struck(now_s)
        elif what == "abandoned":
            breaker.abandoned()
    breaker.abandoned()  # every call ends
    assert breaker.room(now_s + LONGEST_PAUSE_S, 1) == 1
