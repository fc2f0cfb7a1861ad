"""The accounting of the load tests finds what it is there for, and is content with what is fine."""

from typing import Any

import pytest

from loadtests.ledger import Ledger
from realtime.client.views import JourneyView, LatestView

JOURNEY = "0190a000-0000-7000-8000-000000000001"


def point(seq: int, lat: float | None = 53.4) -> list[Any]:
    return [seq, None if lat is None else 1_000 * seq, lat, None if lat is None else -2.9, 8.25]


@pytest.fixture
def ledger() -> Ledger:
    """A driver sent five points; four are acknowledged, the second as a void."""
    made = Ledger()
    made.sent(JOURNEY, "d1", [point(seq) for seq in range(1, 6)])
    made.acknowledged(JOURNEY, 4, [(2, "no_fix")])
    return made


def history() -> list[list[Any]]:
    return [point(1), point(2, None), point(3), point(4)]


def test_a_true_history_has_no_fault(ledger: Ledger) -> None:
    assert ledger.points == 4
    assert ledger.judge_history(JOURNEY, history()) == []


def test_a_point_stored_but_not_yet_acknowledged_is_no_fault(ledger: Ledger) -> None:
    assert ledger.judge_history(JOURNEY, [*history(), point(5)]) == []


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        ([point(1), point(2, None), point(4)], "1 acknowledged but missing: 3"),
        ([], "4 acknowledged but missing"),
        ([*history(), point(4)], "1 stored more than once"),
        ([point(2, None), point(1), point(3), point(4)], "not in seq order"),
        ([point(1), point(2, None), point(3, 53.5), point(4)], "1 not as sent: 3"),
        ([point(1), point(2), point(3), point(4)], "1 not as sent: 2"),
        ([point(1), point(2, None), point(3, None), point(4)], "1 not as sent: 3"),
        ([*history(), point(5), point(6)], "1 not as sent: 6"),
    ],
)
def test_a_false_history_is_found_out(ledger: Ledger, stored: list[list[Any]], fault: str) -> None:
    found = ledger.judge_history(JOURNEY, stored)
    assert any(fault in line for line in found), found


def entries(*seqs: int) -> list[list[Any]]:
    return [["d1", JOURNEY, point(seq)] for seq in seqs]


def test_a_viewer_that_saw_everything_once_has_no_fault(ledger: Ledger) -> None:
    view = JourneyView({"journey": JOURNEY})
    view.take_positions(entries(1, 2, 3, 4))
    assert ledger.judge_journey_view(JOURNEY, view) == []


@pytest.mark.parametrize(
    ("seqs", "fault"),
    [((1, 2, 4), "gaps (3, 3)"), ((1, 2, 3, 3, 4), "doubled 3"), ((1, 2, 3), "saw up to 3 of 4")],
)
def test_a_viewer_with_a_gap_a_duplicate_or_too_little_is_found(
    ledger: Ledger, seqs: tuple[int, ...], fault: str
) -> None:
    view = JourneyView({"journey": JOURNEY})
    view.take_positions(entries(*seqs))
    (found,) = ledger.judge_journey_view(JOURNEY, view)
    assert fault in found


def test_a_dot_that_moves_back_or_stops_short_is_found(ledger: Ledger) -> None:
    view = LatestView({"vendor": "north"})
    view.take_positions(entries(1, 4))
    assert ledger.judge_latest_view("north", view) == []
    view.take_positions(entries(3))
    found = ledger.judge_latest_view("north", view)
    assert any("older" in line for line in found)
    assert any("d1" in line for line in found)
