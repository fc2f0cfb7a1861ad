"""What the outbox sends next, and what an answer means to it."""

from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.client.outbox import AckOutcome, Outbox, Request
from tests.client.model import Model, refused

T0_MS = 1_780_000_000_000


def outbox_with(points: int, *, started: bool = True, **options: Any) -> Outbox:
    outbox = Outbox(Random(1), **options)
    outbox.start(str(uuid4()), T0_MS)
    if started:
        request = outbox.next(0.0)
        assert request is not None
        outbox.answered(request, {"ok": True, "journey_id": "j1", "next_seq": 1}, 0.0)
    for number in range(points):
        outbox.add(T0_MS + number, 53.4, -2.9 + number / 1000)
    return outbox


def sent(outbox: Outbox, now_s: float = 0.0) -> Request:
    request = outbox.next(now_s)
    assert request is not None, outbox
    return request


def seqs(request: Request) -> list[int]:
    return [point[0] for point in request.payload["points"]]


def test_a_journey_is_started_before_its_points_and_ended_after_them() -> None:
    outbox = outbox_with(2, started=False)
    outbox.end(T0_MS + 5)
    model, events = Model(), []
    while (request := outbox.next(0.0)) is not None:
        events.append(request.event)
        assert (
            outbox.answered(request, model.answer(request.event, request.payload), 0.0) is AckOutcome.PROGRESS
        )
    assert events == ["journey:start", "positions", "journey:end"]
    assert outbox.is_done and outbox.kept == 0
    assert next(iter(model.by_id.values())).final_seq == 2


def test_points_are_kept_until_through_says_that_they_are_stored() -> None:
    outbox = outbox_with(3)
    request = sent(outbox)
    assert seqs(request) == [1, 2, 3] and outbox.kept == 3
    outbox.answered(request, {"ok": True, "through": 2, "voided": []}, 0.0)
    assert outbox.kept == 1
    assert seqs(sent(outbox)) == [3]


def test_trailing_unknown_values_stay_away_from_the_wire() -> None:
    outbox = outbox_with(0)
    outbox.add(T0_MS, 53.4, -2.9, None, 12.0, None, None, None)
    assert sent(outbox).payload["points"] == [[1, T0_MS, 53.4, -2.9, None, 12.0]]


def test_latest_goes_along_only_while_a_backlog_stays_behind() -> None:
    outbox = outbox_with(5, batch=2)
    first = sent(outbox)
    assert seqs(first) == [1, 2] and first.payload["latest"][0] == 5
    outbox.answered(first, {"ok": True, "through": 2}, 0.0)
    second = sent(outbox)
    assert seqs(second) == [3, 4] and second.payload["latest"][0] == 5
    outbox.answered(second, {"ok": True, "through": 4}, 0.0)
    assert "latest" not in sent(outbox).payload


def test_no_answer_means_the_same_again_after_a_pause() -> None:
    outbox = outbox_with(2)
    first = sent(outbox)
    assert outbox.answered(first, None, 10.0) is AckOutcome.RETRY
    assert outbox.next(10.0) is None and outbox.not_before_s > 10.0
    assert sent(outbox, outbox.not_before_s) == first
    assert outbox.stats.resent == 2


def test_retry_after_is_a_floor() -> None:
    outbox = outbox_with(1)
    outbox.answered(sent(outbox), refused("overloaded", retryable=True, retry_after_s=7.5), 100.0)
    assert 107.5 <= outbox.not_before_s <= 115.0


def test_failures_in_a_row_wait_longer_and_one_success_starts_over() -> None:
    outbox, now_s, waits = outbox_with(1), 0.0, []
    for _ in range(6):
        outbox.answered(sent(outbox, now_s), None, now_s)
        waits.append(outbox.not_before_s - now_s)
        now_s = outbox.not_before_s
    assert waits == sorted(waits) and waits[-1] > 10.0
    outbox.answered(sent(outbox, now_s), {"ok": True, "through": 1}, now_s)
    assert outbox.not_before_s == 0.0


def test_expected_seq_ahead_of_us_acknowledges_what_an_ack_that_got_lost_had_stored() -> None:
    outbox = outbox_with(4)
    answer = refused("expected_seq", retryable=True, expected=4)
    assert outbox.answered(sent(outbox), answer, 0.0) is AckOutcome.PROGRESS
    assert seqs(sent(outbox)) == [4] and outbox.stats.acknowledged == 3


def test_expected_seq_behind_what_was_acknowledged_declares_it_lost_and_counts_it() -> None:
    outbox = outbox_with(3)
    outbox.answered(sent(outbox), {"ok": True, "through": 3}, 0.0)
    outbox.add(T0_MS + 9, 53.0, -2.0)
    outbox.answered(sent(outbox), refused("expected_seq", retryable=True, expected=2), 0.0)
    request = sent(outbox)
    assert request.payload["skip"] == [2, 3, "lost_after_ack"] and seqs(request) == [4]
    assert outbox.stats.rewound == 2


def test_expected_seq_that_asks_for_what_was_sent_is_not_answered_in_a_hot_loop() -> None:
    outbox = outbox_with(1)
    assert (
        outbox.answered(sent(outbox), refused("expected_seq", retryable=True, expected=1), 5.0)
        is AckOutcome.RETRY
    )
    assert outbox.next(5.0) is None


def test_a_resumed_start_forgets_what_the_server_has() -> None:
    outbox = outbox_with(3)
    outbox.answered(sent(outbox), None, 0.0)
    outbox.connected()
    start = sent(outbox, outbox.not_before_s)
    assert start.event == "journey:start"
    outbox.answered(start, {"ok": True, "journey_id": "j1", "next_seq": 3}, 0.0)
    assert seqs(sent(outbox)) == [3]


def test_an_app_that_forgot_its_journey_counts_on_where_the_server_is() -> None:
    outbox = outbox_with(2, started=False)
    outbox.answered(sent(outbox), {"ok": True, "journey_id": "j1", "next_seq": 41}, 0.0)
    assert seqs(sent(outbox)) == [41, 42]
    outbox.answered(sent(outbox), {"ok": True, "through": 42}, 0.0)
    assert outbox.stats.acknowledged == 2 and outbox.kept == 0


def test_a_conflict_leaves_the_stored_ones_standing_and_goes_on_behind_them() -> None:
    outbox = outbox_with(5)
    answer = refused("conflict", retryable=False, conflicts=[2, 3])
    assert outbox.answered(sent(outbox), answer, 0.0) is AckOutcome.PROGRESS
    assert seqs(sent(outbox)) == [4, 5]
    assert (outbox.stats.conflicts, outbox.stats.acknowledged) == (2, 1)


@pytest.mark.parametrize("code", ["journey_expired", "journey_ended", "not_found"])
def test_a_closed_journey_is_followed_by_the_next_one_with_what_is_left(code: str) -> None:
    outbox = outbox_with(3)
    first_id = outbox.journeys[0].client_journey_id
    outbox.answered(sent(outbox), {"ok": True, "through": 2}, 0.0)
    outbox.answered(sent(outbox), refused(code, retryable=False), 0.0)
    start = sent(outbox, outbox.not_before_s)
    assert start.event == "journey:start" and start.payload["client_journey_id"] != first_id
    assert UUID(start.payload["client_journey_id"])
    outbox.answered(start, {"ok": True, "journey_id": "j2", "next_seq": 1}, 0.0)
    request = sent(outbox)
    assert seqs(request) == [1] and request.payload["journey_id"] == "j2"


def test_a_frame_that_is_too_large_is_halved() -> None:
    outbox = outbox_with(8, batch=8)
    outbox.answered(sent(outbox), refused("too_large", retryable=False), 0.0)
    assert seqs(sent(outbox, outbox.not_before_s)) == [1, 2, 3, 4]


def test_a_permanent_refusal_does_not_hold_up_the_next_journey() -> None:
    outbox = outbox_with(2)
    outbox.end(T0_MS)
    outbox.start(str(uuid4()), T0_MS)
    assert outbox.answered(sent(outbox), refused("forbidden", retryable=False), 0.0) is AckOutcome.REFUSED
    assert outbox.stats.refused == 2 and outbox.kept == 0
    assert sent(outbox).event == "journey:start"


def test_points_of_a_refused_journey_are_counted_and_the_app_may_begin_another() -> None:
    outbox = outbox_with(1)
    outbox.answered(sent(outbox), refused("forbidden", retryable=False), 0.0)
    outbox.add(T0_MS, 53.0, -2.0)
    assert outbox.stats.refused == outbox.stats.added == 2
    assert outbox.is_done and not outbox.is_under_way and outbox.next(0.0) is None
    outbox.start(str(uuid4()), T0_MS)
    assert outbox.is_under_way and not outbox.is_done and sent(outbox).event == "journey:start"


@pytest.mark.parametrize("code", ["token_expired", "draining"])
def test_some_errors_are_cured_by_a_new_connection(code: str) -> None:
    outbox = outbox_with(1)
    assert outbox.answered(sent(outbox), refused(code, retryable=False), 0.0) is AckOutcome.RECONNECT
    assert outbox.kept == 1


def test_a_full_outbox_loses_the_oldest_that_never_left_and_says_so() -> None:
    outbox = outbox_with(3, batch=2, max_kept=4)
    first = sent(outbox)
    for number in range(4):
        outbox.add(T0_MS + 100 + number, 53.0, -2.0)
    assert outbox.kept == 4 and outbox.stats.lost == 3
    assert seqs(first) == [1, 2]
    outbox.answered(first, {"ok": True, "through": 2}, 0.0)
    request = sent(outbox)
    assert request.payload["skip"] == [3, 5, "outbox_full"] and seqs(request) == [6, 7]


def test_a_gap_longer_than_one_message_may_declare_goes_in_pieces() -> None:
    outbox = outbox_with(20_007, max_kept=5)
    model = Model()
    outbox.connected()
    while (request := outbox.next(0.0)) is not None:
        assert (
            outbox.answered(request, model.answer(request.event, request.payload), 0.0) is AckOutcome.PROGRESS
        )
    (log,) = model.by_id.values()
    assert len(log.contents) == 20_007 and log.contents.count(None) == 20_002


def test_points_gather_until_enough_wait_or_the_journey_ends() -> None:
    outbox = outbox_with(2, gather=3)
    assert outbox.next(0.0) is None
    outbox.add(T0_MS, 53.0, -2.0)
    request = sent(outbox)
    assert seqs(request) == [1, 2, 3]
    outbox.answered(request, {"ok": True, "through": 3}, 0.0)
    outbox.add(T0_MS, 53.0, -2.0)
    assert outbox.next(0.0) is None
    outbox.end(T0_MS)
    assert seqs(sent(outbox)) == [4]


def test_only_points_count_as_voided_and_each_once() -> None:
    outbox = outbox_with(2)
    outbox.answered(sent(outbox), {"ok": True, "through": 2, "voided": [[2, "no_fix"], [9, "no_fix"]]}, 0.0)
    assert outbox.stats.voided == 1


def test_adding_without_a_journey_under_way_is_an_error() -> None:
    outbox = Outbox(Random(1))
    with pytest.raises(ValueError, match="no journey"):
        outbox.add(T0_MS, 1.0, 1.0)


STEP = st.sampled_from(
    ["add", "add", "add", "bad", "send", "send", "lose_request", "lose_answer", "drop", "next"]
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=80), batch=st.integers(1, 7), max_kept=st.integers(7, 30))
def test_whatever_gets_lost_on_the_way_the_log_is_whole_in_the_end(
    steps: list[str], batch: int, max_kept: int
) -> None:
    """Requests and answers are lost, connections drop, journeys follow each other, the outbox overflows."""
    outbox, model, now_s = Outbox(Random(2), batch=batch, max_kept=max_kept), Model(), 0.0
    expected: dict[str, list[float]] = {}

    def start() -> None:
        expected[client_id := str(uuid4())] = []
        outbox.start(client_id, T0_MS)

    def exchange(step: str) -> None:
        nonlocal now_s
        now_s = max(now_s, outbox.not_before_s)
        request = outbox.next(now_s)
        if request is not None:
            answer = None if step == "lose_request" else model.answer(request.event, request.payload)
            outbox.answered(request, None if step == "lose_answer" else answer, now_s)

    start()
    for number, step in enumerate(steps):
        match step:
            case "add" | "bad":
                list(expected.values())[-1].append(number)
                outbox.add(T0_MS + number, 53.0 if step == "add" else 91.0, -2.0)
            case "drop":
                outbox.connected()
            case "next":
                outbox.end(T0_MS)
                start()
            case _:
                exchange(step)
    outbox.end(T0_MS)
    while not outbox.is_done:
        exchange("send")

    assert outbox.kept == 0 and not outbox.stats.errors
    stats = outbox.stats
    assert stats.added == stats.acknowledged + stats.lost
    for client_id, numbers in expected.items():
        log = model.by_client_id[client_id]
        assert len(log.contents) == log.final_seq == len(numbers)
        times = [None if c is None else c[0] - T0_MS for c in log.contents]
        assert all(t is None or t == n for t, n in zip(times, numbers, strict=True))
        assert stats.lost or all(
            t is not None or steps[n] == "bad" for t, n in zip(times, numbers, strict=True)
        )
