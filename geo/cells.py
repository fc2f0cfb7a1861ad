"""Map views as sets of H3 cells, so that what is near can be kept together and many views can share it.

A *cell* is the integer of an H3 index; a higher *resolution* has smaller cells, each step about a seventh
of the area. Coordinates are WGS84 degrees, latitude before longitude.
"""

from functools import lru_cache
from math import cos, floor, isfinite, radians, sin, sqrt
from typing import Final, NamedTuple

import h3.api.basic_int as h3

MAX_CELLS: Final = 256
"""Cells of one view at most, its margin included."""
ZOOM_MAX: Final = 24.0
RESOLUTION_MAX: Final = 10
"""Cells of 130 m across: finer ones would only make a moving map change its cells more often."""
LON_MAX_DEG: Final = 540.0
"""Maps that go round and round give longitudes beyond 180; once round is taken."""
MARGIN: Final = 1.0
"""Cells around the view, in edge lengths, so that a map can be dragged a little before it asks again."""

_EARTH_M: Final = 6_371_007.2
_M_PER_DEG: Final = radians(1.0) * _EARTH_M
_STEP: Final = 0.6
"""Distance of the points at which a view is probed, in mean edge lengths. Every place of the view is then
within 0.43 edges of a probe, and so in the probe's cell or in one that touches it: the shortest edges of any
cell are longer than that."""
_EDGES_M: Final[tuple[float, ...]] = tuple(
    h3.average_hexagon_edge_length(r, "m") for r in range(RESOLUTION_MAX + 1)
)


class Box(NamedTuple):
    """A view: corners of an upright map. ``west_deg`` beyond ``east_deg`` is a view across the date line."""

    south_deg: float
    west_deg: float
    north_deg: float
    east_deg: float


class CellView(NamedTuple):
    """The cells that cover a box and a margin around it, all of one resolution."""

    resolution: int
    cells: frozenset[int]


def cell_of(lat_deg: float, lon_deg: float, resolution: int) -> int:
    """The cell in which a place lies."""
    cell: int = h3.latlng_to_cell(lat_deg, lon_deg, resolution)
    return cell


def name_of(cell: int) -> str:
    """The usual name of a cell, as H3 libraries take it: 15 hexadecimal digits."""
    return format(cell, "x")


def centre_of(cell: int) -> tuple[float, float]:
    """The middle of a cell as latitude and longitude, to about a metre."""
    lat_deg, lon_deg = h3.cell_to_latlng(cell)
    return round(lat_deg, 5), round(lon_deg, 5)


def box(south_deg: float, west_deg: float, north_deg: float, east_deg: float) -> Box:
    """A checked box, its longitudes brought to −180…180. Raises ValueError, naming what is wrong."""
    if not all(isfinite(value) for value in (south_deg, west_deg, north_deg, east_deg)):
        raise ValueError("a corner is not a finite number")
    if not -90.0 <= south_deg <= north_deg <= 90.0:
        raise ValueError(f"latitudes are not in order within -90..90: {south_deg:.9g}, {north_deg:.9g}")
    if not (abs(west_deg) <= LON_MAX_DEG and abs(east_deg) <= LON_MAX_DEG):
        raise ValueError(f"longitudes are not within -540..540: {west_deg:.9g}, {east_deg:.9g}")
    if east_deg - west_deg >= 360.0:
        return Box(south_deg, -180.0, north_deg, 180.0)
    return Box(south_deg, _wrapped(west_deg), north_deg, _wrapped(east_deg))


def _wrapped(lon_deg: float) -> float:
    return lon_deg if -180.0 <= lon_deg <= 180.0 else (lon_deg + 180.0) % 360.0 - 180.0


def view(looked_at: Box, zoom: float, *, finer: int = 0) -> CellView:
    """The cells to watch for a map that shows ``looked_at`` at ``zoom`` (0 = the world; 512-pixel tiles).

    The resolution goes with the zoom, about eight cells across a screen, so that maps at one zoom share
    their cells; ``finer`` adds to it. It is lowered until there are at most `MAX_CELLS`. Raises ValueError
    for a zoom that is no number within 0–24.
    """
    if not 0.0 <= zoom <= ZOOM_MAX:
        raise ValueError(f"zoom is not within 0..24: {zoom:.9g}")
    # An edge shrinks by √7 a resolution, a screen by 2 a zoom; at zoom 12 resolution 7 gives eight cells.
    wanted = floor(7 + (zoom - 12.0) * 0.7124) + finer
    resolution = max(0, min(RESOLUTION_MAX, wanted))
    while resolution > 0 and _estimate(looked_at, resolution) > MAX_CELLS:
        resolution -= 1
    cells = _covering(looked_at, resolution)
    while len(cells) > MAX_CELLS:
        resolution -= 1
        cells = _covering(looked_at, resolution)
    return CellView(resolution, cells)


def _estimate(looked_at: Box, resolution: int) -> float:
    """About how many cells cover the box and its margin: enough not to try the hopeless."""
    south, west, north, east = looked_at
    edge_m = _EDGES_M[resolution]
    width_rad = radians(_width(west, east))
    widest = 1.0 if south <= 0.0 <= north else cos(radians(min(abs(south), abs(north))))
    around_m = radians(north - south) * _EARTH_M + width_rad * _EARTH_M * widest
    area_m2 = _EARTH_M**2 * width_rad * (sin(radians(north)) - sin(radians(south)))
    cell_m2 = 1.5 * sqrt(3.0) * edge_m**2
    return (area_m2 + 1.5 * around_m * edge_m + 4.0 * edge_m**2) / cell_m2


def _width(west_deg: float, east_deg: float) -> float:
    return east_deg - west_deg if east_deg >= west_deg else east_deg - west_deg + 360.0


@lru_cache(maxsize=512)
def _covering(looked_at: Box, resolution: int) -> frozenset[int]:
    """The cells of probes all over the box and its margin, and those that touch them."""
    edge_m = _EDGES_M[resolution]
    step_m = _STEP * edge_m
    margin_m = (MARGIN - 0.5) * edge_m  # the cells that touch are half an edge beyond at the least
    margin_deg = margin_m / _M_PER_DEG
    south = max(-90.0, looked_at.south_deg - margin_deg)
    north = min(90.0, looked_at.north_deg + margin_deg)
    width = _width(looked_at.west_deg, looked_at.east_deg)
    probed: set[int] = set()
    for lat in _spread(south, north, step_m / _M_PER_DEG):
        m_per_deg = _M_PER_DEG * max(1e-9, cos(radians(lat)))
        wider = min(360.0, width + 2.0 * margin_m / m_per_deg)
        first = looked_at.west_deg - (wider - width) / 2.0
        for lon in _spread(first, first + wider, step_m / m_per_deg):
            probed.add(h3.latlng_to_cell(lat, _wrapped(lon), resolution))
    covered: set[int] = set()
    for cell in probed:
        covered.update(h3.grid_disk(cell, 1))
    return frozenset(covered)


def _spread(first: float, last: float, step: float) -> list[float]:
    """Evenly spread numbers from ``first`` to ``last``, both included, at most ``step`` apart."""
    gaps = max(1, -floor(-(last - first) / step))
    return [first + (last - first) * i / gaps for i in range(gaps + 1)]
