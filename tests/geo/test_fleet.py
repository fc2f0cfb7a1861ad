"""The demo city and its vehicles: connected, seeded, plausible."""

from itertools import pairwise
from math import hypot
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point as Place

from geo.distance import Plane, distance_m
from geo.fleet import Fix, Vehicle, advance, build_fleet, plan_route, position_m
from geo.position import Point, cleaned, refusal
from geo.streets import ARTERIAL_MPS, LIVERPOOL, City, build_city, quickest_way, street_between

CITY = build_city(1)


def driven(vehicle: Vehicle, seconds: int, rng: Random, dt_s: float = 1.0) -> list[tuple[Vehicle, Fix]]:
    track = []
    for _ in range(seconds):
        vehicle, fix = advance(vehicle, dt_s, rng)
        track.append((vehicle, fix))
    return track


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), blocks=st.integers(3, 14))
def test_one_gets_everywhere_in_any_city(seed: int, blocks: int) -> None:
    city = build_city(seed, blocks=blocks)
    assert len(city.nodes) > 0.6 * (blocks + 1) ** 2
    seen, edge = {0}, [0]
    while edge:
        for street in city.streets[edge.pop()]:
            if street.to not in seen:
                seen.add(street.to)
                edge.append(street.to)
    assert len(seen) == len(city.nodes)


def test_the_same_seed_is_the_same_city_and_another_is_not() -> None:
    assert build_city(7) == build_city(7) != build_city(8)
    assert repr(CITY).endswith("blocks)")


def test_there_are_arterials_diagonals_and_dead_regularity_is_broken() -> None:
    streets = [street for leaving in CITY.streets for street in leaving]
    assert 0.15 < sum(s.is_arterial for s in streets) / len(streets) < 0.6
    assert max(s.length_m for s in streets) > 1.3 * 170.0
    assert len({round(s.length_m) for s in streets}) > 50


def test_a_city_too_small_to_be_one_is_refused() -> None:
    with pytest.raises(ValueError, match="blocks is below 3: 2"):
        build_city(1, blocks=2)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), whim=st.sampled_from([0.0, 0.3]))
def test_a_way_follows_streets_and_is_not_much_slower_than_the_quickest(seed: int, whim: float) -> None:
    rng = Random(seed)
    start, goal = rng.sample(range(len(CITY.nodes)), 2)
    way = quickest_way(CITY, start, goal, rng, whim=whim)
    assert (way[0], way[-1]) == (start, goal) and len(set(way)) == len(way)
    time_s = sum(_time_s(CITY, a, b) for a, b in pairwise(way))
    assert time_s <= (1.0 + whim) * _quickest_s(CITY, start, goal) + 1e-6


def _time_s(city: City, a: int, b: int) -> float:
    street = street_between(city, a, b)
    return street.length_m / street.limit_mps


def _quickest_s(city: City, start: int, goal: int) -> float:
    """By Bellman and Ford: slow and another algorithm than the one under test."""
    best = {start: 0.0}
    changed = True
    while changed:
        changed = False
        for node in list(best):
            for street in city.streets[node]:
                time_s = best[node] + street.length_m / street.limit_mps
                if time_s < best.get(street.to, 1e18) - 1e-9:
                    best[street.to] = time_s
                    changed = True
    return best[goal]


def test_there_is_no_street_where_there_is_none() -> None:
    far = max(range(len(CITY.nodes)), key=lambda n: hypot(*CITY.nodes[n]))
    with pytest.raises(ValueError, match="no street"):
        street_between(CITY, far, far)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_vehicle_drives_plausibly_for_ten_minutes(seed: int) -> None:
    rng = Random(seed)
    (vehicle,) = build_fleet(CITY, 1, rng)
    before = vehicle
    for after, fix in driven(vehicle, 600, rng):
        assert 0.0 <= after.speed_mps <= ARTERIAL_MPS + 1e-6
        # 2 × 1.8 m/s² is an emergency stop; nothing jumps
        assert -3.7 <= after.speed_mps - before.speed_mps <= 1.4
        moved_m = hypot(*(b - a for a, b in zip(position_m(before), position_m(after), strict=True)))
        assert moved_m <= ARTERIAL_MPS + 1.0
        assert refusal(point := Point(1, 0, *fix)) is None and cleaned(point) == point
        assert (fix.heading_deg is None) == (after.speed_mps <= 0.5)
        before = after
    assert before.trips or before.travelled_m > 300.0


def test_the_phone_is_near_the_street_the_vehicle_is_on() -> None:
    rng = Random(5)
    (vehicle,) = build_fleet(CITY, 1, rng)
    errors_m = []
    for after, fix in driven(vehicle, 1200, rng):
        x_m, y_m = CITY.plane.to_metres(fix.lat, fix.lon)
        errors_m.append(after.route.line.distance(Place(x_m, y_m)))
    errors_m.sort()
    assert errors_m[len(errors_m) // 2] < 5.0 and errors_m[-1] < 20.0
    assert errors_m[len(errors_m) // 2] > 0.2


def test_vehicles_stop_go_and_reach_destinations() -> None:
    rng = Random(3)
    fleet = build_fleet(CITY, 10, rng)
    tracks = [driven(vehicle, 1800, rng) for vehicle in fleet]
    standing = sum(v.speed_mps == 0.0 for track in tracks for v, _ in track) / 18_000
    assert 0.05 < standing < 0.6
    assert all(track[-1][0].trips >= 1 for track in tracks)
    assert all(
        track[-1][0].battery_pct < fleet[i].battery_pct or fleet[i].battery_pct < 10
        for i, track in enumerate(tracks)
    )


def test_the_same_seed_drives_the_same_way() -> None:
    runs = []
    for _ in range(2):
        rng = Random(11)
        runs.append([fix for v in build_fleet(CITY, 3, rng) for _, fix in driven(v, 60, rng)])
    assert runs[0] == runs[1]


def test_no_time_moves_nothing_and_time_does_not_run_backwards() -> None:
    rng = Random(1)
    (vehicle,) = build_fleet(CITY, 1, rng)
    after, _ = advance(vehicle, 0.0, rng)
    assert position_m(after) == position_m(vehicle)
    with pytest.raises(ValueError, match="dt_s is negative"):
        advance(vehicle, -1.0, rng)


def test_a_long_step_is_as_good_as_many_short_ones() -> None:
    rng = Random(4)
    (vehicle,) = build_fleet(CITY, 1, rng)
    short = driven(vehicle, 60, Random(9))[-1][0]
    ((long, _),) = driven(vehicle, 1, Random(9), dt_s=60.0)
    assert long.travelled_m == pytest.approx(short.travelled_m, abs=0.01)


def test_a_fleet_stays_in_its_city() -> None:
    rng = Random(2)
    for vehicle in build_fleet(CITY, 20, rng):
        _, fix = driven(vehicle, 100, rng)[-1]
        assert distance_m(LIVERPOOL.lat, LIVERPOOL.lon, fix.lat, fix.lon) < 2500.0


def test_another_place_is_another_centre() -> None:
    rng = Random(2)
    city = build_city(2, plane=Plane(-33.9, 151.2))
    (vehicle,) = build_fleet(city, 1, rng)
    _, fix = advance(vehicle, 1.0, rng)
    assert distance_m(-33.9, 151.2, fix.lat, fix.lon) < 2500.0


def test_a_route_ends_somewhere_else_with_a_stop_and_can_be_braked_everywhere() -> None:
    for seed in range(20):
        route = plan_route(CITY, seed, Random(seed))
        assert route.goal != seed and route.marks[-1].speed_mps == 0.0
        assert route.marks[-1].at_m == pytest.approx(route.line.length)
        for here, following in pairwise(route.marks):
            assert here.at_m < following.at_m
            assert here.speed_mps**2 <= following.speed_mps**2 + 3.6 * (following.at_m - here.at_m) + 1e-6
