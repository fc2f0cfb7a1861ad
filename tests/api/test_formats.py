"""GeoJSON, GPX and cursors: pure text in, pure text out."""

import json
import re
from datetime import datetime
from decimal import Decimal
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.position import T_MS_MAX, Point, void
from realtime.api.framework import cursor
from realtime.api.journeys import geojson, gpx
from realtime.protocol import Refused
from realtime.store.journeys.points import Record

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


def as_gpx(*given_points: Point, received_ms: int = T_MS_MAX) -> ElementTree.Element:
    """A whole document, parsed."""
    return document_of([Record(point, received_ms, None, True) for point in given_points])


def document_of(records: list[Record]) -> ElementTree.Element:
    """The same of points that arrived at different times, in pages of two."""
    track = gpx.Track()
    pages = [track.points(records[at : at + 2]) for at in range(0, len(records), 2)]
    return ElementTree.fromstring(gpx.head("d1", 0) + "".join(pages) + gpx.TAIL)


def times_of(document: ElementTree.Element) -> list[int]:
    """The time of each point in ms."""
    texts = [element.text or "" for element in document.findall(".//g:trkpt/g:time", NS)]
    return [round(datetime.fromisoformat(text).timestamp() * 1000) for text in texts]


def segments_of(document: ElementTree.Element) -> list[list[int]]:
    """The seqs of each segment."""
    return [
        [int(seq.text or "") for seq in segment.findall(".//wg:seq", NS)]
        for segment in document.findall(".//g:trkseg", NS)
    ]


def test_half_a_position_is_left_out_of_an_export() -> None:
    """It failed the whole export."""
    halves = (Point(2, 1_700_000_000_124, 53.4, None), Point(3, 1_700_000_000_125, None, -2.98))
    assert [json.loads(one)["properties"]["seq"] for one in geojson.features(stored(FULL, *halves))] == [1]
    assert segments_of(as_gpx(FULL, *halves)) == [[1]]


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


HOUR_MS = 3_600_000
NOW_MS = 1_790_000_000_000


def point(seq: int, t_ms: int, received_ms: int | None = None) -> Record:
    return Record(Point(seq, t_ms, 53.4, -2.98), t_ms if received_ms is None else received_ms, None, False)


@pytest.mark.parametrize(
    ("after_ms", "segments"),
    [
        (1_000, [[1, 2, 3, 4]]),
        (gpx.GAP_MS, [[1, 2, 3, 4]]),
        (gpx.GAP_MS + 1, [[1, 2], [3, 4]]),
        (3 * HOUR_MS, [[1, 2], [3, 4]]),
        (47 * HOUR_MS, [[1, 2], [3, 4]]),
    ],
)
def test_a_gap_begins_a_segment(after_ms: int, segments: list[list[int]]) -> None:
    times = [NOW_MS, NOW_MS + 1_000, NOW_MS + 1_000 + after_ms, NOW_MS + 2_000 + after_ms]
    assert segments_of(document_of([point(seq, t_ms) for seq, t_ms in enumerate(times, 1)])) == segments
    backlog = [point(seq, t_ms, NOW_MS + 100 * HOUR_MS) for seq, t_ms in enumerate(times, 1)]
    assert segments_of(document_of(backlog)) == segments, "what arrives together is not one movement"


def test_two_gaps_make_three_segments_across_pages_and_voids() -> None:
    times = [0, 1, 5 * HOUR_MS, 9 * HOUR_MS, 9 * HOUR_MS + 1]
    records = [point(seq, NOW_MS + t_ms) for seq, t_ms in enumerate(times, 1)]
    records.insert(2, Record(void(9), NOW_MS, "no_fix", False))
    assert segments_of(document_of(records)) == [[1, 2], [3], [4, 5]]


@pytest.mark.parametrize("back_ms", [2_500, HOUR_MS, 1024 * 7 * 24 * HOUR_MS])
def test_a_clock_that_steps_back_is_corrected_by_the_arrival(back_ms: int) -> None:
    live = [NOW_MS + n * 1_000 for n in range(6)]
    stepped = [t_ms - (back_ms if seq in (3, 4) else 0) for seq, t_ms in enumerate(live, 1)]
    document = document_of(
        [point(seq, t, at) for seq, (t, at) in enumerate(zip(stepped, live, strict=True), 1)]
    )
    assert times_of(document) == live
    assert segments_of(document) == [[1, 2, 3, 4, 5, 6]]


def test_a_clock_that_was_ahead_is_corrected_by_the_arrival() -> None:
    live = [NOW_MS, NOW_MS + 1_000, NOW_MS + 2_000]
    ahead = [NOW_MS + HOUR_MS, NOW_MS + HOUR_MS + 1_000, NOW_MS + 2_000]
    records = [point(seq, t, at) for seq, (t, at) in enumerate(zip(ahead, live, strict=True), 1)]
    assert times_of(document_of(records)) == live


def test_every_point_of_a_backlog_with_a_wild_clock_stays_and_has_a_time() -> None:
    wild = [NOW_MS, NOW_MS - HOUR_MS, 0, NOW_MS + 40 * HOUR_MS, NOW_MS + 1, NOW_MS - 1]
    document = document_of([point(seq, t_ms, NOW_MS + HOUR_MS) for seq, t_ms in enumerate(wild, 1)])
    times = times_of(document)
    assert len(times) == len(wild)
    assert times == sorted(times)
    assert max(times) <= NOW_MS + HOUR_MS


@given(st.lists(st.tuples(st.integers(0, T_MS_MAX), st.integers(0, T_MS_MAX)), max_size=12))
def test_times_never_run_backwards(said: list[tuple[int, int]]) -> None:
    times = times_of(document_of([point(seq, *clocks) for seq, clocks in enumerate(said, 1)]))
    assert len(times) == len(said)
    assert times == sorted(times)


def test_gpx_longitudes_end_before_180() -> None:
    element = as_gpx(BARE).find(".//g:trkpt", NS)
    assert element is not None
    assert element.attrib["lon"] == "-180.0"


def test_gpx_escapes_the_name() -> None:
    document = ElementTree.fromstring(gpx.head('<b>&"', 0) + gpx.TAIL)
    assert document.findtext("g:trk/g:name", None, NS) == '<b>&"'


@given(st.lists(points, max_size=5))
def test_any_journey_survives_both_formats(journey: list[Point]) -> None:
    features = [json.loads(feature) for feature in geojson.features(stored(*journey))]
    assert [feature["properties"]["seq"] for feature in features] == [sent.seq for sent in journey]
    elements = as_gpx(*journey).findall(".//g:trkpt", NS)
    for sent, feature, element in zip(journey, features, elements, strict=True):
        assert feature["geometry"]["coordinates"][:2] == [sent.lon, sent.lat]
        assert float(element.attrib["lat"]) == sent.lat
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
