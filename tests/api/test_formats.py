"""GeoJSON, GPX and cursors: pure text in, pure text out."""

import json
import re
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.position import Point, void
from realtime.api import cursor, geojson, gpx
from realtime.protocol import Refused
from realtime.store.points import Record

NS = {"g": "http://www.topografix.com/GPX/1/1", "wg": gpx.EXTENSION_NAMESPACE}
FULL = Point(1, 1_700_000_000_123, 53.4, -2.98, 12.5, 359.9, 4.0, 17.25, 88.0)
BARE = Point(3, 0, 1e-7, 180.0)

number = st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(
    Point,
    seq=st.integers(1, 2**31 - 1),
    t_ms=st.integers(0, 253_402_300_799_999),
    lat=st.floats(-90, 90),
    lon=st.floats(-180, 180),
    speed_mps=st.none() | st.floats(0, 350),
    heading_deg=st.none() | st.floats(0, 360),
    accuracy_m=st.none() | st.floats(0, 100_000),
    altitude_m=st.none() | st.floats(-500, 20_000),
    battery_pct=st.none() | st.floats(0, 100),
)


def stored(*given_points: Point) -> list[Record]:
    """The points as they come from the store."""
    return [Record(point, 99, None, True) for point in given_points]


def as_gpx(*given_points: Point) -> ElementTree.Element:
    """A whole document, parsed."""
    return ElementTree.fromstring(gpx.head("d1", 0) + gpx.track_points(given_points) + gpx.TAIL)


def test_geojson_has_longitude_first_and_altitude_last() -> None:
    feature = json.loads(geojson.features(stored(FULL))[0])
    assert feature["type"] == "Feature"
    assert feature["geometry"] == {"type": "Point", "coordinates": [-2.98, 53.4, 17.25]}
    assert feature["properties"] == {
        "seq": 1,
        "t_ms": 1_700_000_000_123,
        "speed_mps": 12.5,
        "heading_deg": 359.9,
        "accuracy_m": 4.0,
        "altitude_m": 17.25,
        "battery_pct": 88.0,
        "received_ms": 99,
        "clock_odd": True,
    }
    assert json.loads(geojson.features(stored(BARE))[0])["geometry"]["coordinates"] == [180.0, 1e-7]


def test_voids_are_left_out_of_both_formats() -> None:
    assert len(geojson.features(stored(FULL, void(2), BARE))) == 2
    assert len(as_gpx(FULL, void(2), BARE).findall(".//g:trkpt", NS)) == 2


def test_gpx_children_come_in_the_order_of_its_schema() -> None:
    document = as_gpx(FULL, BARE)
    assert document.attrib["version"] == "1.1"
    assert document.attrib["creator"]
    assert [child.tag.split("}")[1] for child in document] == ["metadata", "trk"]
    full, bare = document.findall(".//g:trkpt", NS)
    assert [child.tag.split("}")[1] for child in full] == ["ele", "time", "extensions"]
    assert [child.tag.split("}")[1] for child in bare] == ["time", "extensions"]
    assert full.findtext("g:time", None, NS) == "2023-11-14T22:13:20.123Z"
    assert full.findtext("g:extensions/wg:seq", None, NS) == "1"


def test_gpx_longitudes_end_before_180() -> None:
    point = as_gpx(BARE).find(".//g:trkpt", NS)
    assert point is not None
    assert point.attrib["lon"] == "-180.0"


def test_gpx_escapes_the_name() -> None:
    document = ElementTree.fromstring(gpx.head('<b>&"', 0) + gpx.TAIL)
    assert document.findtext("g:trk/g:name", None, NS) == '<b>&"'


@given(st.lists(points, max_size=5))
def test_any_journey_survives_both_formats(journey: list[Point]) -> None:
    features = [json.loads(feature) for feature in geojson.features(stored(*journey))]
    assert [feature["properties"]["seq"] for feature in features] == [point.seq for point in journey]
    elements = as_gpx(*journey).findall(".//g:trkpt", NS)
    for point, feature, element in zip(journey, features, elements, strict=True):
        assert feature["geometry"]["coordinates"][:2] == [point.lon, point.lat]
        assert float(element.attrib["lat"]) == point.lat
        assert -180 <= float(element.attrib["lon"]) < 180
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", element.findtext("g:time", "", NS))


@given(number)
def test_a_decimal_has_no_exponent_and_loses_nothing(value: float) -> None:
    text = gpx.decimal(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert Decimal(text) == Decimal(repr(value))


@given(st.text())
def test_a_cursor_gives_back_what_it_was_made_of(value: str) -> None:
    try:
        packed = cursor.pack("driver", value)
    except UnicodeEncodeError:
        return
    assert cursor.unpack("driver", packed) == value
    with pytest.raises(Refused):
        cursor.unpack("journey", packed)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_whatever_is_not_a_cursor_is_refused_and_never_crashes(text: str) -> None:
    try:
        value = cursor.unpack("driver", text)
    except Refused:
        return
    assert cursor.pack("driver", value) == text
