"""Taking a ``positions`` payload apart: whatever comes, a coded refusal or points that follow one another."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.position import Point, refusal
from realtime.fanout.engineio.frames import json_bytes
from realtime.ingest.parse import Batch, parse
from realtime.protocol import MAX_POINTS, Code, Refused, finite

NOW_MS = 1_790_000_000_000
JOURNEY = "0190a5b0-0000-7000-8000-000000000001"
CODES = {
    Code.MALFORMED,
    Code.INVALID,
    Code.TOO_MANY_POINTS,
    Code.BAD_TIME,
    Code.TIME_IN_SECONDS,
}


def good(seq: int, **more: Any) -> list[Any]:
    return [seq, more.get("t_ms", NOW_MS - 1000 + seq), 53.4 + seq % 1000 / 1e6, -2.98, 7.5, 90, 4, 12, 80]


def payload(**fields: Any) -> bytes:
    return json.dumps({"journey_id": JOURNEY, **fields}).encode()


def parsed(**fields: Any) -> Batch:
    return parse(payload(**fields))


def refused(body: bytes) -> Refused:
    with pytest.raises(Refused) as raised:
        parse(body)
    return raised.value


def assert_sound(batch: Batch) -> None:
    """What every accepted batch promises to those behind it."""
    seqs = [p.seq for p in batch.points]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True
    assert all(1 <= seq < 2**31 for seq in seqs)
    for p in batch.points:
        assert (p.lat is None) == (p.seq in batch.voids)
        assert p.lat is None or refusal(p) is None
    assert {seq for seq, _ in batch.voided} <= set(batch.voids)
    assert batch.newest is None or refusal(batch.newest) is None
    json_bytes(batch.points)
    json_bytes(batch.newest)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
odd_numbers = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=4),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
)


@given(json_values)
def test_any_json_is_parsed_or_refused_with_a_code(value: Any) -> None:
    try:
        assert_sound(parse(json.dumps(value).encode()))
    except Refused as refusal_:
        assert refusal_.code in CODES


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused_with_a_code(body: bytes) -> None:
    assert refused(body).code in CODES


@given(points=json_values, skip=json_values, latest=json_values)
def test_any_value_of_any_field_is_parsed_or_refused_with_a_code(points: Any, skip: Any, latest: Any) -> None:
    for fields in ({"points": points}, {"skip": skip}, {"latest": latest}, {"points": points, "skip": skip}):
        try:
            assert_sound(parsed(**fields))
        except Refused as refusal_:
            assert refusal_.code in CODES


@given(
    st.integers(1, 2**31 - 20),
    st.lists(st.one_of(st.none(), st.lists(odd_numbers, max_size=9)), min_size=1, max_size=12),
)
def test_one_bad_point_never_hurts_another(first: int, rest: list[list[Any] | None]) -> None:
    points = [
        good(seq) if values is None else [seq, *values]
        for seq, values in zip(range(first, first + len(rest)), rest, strict=False)
    ]
    try:
        batch = parsed(points=points)
    except Refused as refusal_:  # not one of them has a time
        assert refusal_.code in {Code.BAD_TIME, Code.TIME_IN_SECONDS}
        assert None not in rest
        return
    assert_sound(batch)
    assert [p.seq for p in batch.points] == [p[0] for p in points]
    for sent, kept in zip(rest, batch.points, strict=True):
        if sent is None:
            assert kept.lat == 53.4 + kept.seq % 1000 / 1e6
            assert kept.battery_pct == 80


@given(st.data())
def test_optional_values_never_cost_a_position(data: st.DataObject) -> None:
    optional = data.draw(st.lists(odd_numbers, max_size=5))
    batch = parsed(points=[[1, NOW_MS, 53.4, -2.98, *optional]])
    assert batch.voids == {}
    assert batch.points[0].lat == 53.4


def test_minus_one_means_unknown() -> None:
    point = parsed(points=[[1, NOW_MS, 53.4, -2.98, -1, -1, -1, -1000, -1]]).points[0]
    assert point == Point(1, NOW_MS, 53.4, -2.98)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ([1, NOW_MS, 91, 0.5], "lat_out_of_range"),
        ([1, NOW_MS, -90.001, 0.5], "lat_out_of_range"),
        ([1, NOW_MS, 53.4, 180.5], "lon_out_of_range"),
        ([1, NOW_MS, 0, 0], "no_fix"),
        ([1, NOW_MS, None, None], "no_fix"),
        ([1, NOW_MS], "bad_type"),
        ([1], "bad_type"),
        ([1, NOW_MS, "53.4", -2.98], "bad_type"),
        ([1, NOW_MS, True, -2.98], "bad_type"),
        ([1, -1, 53.4, -2.98], "bad_time"),
        ([1, None, 53.4, -2.98], "bad_time"),
        ([1, 253_402_300_800_000, 53.4, -2.98], "bad_time"),
        ([1, 2**63, 53.4, -2.98], "bad_time"),
        ([1, True, 53.4, -2.98], "bad_time"),
        ([1, "yesterday", 53.4, -2.98], "bad_time"),
        ([1, "2026-09-21T14:13:20", 53.4, -2.98], "bad_time"),
        ([1, {}, 53.4, -2.98], "bad_time"),
        ([1, NOW_MS * 1000, 53.4, -2.98], "bad_time"),
        ([1, NOW_MS // 1000, 53.4, -2.98], "time_in_seconds"),
        ([1, NOW_MS / 1000 + 0.25, 53.4, -2.98], "time_in_seconds"),
        ([1, str(NOW_MS // 1000), 53.4, -2.98], "time_in_seconds"),
        ([1, NOW_MS, 1e308, -2.98], "lat_out_of_range"),
    ],
)
def test_a_point_that_says_nothing_is_a_void_with_its_reason(point: list[Any], reason: str) -> None:
    batch = parsed(points=[point, good(2)])
    assert_sound(batch)
    assert [seq for seq, _ in batch.voided] == [1]
    if point[1:2] == [2**63]:
        assert batch.voided[0][1] in {"bad_time", "bad_type"}
    else:
        assert batch.voided == [(1, reason)]
    assert batch.points[1].lat is not None


@pytest.mark.parametrize("seq", ["7", -1, 0, 2**31, 2**63, 2**70, None, True, [1], {}, 1.5])
def test_a_seq_that_is_none_is_refused(seq: Any) -> None:
    assert refused(payload(points=[[seq, NOW_MS, 53.4, -2.98]])).code is Code.INVALID


@pytest.mark.parametrize("seqs", [[1, 3], [2, 1], [1, 1], [5, 6, 8], [2**31 - 1, 2**31]])
def test_points_that_do_not_follow_one_another_are_refused(seqs: list[int]) -> None:
    assert refused(payload(points=[good(seq) for seq in seqs])).code is Code.INVALID


def test_501_points_are_refused_500_are_not() -> None:
    assert len(parsed(points=[good(seq) for seq in range(1, 501)]).points) == MAX_POINTS
    assert refused(payload(points=[good(s) for s in range(1, 502)])).code is Code.TOO_MANY_POINTS
    odd = [*([[seq, "x"] for seq in range(1, 502)])]
    assert refused(payload(points=odd)).code is Code.TOO_MANY_POINTS


@pytest.mark.parametrize("value", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"nan", b"01", b"+1"])
def test_what_is_no_json_number_makes_the_frame_malformed(value: bytes) -> None:
    body = b'{"journey_id":"%s","points":[[1,%d,%s,-2.98]]}' % (JOURNEY.encode(), NOW_MS, value)
    try:
        batch = parse(body)
    except Refused as refusal_:
        assert refusal_.code in {Code.MALFORMED, Code.INVALID}
        assert not refusal_.retryable
    else:  # 1e999 may be read as infinity: then it is no latitude
        assert batch.voided


@pytest.mark.parametrize("depth", [100, 900, 990, 1_000, 5_000, 100_000])
@pytest.mark.parametrize(
    "template", ["%s", '{"points":%s}', '{"journey_id":"j","points":[[1,%s,1,1]]}', '{"latest":%s}']
)
def test_deep_json_is_refused_and_never_a_fault(depth: int, template: str) -> None:
    body = (template % ("[" * depth + "]" * depth)).encode()
    assert refused(body).code in {Code.MALFORMED, Code.INVALID}


@pytest.mark.parametrize("depth", [100, 900, 990, 1_000, 5_000, 100_000])
def test_a_deep_optional_value_costs_its_frame_at_most(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = f'{{"journey_id":"{JOURNEY}","points":[[1,{NOW_MS},1.5,1.5,{deep}]],"latest":[1,1,1,{deep}]}}'
    try:
        assert_sound(parse(body.encode()))
    except Refused as refusal_:
        assert refusal_.code in {Code.MALFORMED, Code.INVALID}


@pytest.mark.parametrize(
    "journey_id",
    [
        "",
        "x",
        "a/b",
        "\0",
        "j" * 10_000,
        JOURNEY + "\0",
        JOURNEY[:-1],
        JOURNEY + "0",
        5,
        None,
        [JOURNEY],
        {"$": 1},
    ],
)
def test_a_journey_id_that_is_none_is_refused_in_a_short_word(journey_id: Any) -> None:
    refusal_ = refused(json.dumps({"journey_id": journey_id, "points": [good(1)]}).encode())
    assert refusal_.code is Code.INVALID
    assert len(refusal_.message) < 120
    assert "\0" not in refusal_.message


def test_a_skip_stands_in_its_place_between_the_points() -> None:
    batch = parsed(points=[good(1), good(4), good(5)], skip=[2, 3, "storage_full"])
    assert [p.seq for p in batch.points] == [1, 2, 3, 4, 5]
    assert batch.voids == {2: "storage_full", 3: "storage_full"}
    assert batch.voided == []


def test_a_skip_alone_and_at_either_end() -> None:
    assert [p.seq for p in parsed(skip=[3, 5, "lost"]).points] == [3, 4, 5]
    assert [p.seq for p in parsed(points=[good(3)], skip=[1, 2, "lost"]).points] == [1, 2, 3]
    assert [p.seq for p in parsed(points=[good(1)], skip=[2, 3, "lost"]).points] == [1, 2, 3]


@pytest.mark.parametrize(
    "skip",
    [
        [3, 2, "lost"],
        [0, 2, "lost"],
        [-5, 2, "lost"],
        [1, 2**31, "lost"],
        [1, 10_001, "lost"],
        [1, 2],
        [1, 2, "lost", 4],
        ["1", 2, "lost"],
        [1.5, 2, "lost"],
        [True, 2, "lost"],
        [1, 2, ""],
        [1, 2, "Lost It"],
        [1, 2, "x" * 41],
        [1, 2, None],
        [1, 2, "nul\0"],
        "lost",
        5,
        {},
    ],
)
def test_a_skip_that_is_none_is_refused(skip: Any) -> None:
    assert refused(payload(skip=skip)).code is Code.INVALID


@pytest.mark.parametrize(
    ("points", "skip"), [([1, 2, 3], [2, 2]), ([1, 5], [2, 3]), ([4], [1, 2]), ([1], [1, 3])]
)
def test_a_skip_that_overlaps_or_leaves_a_hole_is_refused(points: list[int], skip: list[int]) -> None:
    assert refused(payload(points=[good(s) for s in points], skip=[*skip, "lost"])).code is Code.INVALID


def test_latest_moves_the_dot_only_when_its_seq_is_higher_and_it_is_usable() -> None:
    assert parsed(points=[good(1)], latest=good(9)).newest == parsed(points=[good(9)]).points[0]
    stepped_back = parsed(points=[good(3)], latest=good(9, t_ms=NOW_MS - 10_000_000))
    assert stepped_back.newest is not None
    assert stepped_back.newest.seq == 9
    behind = parsed(points=[good(9)], latest=good(3, t_ms=NOW_MS))
    assert behind.newest is not None
    assert behind.newest.seq == 9
    for seq in (0, -1, 2**31):
        assert parsed(points=[good(1)], latest=good(seq)).latest_refused == "bad_type"
    assert parsed(latest=[9, NOW_MS // 1000, 53.4, -2.98]).latest_refused == "time_in_seconds"
    bad = parsed(points=[good(1)], latest=[9, NOW_MS, 91, 0])
    assert bad.latest_refused == "lat_out_of_range"
    assert bad.newest is not None
    assert bad.newest.seq == 1
    assert parsed(latest=None).newest is None
    assert parsed(latest=["7"]).latest_refused == "bad_type"


WEEKS_1024_MS = 1024 * 7 * 86_400_000


@pytest.mark.parametrize("back_ms", [1, 3_600_000, WEEKS_1024_MS, NOW_MS - 10**6])
def test_the_newest_point_is_the_last_however_the_clock_steps(back_ms: int) -> None:
    points = [good(1), good(2, t_ms=NOW_MS + 10**9), good(3, t_ms=NOW_MS - back_ms)]
    for batch in (parsed(points=points), parsed(points=points, latest=None)):
        assert batch.newest is not None
        assert batch.newest.seq == 3


@pytest.mark.parametrize(
    ("text", "t_ms"),
    [
        ("1790000000000.0", 1_790_000_000_000),
        ("1790000000000.235", 1_790_000_000_000),
        ("1790000000000.75", 1_790_000_000_001),
        ("1.79e12", 1_790_000_000_000),
        ("1790000000000e0", 1_790_000_000_000),
        ("17900000000000E-1", 1_790_000_000_000),
        ('"1790000000000"', 1_790_000_000_000),
        ('" 1790000000000.6 "', 1_790_000_000_001),
        ('"2026-09-21T14:13:20Z"', 1_790_000_000_000),
        ('"2026-09-21T14:13:20.235+00:00"', 1_790_000_000_235),
        ('"2026-09-21T16:13:20+0200"', 1_790_000_000_000),
        ('"2026-09-21t14:13:20z"', 1_790_000_000_000),
        ('"20260921T141320Z"', 1_790_000_000_000),
        ("0", 0),
        ("0.4", 0),
        ("253402300799999", 253_402_300_799_999),
    ],
)
def test_a_time_with_one_meaning_is_converted(text: str, t_ms: int) -> None:
    body = f'{{"journey_id":"{JOURNEY}","points":[[1,{text},53.4,-2.98],[2,{text},53.4,-2.98,7.5]]}}'
    batch = parse(body.encode())
    assert [point.t_ms for point in batch.points] == [t_ms, t_ms]
    assert all(type(point.t_ms) is int for point in batch.points)
    assert batch.voids == {}


@pytest.mark.parametrize(
    "t",
    [NOW_MS // 1000, NOW_MS / 1000, NOW_MS / 1000 + 0.5, str(NOW_MS // 1000), "1790000000.5", 978_307_200],
)
@pytest.mark.parametrize("count", [1, 3])
def test_points_in_seconds_are_refused_by_that_name(t: Any, count: int) -> None:
    refusal_ = refused(payload(points=[[seq, t, 53.4, -2.98] for seq in range(1, count + 1)]))
    assert refusal_.code is Code.TIME_IN_SECONDS
    assert "seconds" in refusal_.message
    assert not refusal_.retryable


@pytest.mark.parametrize(
    "t",
    [
        None,
        -1,
        "x",
        "",
        "1790",
        "12:30",
        "2026-09-21 14:13",
        "NaN",
        True,
        [],
        {},
        NOW_MS * 1000,
        1e300,
        2**70,
    ],
)
def test_points_of_which_none_has_a_time_are_refused_and_a_single_one_is_a_void(t: Any) -> None:
    points = [[seq, t, 53.4, -2.98] for seq in range(1, 4)]
    assert refused(payload(points=points)).code is Code.BAD_TIME
    single = parsed(points=points[:1])
    assert single.voided == [(1, "bad_time")]
    assert single.bad_time
    assert single.newest is None
    beside = parsed(points=[*points, good(4)])
    assert [seq for seq, _ in beside.voided] == [1, 2, 3]
    assert not beside.bad_time


def test_points_without_a_fix_hide_no_clock_that_counts_seconds() -> None:
    seconds, no_fix = [1, NOW_MS // 1000, 53.4, -2.98], [2, NOW_MS // 1000, None, None]
    assert refused(payload(points=[seconds, no_fix])).code is Code.TIME_IN_SECONDS
    assert refused(payload(points=[seconds, [2, NOW_MS, 0, 0]])).code is Code.TIME_IN_SECONDS


@pytest.mark.parametrize("t", [None, 0, -1, NOW_MS])
def test_a_phone_without_a_fix_is_never_refused_for_its_time(t: Any) -> None:
    batch = parsed(points=[[seq, t, None, None] for seq in range(1, 501)])
    assert len(batch.voided) == 500
    assert not batch.bad_time


@pytest.mark.parametrize("number", ["NaN", "-NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "INF"])
@pytest.mark.parametrize("place", range(4, 9))
def test_a_value_that_is_not_a_number_is_unknown_and_the_batch_is_stored(number: str, place: int) -> None:
    values = [1, NOW_MS, 53.4, -2.98, 7.5, 90, 4, 12, 80]
    spelled = ",".join(number if at == place else str(value) for at, value in enumerate(values))
    body = f'{{"journey_id":"{JOURNEY}","points":[[{spelled}],[2,{NOW_MS},53.4,-2.98]]}}'
    batch = parse(body.encode())
    assert batch.voids == {}
    assert list(msgspec.structs.astuple(batch.points[0])) == [
        None if at == place else value for at, value in enumerate(values)
    ]


def test_one_place_that_is_not_a_number_is_a_void_among_good_points() -> None:
    body = f'{{"journey_id":"{JOURNEY}","points":[[1,{NOW_MS},NaN,NaN],[2,{NOW_MS},53.4,-2.98]]}}'
    batch = parse(body.encode())
    assert batch.voided == [(1, "no_fix")]


def test_a_nan_inside_a_text_stays() -> None:
    assert finite(b'{"a":"NaN, \\" NaN","b":NaN,"nan":[-Infinity,1]}') == (
        b'{"a":"NaN, \\" NaN","b":null,"nan":[null,1]}'
    )
    assert finite(b'"' + b'\\"' * 200_000) == b'"' + b'\\"' * 200_000, "in one pass"


ALONE = [1, NOW_MS, 53.4, -2.98]


@pytest.mark.parametrize(
    "body",
    [
        {"journey_id": JOURNEY, "points": ALONE},
        {"journey_id": JOURNEY, "point": ALONE},
        {"journey_id": JOURNEY, "point": [ALONE]},
        {"journey_id": JOURNEY, "points": {"seq": 1, "t_ms": NOW_MS, "lat": 53.4, "lon": -2.98}},
        {"journey_id": JOURNEY, "points": [{"lon": -2.98, "lat": 53.4, "t": NOW_MS, "seq": 1}]},
        [{"journey_id": JOURNEY, "points": [ALONE]}],
        {"positions": {"journey_id": JOURNEY, "points": [ALONE]}},
        {"data": {"journey_id": JOURNEY, "points": [ALONE]}},
        json.dumps({"journey_id": JOURNEY, "points": [ALONE]}),
        {"journey_id": "{" + JOURNEY.upper() + "}", "points": [ALONE]},
        {"journey_id": f"urn:uuid:{JOURNEY}", "points": [ALONE]},
    ],
)
def test_a_point_alone_and_a_wrapped_payload_are_read(body: Any) -> None:
    batch = parse(json.dumps(body).encode())
    assert batch.journey_id == JOURNEY
    assert batch.points == [Point(1, NOW_MS, 53.4, -2.98)]
    assert batch.newest == batch.points[0]


def test_500_points_of_full_doubles_survive_the_way_there() -> None:
    points = [[s, NOW_MS + s, 53.400000000000006, -2.9799999999999995, 7.1] for s in range(1, 501)]
    assert len(parse(msgspec.Raw(payload(points=points))).points) == 500


near_ms = st.integers(NOW_MS - 5, NOW_MS + 5)
plain_points = st.tuples(
    near_ms | st.sampled_from([0, -1, NOW_MS // 1000, 253_402_300_799_999, 253_402_300_800_000]),
    st.sampled_from([53.4, 0, 0.0, -90, 90.0, 90.1]),
    st.sampled_from([-2.98, 0.0, 180, -180.1]),
    st.sampled_from([7.5, -1, 350, 350.5, 1e300, None]),
)


@given(st.integers(-1, 3) | st.integers(2**31 - 510, 2**31), st.lists(plain_points, max_size=8), st.data())
def test_the_short_way_and_the_long_way_agree(first: int, values: list[Any], data: st.DataObject) -> None:
    """A payload that says ``"latest": null`` is always judged point by point; without it, it need not be."""
    points = [[first + at, *value] for at, value in enumerate(values)]
    if points and data.draw(st.integers(0, 9)) == 0:
        points[-1][0] += 1

    def outcome(**fields: Any) -> object:
        try:
            return parsed(points=points, **fields)
        except Refused as refusal_:
            return refusal_.code, refusal_.message

    assert outcome() == outcome(latest=None)


def test_a_journey_id_that_is_none_is_refused_on_the_short_way_too() -> None:
    body = json.dumps({"journey_id": JOURNEY[:-1], "points": [good(1)]}).encode()
    assert refused(body).code is Code.INVALID
    shouted = parse(json.dumps({"journey_id": JOURNEY.upper(), "points": [good(1)]}).encode())
    assert shouted.journey_id == JOURNEY
