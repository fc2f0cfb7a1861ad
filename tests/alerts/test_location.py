"""Which of the known places counts: the table of the rule, and its edges."""

import itertools
import json
import math
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Alert, Place, Press, State, as_shown_to_driver
from alerts.events import CancelAsked, Moved, PinResult
from alerts.location import (
    AHEAD_AGE_MS,
    ANCIENT_MS,
    FUTURE_MS,
    UNKNOWN_AGE_MS,
    PlaceSource,
    SetAside,
    better,
    choose,
    credible_ms,
    is_garbled,
    is_usable,
    is_worth_following,
    of_press,
    order_ms,
    place_of,
)
from alerts.merge import both
from alerts.press import parse_press
from tests.alerts.kit import DRIVER, T0, S, circumstances, press, sos

SOS_ID = "11111111-1111-4111-8111-111111111111"
WEEKS_1024_MS = 1_024 * 7 * 86_400_000
J1, J2 = UUID(int=1), UUID(int=2)


def pressed(point: list[Any], received_ms: int = T0) -> Press:
    """A press with ``point`` as an app sends it."""
    raw = json.dumps({"sos_id": SOS_ID, "point": point})
    made = parse_press(raw, tenant="t1", vendor="v1", driver="d1", received_ms=received_ms, source="http")
    return replace(made, place=of_press(made))


def committed(ago_ms: int, accuracy_m: float | None = 5.0, lat: float = 52.0, **more: Any) -> Place:
    """A committed point of a journey that arrived ``ago_ms`` ago."""
    given = {"source": PlaceSource.JOURNEY, "arrived_ms": T0 - ago_ms, "journey_id": J1, "seq": 7} | more
    made = place_of(lat, 13.0, accuracy_m, T0 - ago_ms, 50.0, **given)
    assert made is not None
    return made


def chosen(point: list[Any] | None, *others: Place) -> tuple[Place | None, tuple[str, ...]]:
    """The place that counts, and all that is noted of the press."""
    made = press(place=None) if point is None else pressed(point)
    choice = choose([made.place, *others])
    return choice.place, (*made.noted, *([] if choice.set_aside is None else [choice.set_aside.value]))


# --- the table


def test_a_press_at_0_0_has_the_committed_point_and_that_is_noted() -> None:
    other = committed(10 * S)
    assert chosen([99, T0, 0, 0, None, None, 5], other) == (other, ("point",))


def test_a_point_of_five_hours_ago_gives_way_to_a_committed_one_of_30_s() -> None:
    other = committed(30 * S)
    place, noted = chosen([1, T0 - 5 * 3_600_000, 53.0, 13.0, None, None, 5], other)
    assert (place, noted) == (other, ("point_older",))


@pytest.mark.parametrize(
    ("t_ms", "noted"),
    [
        (T0 - 40 * 86_400_000, "point_ancient"),
        (T0 - WEEKS_1024_MS, "point_ancient"),
        (T0 - 2 * WEEKS_1024_MS, "point_ancient"),
        (T0 + 2 * 3_600_000, "point_time"),
        (T0 + FUTURE_MS + 1, "point_time"),
        (0, "point_ancient"),
        (-1, "point_ancient"),
        (T0 // 1000, "point_ancient"),
        (T0 * 1000, "point_time"),
        (None, "point_time"),
        ("now", "point_time"),
        (10**99, "point_time"),
        (True, "point_time"),
    ],
)
def test_a_time_that_cannot_be_is_unknown_and_noted(t_ms: Any, noted: str) -> None:
    place, said = chosen([1, t_ms, 53.0, 13.0])
    assert place is not None
    assert (place.lat, place.t_ms, said) == (53.0, None, (noted,))
    assert order_ms(place) <= T0 - UNKNOWN_AGE_MS, "never taken for new"
    other = committed(10 * S)
    assert chosen([1, t_ms, 53.0, 13.0], other) == (other, (noted, "point_unknown_age"))


def test_a_place_of_3_km_gives_way_to_one_of_5_m_from_two_seconds_ago() -> None:
    other = committed(2 * S)
    assert chosen([1, T0, 53.0, 13.0, None, None, 3_000], other) == (other, ("point_inexact",))


@pytest.mark.parametrize(
    ("ago_ms", "metres", "stays"),
    [
        (10 * S, 3_000.0, True),
        (-30 * S, 3_000.0, True),
        (-S, 80.0, True),
        (-S, 15.0, False),
        (-600 * S, 3_000.0, False),
    ],
)
def test_a_second_press_with_a_worse_place_leaves_the_better_one(
    ago_ms: int, metres: float, stays: bool
) -> None:
    first = press(place=Place(53.4, -2.9, 5.0, T0))
    second = press(2, place=Place(53.5, -2.9, metres, T0 - ago_ms), received_ms=T0 - ago_ms)
    case = cases.opened(first, circumstances(), T0).case
    done = cases.joined(case, second, circumstances(), T0 + 600 * S)
    assert done.case.alert.place == (first.place if stays else second.place)
    (line,) = [line for line in done.audit if line.what == "pressed"]
    assert bool(line.detail["noted"]) is stays


def test_a_second_press_without_a_fix_is_noted_and_leaves_the_place() -> None:
    first = press(place=Place(53.4, -2.9, 5.0, T0))
    second = replace(pressed([1, T0 + S, 0, 0], T0 + S), tenant="acme", vendor="north", sos_id=sos(2))
    case = cases.opened(first, circumstances(), T0).case
    done = cases.joined(case, second, circumstances(), T0 + S)
    assert done.case.alert.place == first.place
    assert [line.detail["noted"] for line in done.audit if line.what == "pressed"] == ["point"]


def test_of_two_open_journeys_the_newest_fix_counts() -> None:
    older, newer = committed(60 * S), committed(5 * S, journey_id=J2, seq=2)
    for known in itertools.permutations([older, newer, None]):
        assert choose(known).place == newer


def test_the_newest_of_all_kinds_counts_whatever_the_order() -> None:
    live = committed(3 * S, source=PlaceSource.LIVE)
    earlier = committed(400 * S, source=PlaceSource.EARLIER)
    known = [pressed([1, T0 - 20 * S, 53.0, 13.0]).place, committed(9 * S), live, earlier]
    for some in itertools.permutations(known):
        assert choose(some).place == live


# --- what cannot be a place


@pytest.mark.parametrize(
    ("lat", "lon"),
    [
        (0, 0), (0.0, -0.0), (1e-7, -1e-7), (0.009, 0.009), (91, 0), (-90.1, 5), (5, 180.1), (5, -181),
        (math.nan, 5), (5, math.inf), (None, 5), ("52", 13), (True, 5), (10**400, 5), (121.47, 31.23),
    ],
)  # fmt: skip
def test_what_is_no_position_is_none(lat: Any, lon: Any) -> None:
    assert not is_usable(lat, lon)
    assert place_of(lat, lon, 5.0, T0, None, source=PlaceSource.LIVE, arrived_ms=T0) is None
    assert choose([Place(lat, lon, 5.0, T0), committed(S)]).place == committed(S)


@pytest.mark.parametrize(("lat", "lon"), [(90, 180), (-90, -180), (0.0, 10.0), (51.5, 0.0), (0.011, 0.0)])
def test_the_poles_the_equator_and_greenwich_are_places(lat: float, lon: float) -> None:
    assert is_usable(lat, lon)


@pytest.mark.parametrize(
    ("metres", "found", "noted"),
    [
        (0, None, ()), (-1, None, ()), (None, None, ()), (0.5, 0.5, ()), (2_000_000, 2_000_000.0, ()),
        ("x", None, ("point_accuracy",)),
        (math.nan, None, ("point_accuracy",)), (True, None, ("point_accuracy",)),
    ],
)  # fmt: skip
def test_an_accuracy_that_cannot_be_is_unknown(metres: Any, found: float | None, noted: Any) -> None:
    made = pressed([1, T0, 53.0, 13.0, None, None, metres])
    assert made.place is not None
    assert (made.place.accuracy_m, made.noted) == (found, noted)


@pytest.mark.parametrize("metres", [2e7, 1e300, math.inf])
def test_a_circle_of_half_the_earth_is_no_place(metres: float) -> None:
    made = pressed([1, T0, 53.0, 13.0, None, None, metres])
    assert (made.place, made.noted) == (None, ("point",))


@pytest.mark.parametrize(
    "point",
    [(13.0, 52.0), (-52.0, 13.0), (52.0, -13.0), (-52.0, -13.0), (52.0, 0.0)],
    ids=["exchanged", "south", "west", "both", "no longitude"],
)
def test_exchanged_coordinates_and_lost_signs_give_way(point: tuple[float, float]) -> None:
    other = committed(30 * S)
    assert chosen([1, T0, *point], other) == (other, ("point_garbled",))
    assert chosen([1, T0, *point])[0] is not None, "alone it is all that is known"


def test_a_long_way_in_a_short_time_alone_is_no_reason_to_set_a_place_aside() -> None:
    far = [1, T0, 48.0, 11.0]
    place, noted = chosen(far, committed(10 * S))
    assert place is not None
    assert (place.lat, noted) == (48.0, ())
    assert not is_garbled(committed(0, lat=52.1), committed(0))


def test_a_garbled_place_that_was_reached_by_air_is_none() -> None:
    assert not is_garbled(committed(0, lat=-52.0), committed(24 * 3_600 * S))


# --- times


def test_a_time_a_little_ahead_is_now() -> None:
    assert credible_ms(T0 + FUTURE_MS, T0) == T0
    assert credible_ms(T0 - ANCIENT_MS, T0) == T0 - ANCIENT_MS
    assert credible_ms(T0 - ANCIENT_MS - 1, T0) is None


def test_a_place_of_unknown_age_counts_when_what_else_is_known_is_older_than_an_hour() -> None:
    place, noted = chosen([1, None, 53.0, 13.0], committed(2 * UNKNOWN_AGE_MS))
    assert place is not None
    assert (place.lat, noted) == (53.0, ("point_time",))
    ancient, noted = chosen([1, T0 - 40 * 86_400_000, 53.0, 13.0], committed(2 * UNKNOWN_AGE_MS))
    assert ancient == committed(2 * UNKNOWN_AGE_MS)
    assert noted == ("point_ancient", "point_unknown_age")


def ahead(arrived_ago_ms: int, ahead_ms: int = 2 * 3_600_000, **more: Any) -> Place:
    """A position of a journey by a clock that is ``ahead_ms`` ahead."""
    return committed(arrived_ago_ms - ahead_ms, arrived_ms=T0 - arrived_ago_ms, **more)


@pytest.mark.parametrize("ahead_ms", [FUTURE_MS + 1, 3_600_000, 86_400_000, WEEKS_1024_MS])
@pytest.mark.parametrize("source", [PlaceSource.JOURNEY, PlaceSource.LIVE])
def test_a_position_whose_clock_ran_ahead_is_as_old_as_its_arrival(ahead_ms: int, source: Any) -> None:
    place = ahead(2 * S, ahead_ms, source=source)
    assert place.t_ms is None, "its age is unknown"
    assert order_ms(place) == T0 - 2 * S - AHEAD_AGE_MS
    older, newer = committed(300 * S, journey_id=J2), committed(30 * S, journey_id=J2)
    assert choose([place, older]).place == place
    assert choose([place, newer]).place == newer


def test_an_open_alert_follows_a_driver_whose_clock_is_ahead() -> None:
    raised = committed(300 * S, accuracy_m=5.0)
    moved = ahead(0, lat=52.1, seq=8)
    assert is_worth_following(raised, moved)
    later = ahead(-60 * S, lat=52.2, seq=9)
    assert is_worth_following(moved, later)
    assert not is_worth_following(later, moved)


def test_a_position_without_a_time_and_a_press_ahead_count_as_an_hour_older() -> None:
    untimed = place_of(52.0, 13.0, 5.0, None, None, source=PlaceSource.LIVE, arrived_ms=T0)
    point = pressed([1, T0 + 2 * 3_600_000, 53.0, 13.0]).place
    for place in (untimed, point):
        assert place is not None and order_ms(place) == T0 - UNKNOWN_AGE_MS


def test_within_a_journey_seq_decides_when_the_clock_stepped_back() -> None:
    before, after = committed(10 * S, seq=7), committed(3_600 * S, seq=8)
    for known in ([before, after], [after, before]):
        assert choose(known).place == after
    assert is_worth_following(before, after)
    assert not is_worth_following(after, before)


def test_a_clock_that_stepped_back_decides_the_same_in_every_order() -> None:
    """By pairs alone each of the three would count over another one."""
    before, after = committed(10 * S, seq=7), committed(3_600 * S, seq=8)
    between = committed(60 * S, journey_id=J2)
    assert {choose(known).place for known in itertools.permutations([before, after, between])} == {between}


KNOWN = st.lists(
    st.builds(
        committed,
        st.integers(-100, 100).map(lambda n: n * S),
        st.sampled_from([None, 5.0, 100.0, 3_000.0]),
        st.sampled_from([52.0, 52.1]),
        source=st.sampled_from([PlaceSource.JOURNEY, PlaceSource.LIVE]),
        journey_id=st.sampled_from([J1, J2, None]),
        seq=st.integers(1, 4),
    ),
    max_size=5,
)


@given(KNOWN, st.randoms())
def test_the_order_of_what_is_known_decides_nothing(known: list[Place], random: Random) -> None:
    shuffled = random.sample(known, len(known))
    assert choose(shuffled) == choose(known)
    assert (choose(known).place is None) == (not known)


# --- copies of an alert


def test_a_record_of_an_earlier_release_is_read_and_its_untimed_place_gives_way() -> None:
    old = msgspec.json.decode(b'{"lat": 1.0, "lon": 2.0, "accuracy_m": 5.0, "t_ms": null}', type=Place)
    assert (old.source, old.order_ms, old.journey_id, old.seq) == ("", None, None, None)
    assert better(old, committed(86_400 * S)) == committed(86_400 * S)
    assert choose([old]).place == old


PLACES = st.one_of(
    st.none(),
    st.builds(
        Place,
        lat=st.floats(-90, 90),
        lon=st.floats(-180, 180),
        accuracy_m=st.one_of(st.none(), st.floats(0.1, 1e6)),
        t_ms=st.one_of(st.none(), st.integers(T0 - 1_000_000, T0)),
        source=st.sampled_from(["", *PlaceSource]),
        order_ms=st.one_of(st.none(), st.integers(T0 - 5_000_000, T0)),
        journey_id=st.sampled_from([None, J1, J2]),
        seq=st.one_of(st.none(), st.integers(1, 5)),
    ),
)


@given(PLACES, PLACES)
def test_two_copies_of_an_alert_come_to_one_place_whichever_is_first(
    a: Place | None, b: Place | None
) -> None:
    first = cases.opened(press(place=a), circumstances(), T0).case
    second = cases.opened(press(place=b), circumstances(), T0).case
    copies = [(x.alert, x.copy, x.attempts) for x in (first, second)]
    one, other = both(copies[0], copies[1], T0), both(copies[1], copies[0], T0)
    assert one[0].place == other[0].place
    assert one[0].place in (a, b)
    assert both(one, copies[0], T0)[0].place == one[0].place


def test_an_import_that_joins_two_presses_keeps_the_better_place() -> None:
    ours = cases.opened(press(1, place=Place(53.0, 13.0, 5.0, T0)), circumstances(), T0).case
    for theirs, found in (
        (Place(54.0, 13.0, 4_000.0, T0 + 5 * S), ours.alert.place),
        (Place(54.0, 13.0, 8.0, T0 + 5 * S), Place(54.0, 13.0, 8.0, T0 + 5 * S)),
        (None, ours.alert.place),
    ):
        case = cases.opened(press(2, place=theirs), circumstances(), T0 + 5 * S).case
        assert cases.merged(ours, case, T0 + 6 * S).case.alert.place == found


# --- the place follows the driver


def seen(after_ms: int, lat: float, metres: float | None = 5.0) -> Place:
    return Place(lat, 13.0, metres, T0 + after_ms, None, PlaceSource.LIVE, None, J1, after_ms // S)


@pytest.mark.parametrize(
    ("theirs", "follows"),
    [
        (seen(S, 53.05), True),
        (seen(S, 53.0001), False),
        (seen(5 * S, 53.001), False),
        (seen(10 * S, 53.001), True),
        (seen(20 * S, 53.0), True),
        (seen(-S, 54.0), False),
        (seen(30 * S, 53.05, 5_000.0), False),
        (seen(900 * S, 53.05, 5_000.0), True),
    ],
)
def test_an_open_alert_follows_what_is_newer_and_as_good(theirs: Place, follows: bool) -> None:
    ours = Place(53.0, 13.0, 5.0, T0)
    assert is_worth_following(ours, theirs) is follows
    case = cases.opened(press(place=ours), circumstances(), T0).case
    done = cases.applied(case, Moved(theirs), T0 + 30 * S)
    assert done.case.alert.place == (theirs if follows else ours)
    assert done.case.alert.version == case.alert.version + follows
    assert (done.refused is None) is follows
    whats = {line.what for line in done.audit}
    assert whats <= {"notified"}, "the journey has the way; the history is for what people did"


def test_an_alert_without_a_place_takes_the_first_and_its_journey() -> None:
    case = cases.opened(press(place=None), circumstances(), T0).case
    alert = cases.applied(case, Moved(seen(S, 53.0)), T0 + S).case.alert
    assert (alert.place, alert.journey_id) == (seen(S, 53.0), J1)


def test_an_alert_that_is_over_follows_nobody() -> None:
    case = cases.opened(press(), circumstances(), T0).case
    over = cases.applied(case, CancelAsked(DRIVER, PinResult.RIGHT), T0 + S).case
    done = cases.applied(over, Moved(seen(60 * S, 53.0)), T0 + 60 * S)
    assert (done.case, done.refused, done.audit) == (over, "closed", ())


def test_what_the_phone_is_shown_after_a_duress_pin_does_not_follow() -> None:
    case = cases.opened(press(place=Place(53.0, 13.0, 5.0, T0), journey_id=None), circumstances(), T0).case
    right = cases.applied(case, CancelAsked(DRIVER, PinResult.RIGHT), T0 + S).case.alert
    duress = cases.applied(case, CancelAsked(DRIVER, PinResult.DURESS), T0 + S).case
    moved = cases.applied(duress, Moved(seen(60 * S, 54.0)), T0 + 60 * S).case.alert
    assert moved.place == seen(60 * S, 54.0)
    assert as_shown_to_driver(moved) == as_shown_to_driver(right) == as_shown_to_driver(duress.alert)
    old = replace(duress, alert=without_place_of_the_veil(duress.alert))
    after = cases.applied(old, Moved(seen(60 * S, 54.0)), T0 + 60 * S).case.alert
    assert as_shown_to_driver(after) == as_shown_to_driver(right)


def without_place_of_the_veil(alert: Alert) -> Alert:
    """As a process of an earlier release wrote it."""
    raw = msgspec.json.decode(msgspec.json.encode(alert))
    del raw["veil"]["place"]
    read = msgspec.convert(raw, Alert)
    assert read.veil is not None
    assert read.veil.place is msgspec.UNSET
    return read


def test_an_open_drill_follows_too() -> None:
    case = cases.opened(press(drill=True, place=Place(53.0, 13.0, 5.0, T0)), circumstances(), T0).case
    alert = cases.applied(case, Moved(seen(60 * S, 54.0)), T0 + 60 * S).case.alert
    assert (alert.state, alert.drill, alert.place) == (State.ACTIVE, True, seen(60 * S, 54.0))


def test_what_is_set_aside_is_named() -> None:
    assert {one.value for one in SetAside} == {
        "point_garbled", "point_unknown_age", "point_older", "point_inexact",
    }  # fmt: skip
