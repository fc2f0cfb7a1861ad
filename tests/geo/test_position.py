"""What makes a position unusable, and which of two is the newer."""

from math import isfinite, nan

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.position import (
    CLOCK_FUTURE_MS,
    CLOCK_PAST_MS,
    NULL_ISLAND_DEG,
    SECONDS_FROM,
    SECONDS_TO,
    T_MS_MAX,
    Point,
    Reported,
    VoidReason,
    cleaned,
    clock_is_odd,
    has_fix,
    order_ms,
    refusal,
    time_fault,
    void,
)

NOW_MS = 1_780_000_000_000
DAY_MS = 86_400_000

LAT, LON = st.floats(-90.0, 90.0), st.floats(-180.0, 180.0)
TIME_MS = st.integers(0, T_MS_MAX)
ANYTHING = st.none() | st.floats()


def at(lat: float | None, lon: float | None, t_ms: int | None = NOW_MS) -> Point:
    return Point(1, t_ms, lat, lon)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (at(53.4, -2.9), None),
        (at(90.0, 180.0), None),
        (at(-90.0, -180.0), None),
        (at(0.0, 0.1), None),
        (at(53.4, -2.9, 0), None),
        (at(53.4, -2.9, T_MS_MAX), None),
        (at(90.000001, 0.0), VoidReason.LAT_OUT_OF_RANGE),
        (at(-91.0, 0.0), VoidReason.LAT_OUT_OF_RANGE),
        (at(nan, 1.0), VoidReason.LAT_OUT_OF_RANGE),
        (at(1.0, nan), VoidReason.LON_OUT_OF_RANGE),
        (at(1.0, 180.1), VoidReason.LON_OUT_OF_RANGE),
        (at(1.0, float("inf")), VoidReason.LON_OUT_OF_RANGE),
        (at(0.0, -0.0), VoidReason.NO_FIX),
        (at(0.004, 0.003), VoidReason.NO_FIX),
        (at(-0.0099, 0.0099), VoidReason.NO_FIX),
        (at(0.01, 0.0), None),
        (at(0.0, -0.01), None),
        (at(None, 1.0), VoidReason.NO_FIX),
        (at(1.0, None), VoidReason.NO_FIX),
        (at(1.0, 1.0, None), VoidReason.BAD_TIME),
        (at(1.0, 1.0, -1), VoidReason.BAD_TIME),
        (at(1.0, 1.0, T_MS_MAX + 1), VoidReason.BAD_TIME),
        (void(7), VoidReason.BAD_TIME),
        (at(1.0, 1.0, NOW_MS // 1000), VoidReason.TIME_IN_SECONDS),
        (at(1.0, 1.0, SECONDS_FROM), VoidReason.TIME_IN_SECONDS),
        (at(1.0, 1.0, SECONDS_TO - 1), VoidReason.TIME_IN_SECONDS),
        (at(1.0, 1.0, SECONDS_FROM - 1), None),
        (at(1.0, 1.0, SECONDS_TO), None),
    ],
)
def test_refusal_names_its_reason(point: Point, reason: VoidReason | None) -> None:
    assert refusal(point) is reason


@given(lat=LAT, lon=LON, t_ms=TIME_MS)
def test_every_place_on_earth_but_the_null_island_is_taken(lat: float, lon: float, t_ms: int) -> None:
    expected = VoidReason.NO_FIX if abs(lat) < NULL_ISLAND_DEG and abs(lon) < NULL_ISLAND_DEG else None
    assert refusal(at(lat, lon, t_ms)) is (time_fault(t_ms) or expected)


@given(lat=st.floats(), lon=st.floats())
def test_whatever_is_taken_lies_on_earth(lat: float, lon: float) -> None:
    if refusal(at(lat, lon)) is None:
        assert -90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0


@given(speed=ANYTHING, heading=ANYTHING, accuracy=ANYTHING, altitude=ANYTHING, battery=ANYTHING)
def test_cleaning_keeps_the_position_and_only_sane_extras(
    speed: float | None,
    heading: float | None,
    accuracy: float | None,
    altitude: float | None,
    battery: float | None,
) -> None:
    point = Point(3, NOW_MS, 53.4, -2.9, speed, heading, accuracy, altitude, battery)
    clean = cleaned(point)
    assert (clean.seq, clean.t_ms, clean.lat, clean.lon) == (3, NOW_MS, 53.4, -2.9)
    extras = [
        (clean.speed_mps, speed, 0.0, 350.0),
        (clean.heading_deg, heading, 0.0, 360.0),
        (clean.accuracy_m, accuracy, 0.0, 100_000.0),
        (clean.altitude_m, altitude, -500.0, 20_000.0),
        (clean.battery_pct, battery, 0.0, 100.0),
    ]
    for kept, given_value, low, high in extras:
        sane = given_value is not None and isfinite(given_value) and low <= given_value <= high
        assert kept == (given_value if sane else None)
    assert cleaned(clean) is clean


def test_minus_one_from_a_phone_means_unknown() -> None:
    assert cleaned(Point(1, NOW_MS, 53.4, -2.9, -1.0, -1.0, -1.0)) == Point(1, NOW_MS, 53.4, -2.9)


def test_a_point_is_an_array_on_the_wire_and_trailing_values_may_be_missing() -> None:
    assert msgspec.json.decode(b"[1,5,53.4,-2.9]", type=Point) == Point(1, 5, 53.4, -2.9)
    assert msgspec.json.decode(msgspec.json.encode(Point(1, 5, 53.4, -2.9)), type=Point) == Point(
        1, 5, 53.4, -2.9
    )


@pytest.mark.parametrize(
    ("offset_ms", "odd"),
    [
        (0, False),
        (-CLOCK_PAST_MS, False),
        (-CLOCK_PAST_MS - 1, True),
        (CLOCK_FUTURE_MS, False),
        (CLOCK_FUTURE_MS + 1, True),
        (-NOW_MS, True),
        (365 * DAY_MS, True),
    ],
)
def test_a_clock_is_odd_outside_thirty_days_back_and_one_ahead(offset_ms: int, odd: bool) -> None:
    assert clock_is_odd(NOW_MS + offset_ms, NOW_MS) is odd


@given(t_ms=TIME_MS, received_ms=TIME_MS, later_ms=st.integers(1, DAY_MS))
def test_a_fast_clock_gains_nothing_and_a_late_backlog_stays_old(
    t_ms: int, received_ms: int, later_ms: int
) -> None:
    assert order_ms(t_ms, received_ms) <= received_ms
    assert order_ms(t_ms, received_ms) <= t_ms
    assert order_ms(t_ms, received_ms + later_ms) >= order_ms(t_ms, received_ms)
    backlog_ms = order_ms(NOW_MS - DAY_MS, NOW_MS + later_ms)
    assert backlog_ms < order_ms(NOW_MS, NOW_MS)


EDGES = (-90, 90, -180, 180, 0.0, -0.0, 350, 360, 100, 100_000, -500, 20_000, 1e-300)
BEYOND = (-90.1, 90.1, -180.1, 180.1, -1, -0.1, 350.1, 360.1, 100.1, 100_001, -501, 20_001, 1e300, None)
edges = st.sampled_from((*EDGES, *BEYOND))


@given(
    st.sampled_from([0, -1, NOW_MS, T_MS_MAX, T_MS_MAX + 1, 2**70, None]),
    st.tuples(edges, edges, edges, edges, edges, edges, edges),
)
def test_what_decodes_as_a_point_is_what_judging_lets_pass_unchanged(
    t_ms: int | None, values: tuple[float | None, ...]
) -> None:
    body = msgspec.json.encode([1, t_ms, *values])
    reported = msgspec.json.decode(body, type=Reported)
    judged_good = refusal(reported) is None and cleaned(reported) == Point(1, t_ms, *values)
    try:
        decoded_good = has_fix(msgspec.json.decode(body, type=Point))
    except msgspec.ValidationError:
        decoded_good = False
    assert decoded_good == judged_good


def test_a_reported_point_has_the_fields_of_a_point() -> None:
    assert Reported.__struct_fields__ == Point.__struct_fields__
    assert cleaned(Reported(1, 5, 53.4, -2.9, 7.0)) == Point(1, 5, 53.4, -2.9, 7.0)
