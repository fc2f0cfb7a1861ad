"""Attempts only move forward; what follows from a provider's answer."""

from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts.attempt import (
    Accepted,
    Attempt,
    Channel,
    Permanent,
    Purpose,
    Retryable,
    Status,
    Unsure,
    attempt_id_of,
    moved_on,
    planned_attempt,
    rank,
    was_told,
)
from alerts.retry import (
    LONGEST_OBEYED_S,
    LONGEST_RETRY_S,
    LOOK_UP_AFTER_MS,
    MAX_TRIES,
    USUAL_OBEYED_S,
    pause_of,
    settle,
)
from tests.alerts.kit import T0, S

ALERT_ID = UUID(int=5)
NOW = T0 + 3 * S


def attempt(status: Status = Status.SENDING, **changes: Any) -> Attempt:
    """A claimed SMS to Ana."""
    purpose = changes.pop("purpose", Purpose.ALERT)
    made = planned_attempt(ALERT_ID, "acme", purpose, 1, 0, "ana", Channel.SMS, T0)
    return replace(made, status=status, lease_by="w1", lease_until_ms=T0 + 30 * S, **changes)


def half() -> float:
    return 0.5


def test_ids_differ_by_every_part_and_stay_what_they_are() -> None:
    parts = (ALERT_ID, Purpose.ALERT, 1, 0, "ana", Channel.SMS, 1)
    others = (UUID(int=6), Purpose.CLOSED, 2, 1, "ben", Channel.CALL, 2)
    changed = [(*parts[:n], other, *parts[n + 1 :]) for n, other in enumerate(others)]
    ids = {attempt_id_of(*given) for given in (parts, *changed)}  # type: ignore[arg-type]
    assert len(ids) == len(parts) + 1
    assert attempt_id_of(*parts) == UUID("dc5ae7e5-1f27-5ad9-9ad7-71e4c6f841cb")


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_an_attempt_only_moves_forward(before: Status, after: Status) -> None:
    given_ = attempt(before)
    moved = moved_on(given_, after, NOW, said="x", reason="y")
    if rank(after) > rank(before):
        assert moved.status is after
        assert moved.lease_by is moved.lease_until_ms is None
    else:
        assert moved is given_


def test_what_was_delivered_never_fails_and_a_late_delivery_overrules_a_failure() -> None:
    sent = moved_on(attempt(), Status.SENT, NOW)
    failed = moved_on(sent, Status.FAILED, NOW + 1, reason="undelivered")
    assert (failed.status, failed.reason, failed.settled_ms) == (Status.FAILED, "undelivered", NOW + 1)
    delivered = moved_on(failed, Status.DELIVERED, NOW + 2)
    assert (delivered.status, delivered.reason, delivered.delivered_ms) == (Status.DELIVERED, None, NOW + 2)
    assert moved_on(delivered, Status.FAILED, NOW + 3) is delivered
    answered = moved_on(delivered, Status.ANSWERED, NOW + 4)
    assert (answered.status, answered.delivered_ms) == (Status.ANSWERED, NOW + 2)


def test_accepted_is_sent_or_delivered() -> None:
    sent, retry = settle(attempt(), Accepted("SM1", "queued"), NOW, half)
    assert (sent.status, sent.provider_id, sent.provider_status, sent.sent_ms) == (
        Status.SENT, "SM1", "queued", NOW,
    )  # fmt: skip
    assert (sent.lease_by, retry) == (None, None)
    delivered, _ = settle(attempt(), Accepted(None, "ok", delivered=True, repeat=True), NOW, half)
    assert (delivered.status, delivered.delivered_ms, delivered.repeat) == (Status.DELIVERED, NOW, True)


def test_a_reply_that_an_answer_overtook_still_brings_the_providers_id() -> None:
    answered, _ = settle(attempt(Status.ANSWERED, delivered_ms=T0), Accepted("SM1", "queued"), NOW, half)
    assert (answered.status, answered.provider_id, answered.delivered_ms) == (Status.ANSWERED, "SM1", T0)


@pytest.mark.parametrize("outcome", [Permanent("bad_number"), Retryable("busy"), Unsure("timeout")])
@pytest.mark.parametrize("status", [Status.SENT, Status.DELIVERED, Status.ANSWERED, Status.FAILED])
def test_a_late_bad_word_does_not_undo_a_good_one(status: Status, outcome: Any) -> None:
    before = attempt(status)
    assert settle(before, outcome, NOW, half) == (before, None)


def test_permanent_fails_without_a_retry() -> None:
    failed, retry = settle(attempt(), Permanent("bad_number"), NOW, half)
    assert (failed.status, failed.reason, retry) == (Status.FAILED, "bad_number", None)
    assert not was_told(failed)


def test_retryable_fails_and_another_follows() -> None:
    failed, retry = settle(attempt(), Retryable("busy"), NOW, half)
    assert (failed.status, failed.reason) == (Status.FAILED, "busy")
    assert retry is not None
    assert (retry.number, retry.status, retry.due_ms, retry.created_ms) == (2, Status.DUE, NOW + 750, NOW)
    assert retry.attempt_id == attempt_id_of(ALERT_ID, Purpose.ALERT, 1, 0, "ana", Channel.SMS, 2)
    assert (retry.contact_id, retry.channel, retry.provider_id) == ("ana", Channel.SMS, None)


@pytest.mark.parametrize("purpose", Purpose)
def test_there_is_a_last_retry(purpose: Purpose) -> None:
    current: Attempt | None = attempt(purpose=purpose)
    count = 0
    while current is not None:
        count += 1
        _, current = settle(replace(current, status=Status.SENDING), Retryable("busy"), NOW, half)
    assert count == MAX_TRIES[purpose]


def test_unsure_is_looked_up_and_after_an_unsure_repeat_fails_with_a_retry() -> None:
    unsure, retry = settle(attempt(), Unsure("timeout"), NOW, half)
    assert (unsure.status, unsure.due_ms, unsure.lease_by) == (Status.UNSURE, NOW + LOOK_UP_AFTER_MS, None)
    assert retry is None
    assert was_told(unsure)
    claimed = replace(unsure, status=Status.SENDING, lease_by="w2", lease_until_ms=NOW)
    failed, again = settle(claimed, Unsure("timeout", repeat=True), NOW + 9 * S, half)
    assert (failed.status, failed.reason, failed.repeat) == (Status.FAILED, "unsure", True)
    assert was_told(failed)
    assert again is not None
    assert (again.number, again.repeat) == (2, True)


@given(
    number=st.integers(1, 40),
    chance=st.floats(0, 1, exclude_max=True),
    asked_s=st.none() | st.floats(0, 1e6),
    purpose=st.sampled_from(Purpose),
)
def test_a_pause_is_jittered_bounded_and_obeys(
    number: int, chance: float, asked_s: float | None, purpose: Purpose
) -> None:
    pause_s = pause_of(attempt(purpose=purpose, number=number), asked_s, chance)
    obeyed_s = LONGEST_OBEYED_S.get(purpose, USUAL_OBEYED_S)
    assert 0.5 <= pause_s <= max(LONGEST_RETRY_S, obeyed_s + 1)
    if asked_s is None:
        assert pause_s <= 2 ** (number - 1)
    else:
        assert pause_s >= min(asked_s, obeyed_s)


def test_an_sos_waits_for_no_provider_longer_than_it_can() -> None:
    assert pause_of(attempt(), 3_600, 0) == 30
    assert pause_of(attempt(purpose=Purpose.CLOSED), 3_600, 0) == 600
    assert pause_of(attempt(), 7, 0) == 7


def test_whoever_may_have_got_it_was_told() -> None:
    told = {status for status in Status if was_told(attempt(status))}
    assert told == set(Status) - {Status.DUE, Status.FAILED}
