"""The ready JSON of positions: encoded one by one or together, it is the same."""

from hypothesis import given
from hypothesis import strategies as st

from geo.position import Point, void
from realtime.bus.bus import BusItem
from realtime.live.topics import log_item, log_items, parse_position, position_item

JOURNEY = "0190a5b0-0000-7000-8000-000000000001"
points = st.builds(
    Point, st.integers(1, 2**31 - 1), st.integers(0, 2**40), st.floats(-90, 90), st.floats(-180, 180)
) | st.builds(void, st.integers(1, 2**31 - 1))


@given(st.lists(points, max_size=5))
def test_entries_encoded_together_are_those_encoded_one_by_one(several: list[Point]) -> None:
    assert log_items("d~1", JOURNEY, several) == [log_item("d~1", JOURNEY, point) for point in several]


@given(points)
def test_the_dot_and_the_log_say_a_point_in_the_same_bytes(point: Point) -> None:
    dot = position_item("d1", JOURNEY, point, order=7)
    assert BusItem("", point.seq, dot.fragment) == log_item("d1", JOURNEY, point)
    assert parse_position(dot.fragment) == ("d1", JOURNEY, point)
