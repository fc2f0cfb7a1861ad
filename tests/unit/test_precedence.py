"""Which of two positions of a driver is the newer: seq, then the open journey, then the arrival."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geo.position import Point
from realtime.bus.bus import BusItem
from realtime.fanout.feeds.latest import LatestState
from realtime.live.precedence import SEQ_WINDOW, arrival_ms, is_ended, order_of, supersedes
from realtime.live.topics import POSITIONS, parse_position, position_item

NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
WEEKS_1024_MS = 1024 * 7 * 86_400_000
ONE = "0190a5b0-0000-7000-8000-000000000001"
TWO = "0190a5b0-0000-7000-8000-000000000002"


def spot(
    seq: int, arrived_ms: int = NOW_MS, *, journey: str = ONE, ended: bool = False, t_ms: int = NOW_MS
) -> BusItem:
    order = order_of(arrived_ms, ended=ended)
    return position_item("d1", journey, Point(seq, t_ms, 53.4, -2.98), order)


def replaces(offered: BusItem, known: BusItem) -> bool:
    return supersedes(known.order, known.fragment, offered.order, offered.fragment)


@pytest.mark.parametrize(
    ("known", "offered", "newer"),
    [
        (spot(1), spot(2), True),
        (spot(2), spot(1, NOW_MS + 1), False),
        (spot(9), spot(10), True),
        (spot(10), spot(9, NOW_MS + 1), False),
        (spot(999), spot(1_000), True),
        (spot(2**31 - 1), spot(2**31 - 2, NOW_MS + 1), False),
        (spot(2**31 - 1), spot(50, NOW_MS + 1), True),  # no phone has so many points: its seq is wrong
        (spot(2**31 - 1, ended=True), spot(50, NOW_MS + 1, ended=True), True),
        (spot(2**31 - 1), spot(50, NOW_MS + 1, ended=True), True),
        (spot(50), spot(2**31 - 1, NOW_MS + 1), True),
        (spot(50, NOW_MS + 2), spot(2**31 - 1, NOW_MS + 1), False),
        (spot(2**31 - 1), spot(50), False),
        (spot(50), spot(50 + SEQ_WINDOW, NOW_MS - 1), True),  # the queue of a phone that was offline for long
        (spot(50 + SEQ_WINDOW), spot(50, NOW_MS + 1), False),
        (spot(51 + SEQ_WINDOW), spot(50, NOW_MS + 1), True),
        (spot(1), spot(2, NOW_MS - HOUR_MS), True),  # another instance's clock is behind
        (spot(1), spot(2, t_ms=NOW_MS - HOUR_MS), True),
        (spot(1), spot(2, t_ms=NOW_MS - WEEKS_1024_MS), True),
        (spot(1, t_ms=NOW_MS + HOUR_MS), spot(2), True),
        (spot(2), spot(2, NOW_MS + 1), False),
        (spot(2), spot(2, NOW_MS + 1, ended=True), True),
        (spot(2, ended=True), spot(2, NOW_MS + 1), False),
        (spot(2, ended=True), spot(2, NOW_MS + 1, ended=True), False),
        (spot(2), spot(2, NOW_MS + 1, t_ms=NOW_MS - 1), True),
        (spot(2), spot(2, NOW_MS - 1, t_ms=NOW_MS + 1), False),
        (spot(2), spot(3, NOW_MS + 1, ended=True), True),
        (spot(2, ended=True), spot(1, NOW_MS + 1), False),
        (spot(9), spot(1, NOW_MS + 1, journey=TWO), True),
        (spot(9), spot(1, NOW_MS + 1, journey=TWO, t_ms=NOW_MS - HOUR_MS), True),
        (spot(1), spot(9, NOW_MS - 1, journey=TWO), False),
        (spot(1), spot(9, NOW_MS + HOUR_MS, journey=TWO, ended=True), False),
        (spot(9, NOW_MS + HOUR_MS, ended=True), spot(1, journey=TWO), True),
        (spot(9, ended=True), spot(1, NOW_MS + 1, journey=TWO, ended=True), True),
        (spot(9, NOW_MS + 1, ended=True), spot(1, journey=TWO, ended=True), False),
    ],
)
def test_the_newer_of_two(known: BusItem, offered: BusItem, newer: bool) -> None:
    assert replaces(offered, known) is newer


@given(
    st.integers(1, 2**31 - 1 - SEQ_WINDOW),
    st.lists(
        st.tuples(st.integers(0, SEQ_WINDOW), st.integers(0, 9), st.booleans()), min_size=1, max_size=12
    ),
    st.randoms(),
)
def test_a_board_shows_the_highest_seq_of_a_journey_in_whatever_order_it_came(
    first: int, offsets: list[tuple[int, int, bool]], rng: random.Random
) -> None:
    """Wherever the phone begins."""
    said = [(first + offset, at, ended) for offset, at, ended in offsets]
    items = [spot(seq, NOW_MS + at, ended=ended) for seq, at, ended in said]
    rng.shuffle(items)
    board = LatestState({POSITIONS: supersedes})
    for item in items:
        board.apply(POSITIONS, [item])
    (fragment,) = board.snapshot(POSITIONS)
    assert parse_position(fragment)[2].seq == max(seq for seq, _, _ in said)


def test_a_seq_far_ahead_holds_up_one_position_and_not_the_journey() -> None:
    """A live position with a wrong seq froze the marker of its journey for good."""
    board = LatestState({POSITIONS: supersedes})
    shown = []
    for at, seq in enumerate((1, 2, 2**31 - 1, 3, 4, 5)):
        board.apply(POSITIONS, [spot(seq, NOW_MS + at)])
        (fragment,) = board.snapshot(POSITIONS)
        shown.append(parse_position(fragment)[2].seq)
    assert shown == [1, 2, 2**31 - 1, 3, 4, 5]


@given(st.integers(1_500_000_000_000, 1_999_999_999_999), st.booleans())
def test_an_order_tells_the_arrival_and_whether_the_journey_had_ended(received_ms: int, ended: bool) -> None:
    order = order_of(received_ms, ended=ended)
    assert arrival_ms(order) == received_ms
    assert is_ended(order) is ended


@pytest.mark.parametrize("odd", [b"", b"x", b"[]", b'["d1"]', b'["d1","j",['])
def test_what_is_no_position_goes_by_its_order(odd: Any) -> None:
    assert supersedes(1, odd, 2, odd + b"1")
    assert not supersedes(2, odd, 2, odd + b"1")
    assert not supersedes(2, odd, 1, spot(1).fragment)
