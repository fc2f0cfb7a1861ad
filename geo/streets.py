"""A made-up city: an irregular grid of streets with arterials, diagonals and parks, and ways through it.

Pure and seeded: the same seed is the same city.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from math import hypot
from random import Random
from typing import Final

from geo.distance import Plane

LIVERPOOL: Final = Plane(53.4065, -2.9690)
"""East of Lime Street: wide enough on all sides to stay out of the river."""

STREET_MPS: Final = 8.9
"""20 mph."""

ARTERIAL_MPS: Final = 13.4
"""30 mph."""


@dataclass(frozen=True, slots=True)
class Street:
    """One way along a block, from its node to ``to``."""

    to: int
    length_m: float
    limit_mps: float

    @property
    def is_arterial(self) -> bool:
        """Whether it is one of the wide roads."""
        return self.limit_mps > STREET_MPS


@dataclass(frozen=True, slots=True)
class City:
    """Crossings in metres on ``plane`` and the streets that leave each; one gets everywhere."""

    plane: Plane
    nodes: tuple[tuple[float, float], ...]
    streets: tuple[tuple[Street, ...], ...]

    def __repr__(self) -> str:
        return f"City({len(self.nodes)} crossings, {sum(map(len, self.streets)) // 2} blocks)"


def build_city(
    seed: int, *, plane: Plane = LIVERPOOL, blocks: int = 19, block_m: float = 170.0, arterial_every: int = 5
) -> City:
    """A city of ``blocks`` × ``blocks`` blocks around ``plane``'s place.

    Crossings are moved about, one side street in eight is missing, a few parks are left out, every
    ``arterial_every``-th street is an arterial, and two diagonal avenues cross it.
    """
    if blocks < 3:
        raise ValueError(f"blocks is below 3: {blocks}")
    rng = Random(seed)  # noqa: S311  a map is no secret
    side = blocks + 1
    nodes = _crossings(rng, side, block_m)
    parks = _parks(rng, side)
    limits: dict[tuple[int, int], float] = {}
    for row in range(side):
        for column in range(side):
            here = row * side + column
            for there, is_arterial in (
                (here + 1 if column + 1 < side else None, row % arterial_every == 0),
                (here + side if row + 1 < side else None, column % arterial_every == 0),
            ):
                if there is None or here in parks or there in parks:
                    continue
                if is_arterial or rng.random() > 0.125:
                    limits[here, there] = ARTERIAL_MPS if is_arterial else STREET_MPS
    for step in range(blocks):
        falling = step * side + (blocks - step)
        limits[step * side + step, (step + 1) * side + step + 1] = ARTERIAL_MPS
        limits[falling, falling + side - 1] = ARTERIAL_MPS
    return _connected(plane, nodes, limits)


def _crossings(rng: Random, side: int, block_m: float) -> list[tuple[float, float]]:
    half_m = (side - 1) * block_m / 2.0
    return [
        (
            column * block_m - half_m + rng.uniform(-0.22, 0.22) * block_m,
            row * block_m - half_m + rng.uniform(-0.22, 0.22) * block_m,
        )
        for row in range(side)
        for column in range(side)
    ]


def _parks(rng: Random, side: int) -> set[int]:
    parks: set[int] = set()
    for _ in range(max(1, side // 7)):
        row, column = rng.randrange(1, side - 2), rng.randrange(1, side - 2)
        parks.update({row * side + column, row * side + column + 1, (row + 1) * side + column})
    return parks


def _connected(plane: Plane, nodes: list[tuple[float, float]], limits: dict[tuple[int, int], float]) -> City:
    """The largest part of the city in which one can get everywhere, its crossings numbered anew."""
    neighbours: list[list[int]] = [[] for _ in nodes]
    for a, b in limits:
        neighbours[a].append(b)
        neighbours[b].append(a)
    left, largest = set(range(len(nodes))), set[int]()
    while left:
        part, edge = set[int](), [left.pop()]
        while edge:
            node = edge.pop()
            part.add(node)
            fresh = [n for n in neighbours[node] if n in left]
            left.difference_update(fresh)
            edge.extend(fresh)
        largest = max(largest, part, key=len)
    number = {old: new for new, old in enumerate(sorted(largest))}
    streets: list[list[Street]] = [[] for _ in number]
    for (a, b), limit_mps in limits.items():
        if a in number:
            length_m = hypot(nodes[b][0] - nodes[a][0], nodes[b][1] - nodes[a][1])
            streets[number[a]].append(Street(number[b], length_m, limit_mps))
            streets[number[b]].append(Street(number[a], length_m, limit_mps))
    return City(plane, tuple(nodes[old] for old in number), tuple(map(tuple, streets)))


def quickest_way(city: City, start: int, goal: int, rng: Random, *, whim: float = 0.3) -> list[int]:
    """The crossings from ``start`` to ``goal`` by the quickest way, as one driver sees it.

    Each block's time is stretched by up to ``whim``, so that not everybody takes the same way. A* with the
    straight line at the highest speed as its bound (Hart, Nilsson, Raphael 1968).
    """
    goal_x, goal_y = city.nodes[goal]

    def bound_s(node: int) -> float:
        x, y = city.nodes[node]
        return hypot(goal_x - x, goal_y - y) / ARTERIAL_MPS

    best_s, came_from = {start: 0.0}, dict[int, int]()
    ahead, done = [(bound_s(start), start)], set[int]()
    while ahead:
        _, node = heappop(ahead)
        if node == goal:
            break
        if node in done:
            continue
        done.add(node)
        for street in city.streets[node]:
            time_s = best_s[node] + street.length_m / street.limit_mps * rng.uniform(1.0, 1.0 + whim)
            if time_s < best_s.get(street.to, float("inf")):
                best_s[street.to] = time_s
                came_from[street.to] = node
                heappush(ahead, (time_s + bound_s(street.to), street.to))
    way = [goal]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]


def street_between(city: City, start: int, end: int) -> Street:
    """The block from one crossing to the next one. Raises ValueError when there is none."""
    for street in city.streets[start]:
        if street.to == end:
            return street
    raise ValueError(f"no street from crossing {start} to {end}")
