"""Distances agree with geopy's exact ones."""

from geopy.distance import geodesic, great_circle
from hypothesis import given
from hypothesis import strategies as st
from pytest import approx

from geo.distance import Plane, distance_m, heading_deg, turn_deg

LAT, LON, ANGLE = st.floats(-89.0, 89.0), st.floats(-180.0, 180.0), st.floats(0.0, 359.9)


@given(lat_a=LAT, lon_a=LON, lat_b=LAT, lon_b=LON)
def test_distance_agrees_with_geopy(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> None:
    measured_m = distance_m(lat_a, lon_a, lat_b, lon_b)
    assert measured_m == approx(great_circle((lat_a, lon_a), (lat_b, lon_b)).m, rel=1e-5, abs=0.5)
    assert measured_m == approx(geodesic((lat_a, lon_a), (lat_b, lon_b)).m, rel=0.006, abs=0.5)
    assert measured_m == approx(distance_m(lat_b, lon_b, lat_a, lon_a))


@given(lat=st.floats(-75.0, 75.0), x_m=st.floats(-3000.0, 3000.0), y_m=st.floats(-3000.0, 3000.0))
def test_the_plane_keeps_distances_and_comes_back(lat: float, x_m: float, y_m: float) -> None:
    plane = Plane(lat, -2.97)
    place = plane.to_degrees(x_m, y_m)
    assert plane.to_metres(*place) == approx((x_m, y_m), abs=1e-5)
    assert geodesic((plane.lat, plane.lon), place).m == approx((x_m**2 + y_m**2) ** 0.5, rel=0.002, abs=0.01)


def test_headings_run_clockwise_from_north() -> None:
    assert [heading_deg(*step) for step in ((0, 1), (1, 0), (0, -1), (-1, 0))] == [0.0, 90.0, 180.0, 270.0]


@given(before=ANGLE, after=ANGLE)
def test_a_turn_is_never_more_than_a_half_and_the_same_both_ways(before: float, after: float) -> None:
    assert 0.0 <= turn_deg(before, after) <= 180.0
    assert turn_deg(before, after) == approx(turn_deg(after, before))


def test_a_turn_across_north_is_small() -> None:
    assert turn_deg(350.0, 10.0) == approx(20.0)
