"""A map's view as cells: nothing of it is left out, there are never too many, and a small move keeps most."""

from math import inf, nan

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from geo.cells import MAX_CELLS, Box, box, cell_of, centre_of, name_of, view

LATS = st.floats(-90.0, 90.0)
LONS = st.floats(-180.0, 180.0)
ZOOMS = st.floats(0.0, 24.0)
SHARES = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)), min_size=1, max_size=20)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Any view: tiny and huge, across the date line and over the poles, high and narrow, flat and wide."""
    height = 180.0 / 2.0 ** draw(st.floats(0.0, 24.0))
    width = 360.0 / 2.0 ** draw(st.floats(0.0, 24.0))
    lat, lon = draw(LATS), draw(LONS)
    return box(max(-90.0, lat - height / 2), lon - width / 2, min(90.0, lat + height / 2), lon + width / 2)


def within(looked_at: Box, share: tuple[float, float]) -> tuple[float, float]:
    """A place of the box, by the share of its height and of its width."""
    south, west, north, east = looked_at
    width = east - west if east >= west else east - west + 360.0
    lon = west + share[1] * width
    return south + share[0] * (north - south), lon - 360.0 if lon > 180.0 else lon


@settings(max_examples=300, deadline=None)
@given(boxes(), ZOOMS, SHARES, st.integers(0, 1))
@example(Box(-90.0, -180.0, 90.0, 180.0), 24.0, [(0.0, 0.0), (1.0, 1.0)], 0)
@example(Box(89.9, -180.0, 90.0, 180.0), 24.0, [(1.0, 0.3), (0.0, 0.9)], 0)
@example(Box(-17.0, 179.5, -16.0, -179.5), 12.0, [(0.5, 0.5), (0.5, 0.49), (0.5, 0.51)], 0)
@example(Box(-85.0, 12.0, 85.0, 12.0), 24.0, [(0.5, 0.0)], 0)
def test_every_place_of_a_view_is_in_one_of_its_cells_and_they_are_bounded(
    looked_at: Box, zoom: float, shares: list[tuple[float, float]], finer: int
) -> None:
    seen = view(looked_at, zoom, finer=finer)
    assert 1 <= len(seen.cells) <= MAX_CELLS
    for share in shares:
        lat, lon = within(looked_at, share)
        assert cell_of(lat, lon, seen.resolution) in seen.cells


@settings(max_examples=100, deadline=None)
@given(st.floats(-60.0, 60.0), LONS, st.floats(4.5, 16.0), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_a_map_that_moves_by_a_tenth_of_its_size_keeps_most_of_its_cells(
    lat: float, lon: float, zoom: float, up: float, right: float
) -> None:
    height, width = 360.0 / 2.0**zoom, 720.0 / 2.0**zoom

    def seen(lat: float, lon: float) -> frozenset[int]:
        return view(box(lat - height / 2, lon - width / 2, lat + height / 2, lon + width / 2), zoom).cells

    before, after = seen(lat, lon), seen(lat + up * height / 10, lon + right * width / 10)
    assert len(before & after) >= 0.6 * len(before)


def test_what_is_just_outside_is_watched_too() -> None:
    looked_at = box(53.38, -3.0, 53.42, -2.9)
    seen = view(looked_at, 13.0)
    a_little = 0.002
    for lat, lon in ((53.38 - a_little, -2.95), (53.42 + a_little, -2.95), (53.4, -3.0 - a_little)):
        assert cell_of(lat, lon, seen.resolution) in seen.cells


def test_cells_get_smaller_with_the_zoom_and_the_same_view_gives_the_same() -> None:
    resolutions = []
    for zoom in range(25):
        half = 180.0 / 2.0**zoom
        looked_at = box(max(-85.0, 53.0 - half), -2.0 - half, min(85.0, 53.0 + half), -2.0 + half)
        assert view(looked_at, zoom) == view(looked_at, zoom)
        resolutions.append(view(looked_at, zoom).resolution)
    assert resolutions == sorted(resolutions)
    assert resolutions[0] == 0 and resolutions[12] == 7 and resolutions[24] == 10


@pytest.mark.parametrize(
    ("west", "east"), [(178.0, 182.0), (-182.0, -178.0), (538.0, -178.0), (178.0, -178.0)]
)
def test_a_map_that_was_turned_round_sees_the_same(west: float, east: float) -> None:
    there = view(box(-17.0, west, -16.0, east), 8.0)
    assert there == view(Box(-17.0, 178.0, -16.0, -178.0), 8.0)
    assert len(there.cells) < 100
    assert cell_of(-16.5, 180.0, there.resolution) in there.cells
    assert cell_of(-16.5, -178.5, there.resolution) in there.cells


@pytest.mark.parametrize(
    ("corners", "fact"),
    [
        ((1.0, 0.0, 0.0, 1.0), "latitudes are not in order"),
        ((-91.0, 0.0, 0.0, 1.0), "latitudes"),
        ((0.0, 0.0, 90.5, 1.0), "latitudes"),
        ((0.0, -541.0, 1.0, 1.0), "longitudes"),
        ((0.0, 0.0, 1.0, 1e300), "longitudes"),
        ((nan, 0.0, 1.0, 1.0), "not a finite number"),
        ((0.0, 0.0, 1.0, inf), "not a finite number"),
    ],
)
def test_what_is_no_box_is_refused(corners: tuple[float, float, float, float], fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        box(*corners)


@pytest.mark.parametrize("zoom", [-0.1, 24.1, nan, inf, -inf])
def test_what_is_no_zoom_is_refused(zoom: float) -> None:
    with pytest.raises(ValueError, match="zoom"):
        view(box(0.0, 0.0, 1.0, 1.0), zoom)


def test_a_cell_has_the_name_and_the_middle_that_h3_gives_it() -> None:
    cell = cell_of(53.4, -2.98, 7)
    assert name_of(cell) == "871951046ffffff"
    lat, lon = centre_of(cell)
    assert cell_of(lat, lon, 7) == cell
    assert abs(lat - 53.4) < 0.02 and abs(lon + 2.98) < 0.03
