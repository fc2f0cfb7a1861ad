"""Vehicles that drive through a city: routes, speeds, stops, and what their phones make of it.

Pure: ``advance(state, dt_s, rng) -> state, fix``. Vehicles keep to the limit, brake for bends and stops,
wait at lights, stand a while at their destination and then go somewhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, sin, sqrt
from random import Random
from typing import Final, NamedTuple

from shapely import LineString

from geo.distance import heading_deg, turn_deg
from geo.streets import City, quickest_way, street_between

ACCELERATION_MPS2: Final = 1.3
BRAKING_MPS2: Final = 1.8
STEP_S: Final = 0.5
"""Motion is worked out in steps of at most this."""

NOISE_M: Final = 2.5
NOISE_MEMORY_S: Final = 20.0
"""A receiver's error is about NOISE_M and wanders: a first-order Gauss–Markov process."""

DRAIN_PCT_PER_S: Final = 9.0 / 3600.0


class Fix(NamedTuple):
    """What the phone reports; in the order of a wire point behind its seq and time."""

    lat: float
    lon: float
    speed_mps: float
    heading_deg: float | None
    accuracy_m: float
    altitude_m: float
    battery_pct: float


class Mark(NamedTuple):
    """A place on a route: how fast one may be there, how long one waits there, the limit on the way to it."""

    at_m: float
    speed_mps: float
    wait_s: float
    limit_mps: float


@dataclass(frozen=True, slots=True)
class Route:
    """A way through the city: its line on the plane, and its marks in order, the last one at its end."""

    line: LineString
    marks: tuple[Mark, ...]
    goal: int


@dataclass(frozen=True, slots=True)
class Vehicle:
    """One vehicle's state. ``trips`` counts the destinations it has reached."""

    city: City
    route: Route
    travelled_m: float = 0.0
    speed_mps: float = 0.0
    next_mark: int = 0
    waiting_s: float = 0.0
    heading_deg: float = 0.0
    error_x_m: float = 0.0
    error_y_m: float = 0.0
    battery_pct: float = 100.0
    trips: int = 0


def build_fleet(city: City, size: int, rng: Random) -> list[Vehicle]:
    """``size`` vehicles, each somewhere on its first route."""
    fleet = []
    for _ in range(size):
        route = plan_route(city, rng.randrange(len(city.nodes)), rng)
        vehicle = Vehicle(city, route, battery_pct=rng.uniform(35.0, 100.0))
        fleet.append(_placed(vehicle, rng.uniform(0.0, 0.6) * route.marks[-1].at_m))
    return fleet


def _placed(vehicle: Vehicle, travelled_m: float) -> Vehicle:
    following = next(i for i, mark in enumerate(vehicle.route.marks) if mark.at_m > travelled_m)
    return replace(vehicle, travelled_m=travelled_m, next_mark=following)


def plan_route(city: City, start: int, rng: Random) -> Route:
    """A route from ``start`` to somewhere else, with the stops that its lights will bring."""
    goal = start
    while goal == start:
        goal = rng.randrange(len(city.nodes))
    way = quickest_way(city, start, goal, rng)
    line = LineString([city.nodes[node] for node in way])
    return Route(line, _brakeable(_marks(city, way, rng)), goal)


def _marks(city: City, way: Sequence[int], rng: Random) -> list[Mark]:
    """One mark a crossing: free, slow in a bend, or a stop; the end is always a stop."""
    marks, at_m = [], 0.0
    for index in range(1, len(way)):
        street = street_between(city, way[index - 1], way[index])
        at_m += street.length_m
        if index + 1 == len(way):
            marks.append(Mark(at_m, 0.0, rng.uniform(15.0, 60.0), street.limit_mps))
            continue
        following = street_between(city, way[index], way[index + 1])
        bend_deg = turn_deg(
            _heading(city, way[index - 1 : index + 1]), _heading(city, way[index : index + 2])
        )
        speed_mps = min(street.limit_mps, following.limit_mps, _bend_mps(bend_deg))
        if rng.random() < (0.35 if following.is_arterial != street.is_arterial else 0.12):
            marks.append(Mark(at_m, 0.0, rng.uniform(3.0, 25.0), street.limit_mps))
        else:
            marks.append(Mark(at_m, speed_mps, 0.0, street.limit_mps))
    return marks


def _heading(city: City, pair: Sequence[int]) -> float:
    (x0, y0), (x1, y1) = city.nodes[pair[0]], city.nodes[pair[1]]
    return heading_deg(x1 - x0, y1 - y0)


def _bend_mps(bend_deg: float) -> float:
    """From full speed straight on to walking pace in a hairpin."""
    return 50.0 if bend_deg < 15.0 else max(2.0, 11.0 - bend_deg / 15.0)


def _brakeable(marks: list[Mark]) -> tuple[Mark, ...]:
    """The same marks, slow enough to brake for the next: v² = u² + 2·b·s, from the end backwards."""
    marks = list(marks)
    for index in range(len(marks) - 2, -1, -1):
        here, following = marks[index], marks[index + 1]
        limit_mps = sqrt(following.speed_mps**2 + 2.0 * BRAKING_MPS2 * (following.at_m - here.at_m))
        marks[index] = here._replace(speed_mps=min(here.speed_mps, limit_mps))
    return tuple(marks)


def advance(vehicle: Vehicle, dt_s: float, rng: Random) -> tuple[Vehicle, Fix]:
    """The vehicle ``dt_s`` ≥ 0 seconds later and what its phone reports then. Raises ValueError."""
    if dt_s < 0.0:
        raise ValueError(f"dt_s is negative: {dt_s}")
    left_s = dt_s
    while left_s > 1e-9:
        step_s = min(STEP_S, left_s)
        vehicle = _waited(vehicle, step_s, rng) if vehicle.waiting_s > 0.0 else _driven(vehicle, step_s)
        left_s -= step_s
    vehicle = _worn(vehicle, dt_s, rng)
    return vehicle, _fix(vehicle, rng)


def _driven(vehicle: Vehicle, step_s: float) -> Vehicle:
    mark = vehicle.route.marks[vehicle.next_mark]
    to_go_m = mark.at_m - vehicle.travelled_m
    # The speed from which one can still brake after having driven one more step at it.
    slack_mps = BRAKING_MPS2 * step_s
    brakeable_mps = (
        sqrt(slack_mps**2 + mark.speed_mps**2 + 2.0 * BRAKING_MPS2 * max(0.0, to_go_m)) - slack_mps
    )
    wanted_mps = min(mark.limit_mps, brakeable_mps)
    low_mps = max(0.0, vehicle.speed_mps - 2.0 * BRAKING_MPS2 * step_s)
    speed_mps = max(low_mps, min(wanted_mps, vehicle.speed_mps + ACCELERATION_MPS2 * step_s))
    # The last metre to a stop would take for ever by the formula: roll it at walking pace.
    moved_m = min(max(speed_mps, 1.0) * step_s, to_go_m)
    if moved_m < to_go_m:
        return replace(vehicle, travelled_m=vehicle.travelled_m + moved_m, speed_mps=speed_mps)
    if mark.speed_mps > 0.0:
        speed_mps = min(speed_mps, max(mark.speed_mps, low_mps))
        return replace(vehicle, travelled_m=mark.at_m, speed_mps=speed_mps, next_mark=vehicle.next_mark + 1)
    return replace(vehicle, travelled_m=mark.at_m, speed_mps=0.0, waiting_s=mark.wait_s)


def _waited(vehicle: Vehicle, step_s: float, rng: Random) -> Vehicle:
    waiting_s = vehicle.waiting_s - step_s
    if waiting_s > 0.0:
        return replace(vehicle, waiting_s=waiting_s)
    if vehicle.next_mark + 1 < len(vehicle.route.marks):
        return replace(vehicle, waiting_s=0.0, next_mark=vehicle.next_mark + 1)
    route = plan_route(vehicle.city, vehicle.route.goal, rng)
    return replace(vehicle, route=route, travelled_m=0.0, next_mark=0, waiting_s=0.0, trips=vehicle.trips + 1)


def _worn(vehicle: Vehicle, dt_s: float, rng: Random) -> Vehicle:
    """The receiver's error wanders, the battery drains; a nearly empty phone is charged."""
    keep = exp(-dt_s / NOISE_MEMORY_S)
    spread_m = NOISE_M * sqrt(1.0 - keep * keep)
    battery_pct = vehicle.battery_pct - DRAIN_PCT_PER_S * dt_s
    return replace(
        vehicle,
        heading_deg=_direction(vehicle),
        error_x_m=vehicle.error_x_m * keep + rng.gauss(0.0, spread_m),
        error_y_m=vehicle.error_y_m * keep + rng.gauss(0.0, spread_m),
        battery_pct=battery_pct if battery_pct > 3.0 else 100.0,
    )


def _direction(vehicle: Vehicle) -> float:
    line, at_m = vehicle.route.line, min(vehicle.travelled_m, vehicle.route.marks[-1].at_m - 1.0)
    here, ahead = line.interpolate(at_m), line.interpolate(at_m + 1.0)
    return heading_deg(ahead.x - here.x, ahead.y - here.y)


def position_m(vehicle: Vehicle) -> tuple[float, float]:
    """Where the vehicle really is, on its city's plane."""
    place = vehicle.route.line.interpolate(vehicle.travelled_m)
    return place.x, place.y


def _fix(vehicle: Vehicle, rng: Random) -> Fix:
    x_m, y_m = position_m(vehicle)
    lat, lon = vehicle.city.plane.to_degrees(x_m + vehicle.error_x_m, y_m + vehicle.error_y_m)
    is_moving = vehicle.speed_mps > 0.5
    speed_mps = max(0.0, vehicle.speed_mps + rng.gauss(0.0, 0.2)) if is_moving else 0.0
    return Fix(
        round(lat, 6),
        round(lon, 6),
        round(speed_mps, 1),
        round((vehicle.heading_deg + rng.gauss(0.0, 2.0)) % 360.0, 1) % 360.0 if is_moving else None,
        round(4.0 + rng.expovariate(0.5), 1),
        round(35.0 + 15.0 * sin(x_m / 900.0) + 10.0 * sin(y_m / 700.0) + rng.gauss(0.0, 1.0), 1),
        round(vehicle.battery_pct, 1),
    )
