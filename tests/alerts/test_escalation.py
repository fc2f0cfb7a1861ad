"""Who is due now: each rule of docs/ALERTS.md, "Escalation"."""

from typing import Any

import pytest
from msgspec.structs import replace

from alerts.alert import MAX_LOOPS, Alert, State
from alerts.attempt import Attempt, Channel, Purpose, Status, planned_attempt
from alerts.escalation import (
    SLOW_MS,
    Decision,
    Exhausted,
    GivenUp,
    Lacking,
    NothingDue,
    Notify,
    PlannedMessage,
    Skipped,
    WaitUntil,
    Why,
    contacts_of,
    decide,
)
from alerts.policy import ALL, DISPATCH, Contact, Policy, PolicyCopy, Step
from tests.alerts.kit import ANA, ANA_THEN_BEN, BEN, DESK, DISPATCHERS, MUTE, PEOPLE, T0, S, alert

SMS, CALL, PUSH, EMAIL = Channel.SMS, Channel.CALL, Channel.PUSH, Channel.EMAIL


def copy(policy: Policy = ANA_THEN_BEN, *contacts: Contact) -> PolicyCopy:
    return PolicyCopy(policy, contacts or PEOPLE)


def one_step(step: Step, *contacts: Contact, loops: int = 1) -> PolicyCopy:
    return copy(Policy((step,), loops=loops), *contacts)


def tried(
    contact_id: str, channel: Channel, status: Status = Status.SENT, *, at_ms: int = T0, **parts: Any
) -> Attempt:
    """An attempt of round 1, step 0, number 1 unless told otherwise."""
    made = planned_attempt(
        alert().alert_id, "acme", parts.pop("purpose", Purpose.ALERT), parts.pop("round", 1),
        parts.pop("step", 0), contact_id, channel, at_ms,
    )  # fmt: skip
    return replace(made, status=status, **parts)


def planned(decision: Decision) -> list[tuple[int, int, str, str]]:
    """Round, step, contact and channel of what is due."""
    assert isinstance(decision, Notify)
    return [(p.round, p.step, p.contact_id, p.channel.value) for p in decision.planned]


def decided(
    attempts: list[Attempt],
    of: PolicyCopy | None = None,
    *,
    now_ms: int = T0,
    down: frozenset[Channel] = frozenset(),
    on: Alert | None = None,
) -> Decision:
    return decide(on or alert(), attempts, of or copy(), now_ms, down)


# --- whether at all


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (State.PENDING, Why.PENDING),
        (State.ACKNOWLEDGED, Why.ACKNOWLEDGED),
        (State.RESOLVED, Why.CLOSED),
        (State.CANCELLED, Why.CLOSED),
    ],
)
def test_nothing_is_due_unless_it_is_active(state: State, why: Why) -> None:
    assert decided([], on=alert(state)) == NothingDue(why)


def test_nothing_is_due_after_giving_up() -> None:
    assert decided([], on=alert(exhausted_ms=T0)) == NothingDue(Why.EXHAUSTED)


# --- steps


def test_it_begins_with_the_first_step() -> None:
    decision = decided([])
    assert planned(decision) == [(1, 0, "ana", "sms")]
    assert isinstance(decision, Notify)
    assert T0 < decision.then_ms <= T0 + 60 * S


def test_the_channels_of_a_step_are_told_together() -> None:
    decision = decided([], one_step(Step(("ana", "ben"), (PUSH, SMS), 60)))
    assert planned(decision) == [(1, 0, "ana", "push"), (1, 0, "ana", "sms"), (1, 0, "ben", "sms")]


def test_it_waits_as_long_as_the_step_says_and_then_goes_on() -> None:
    told = [tried("ana", SMS)]
    assert decided(told, now_ms=T0 + 60 * S - 1) == WaitUntil(T0 + 60 * S, Why.STEP_WAIT)
    assert planned(decided(told, now_ms=T0 + 60 * S)) == [(1, 1, "ben", "sms")]


def test_the_wait_begins_when_the_step_really_began() -> None:
    late = [tried("ana", SMS), tried("ben", SMS, at_ms=T0 + 600 * S, step=1)]
    assert decided(late, now_ms=T0 + 601 * S) == WaitUntil(T0 + 630 * S, Why.STEP_WAIT)


def test_after_the_last_step_the_next_round_begins() -> None:
    told = [tried("ana", SMS), tried("ben", SMS, at_ms=T0 + 60 * S, step=1)]
    assert planned(decided(told, now_ms=T0 + 90 * S)) == [(2, 0, "ana", "sms")]


def test_after_the_last_round_it_is_exhausted() -> None:
    told = [tried("ana", SMS), tried("ben", SMS, at_ms=T0 + 60 * S, step=1, round=2)]
    assert decided(told, now_ms=T0 + 90 * S) == Exhausted(GivenUp.NO_ANSWER)


def test_the_next_step_begins_at_once_when_all_of_this_one_has_failed() -> None:
    failed = [tried("ana", SMS, Status.FAILED), tried("ana", CALL, Status.FAILED)]
    assert planned(decided(failed, now_ms=T0 + S)) == [(1, 1, "ben", "sms")]


def test_a_failure_that_is_retried_is_not_for_good() -> None:
    retried = [
        tried("ana", SMS, Status.FAILED), tried("ana", SMS, Status.DUE, number=2),
        tried("ana", CALL, Status.FAILED),
    ]  # fmt: skip
    assert decided(retried, now_ms=T0 + S) == WaitUntil(T0 + 60 * S, Why.STEP_WAIT)


def test_a_late_delivery_of_the_first_try_outlives_a_failed_retry() -> None:
    told = [
        tried("ana", SMS, Status.DELIVERED), tried("ana", SMS, Status.FAILED, number=2),
        tried("ana", CALL, Status.FAILED),
    ]  # fmt: skip
    assert decided(told, now_ms=T0 + S) == WaitUntil(T0 + 60 * S, Why.STEP_WAIT)


def test_all_that_failed_is_exhausted_as_such() -> None:
    failed = [tried("ben", SMS, Status.FAILED, step=1, round=2)]
    assert decided(failed, now_ms=T0 + S) == Exhausted(GivenUp.ALL_FAILED)


def test_a_step_that_can_tell_nobody_is_passed_over_and_said_so() -> None:
    decision = decided([], copy(ANA_THEN_BEN, replace(ANA, phone=None), BEN))
    assert planned(decision) == [(1, 1, "ben", "sms")]
    assert isinstance(decision, Notify)
    assert decision.skipped == (Skipped(1, 0, "ana", Lacking.NO_ADDRESS),)
    nobody = decided([], copy(ANA_THEN_BEN, MUTE))
    skipped = (Skipped(1, 0, "ana", Lacking.UNKNOWN), Skipped(1, 1, "ben", Lacking.UNKNOWN))
    assert nobody == Exhausted(GivenUp.NOBODY_TO_TELL, skipped)


def test_a_fresh_escalation_begins_at_its_own_round_whatever_was_before() -> None:
    again = alert(round=1 + MAX_LOOPS, active_since_ms=T0 + 500 * S)
    old = [tried("ana", SMS), tried("ben", SMS, step=1, round=2)]
    fresh = 1 + MAX_LOOPS
    assert planned(decided(old, now_ms=T0 + 500 * S, on=again)) == [(fresh, 0, "ana", "sms")]
    told = [*old, tried("ben", SMS, step=1, round=fresh + 1, at_ms=T0 + 600 * S)]
    assert decided(told, now_ms=T0 + 700 * S, on=again) == Exhausted(GivenUp.NO_ANSWER)


def test_messages_that_are_no_cry_for_help_do_not_count_as_steps() -> None:
    others = [tried("ben", SMS, purpose=purpose, step=1) for purpose in Purpose if purpose != Purpose.ALERT]
    assert planned(decided(others)) == [(1, 0, "ana", "sms")]


# --- whom


def test_everybody_is_all_but_dispatchers_and_operator() -> None:
    def names(step: Step, *contacts: Contact) -> list[str]:
        return [contact_id for contact_id, _ in contacts_of(step, copy(ANA_THEN_BEN, *contacts))]

    assert names(Step((ALL,), (SMS,), 60)) == ["ana", "ben"]
    assert names(Step((DISPATCH, "ben", ALL), (SMS,), 60)) == [DISPATCH, "ben", "ana"]
    assert names(Step((ALL,), (SMS,), 60), DISPATCHERS, DESK) == ["operator"]
    crowd = [replace(ANA, contact_id=str(n)) for n in range(60)]
    assert len(names(Step((ALL,), (SMS,), 60), *crowd)) == 50


# --- fallbacks


def test_a_missing_channel_is_made_up_for_at_once() -> None:
    no_push = one_step(Step(("ben",), (PUSH,), 60, fallback=(SMS, CALL)))
    assert planned(decided([], no_push)) == [(1, 0, "ben", "sms"), (1, 0, "ben", "call")]


def test_a_channel_that_is_down_is_made_up_for_at_once_and_tried_all_the_same() -> None:
    decision = decided([], down=frozenset({SMS}))
    assert planned(decision) == [(1, 0, "ana", "sms"), (1, 0, "ana", "call")]
    assert isinstance(decision, Notify)
    assert [p.fallback for p in decision.planned] == [False, True]


def test_one_channel_that_works_needs_no_fallback() -> None:
    both = one_step(Step(("ana",), (PUSH, SMS), 60, fallback=(CALL,)))
    assert planned(decided([], both, down=frozenset({SMS}))) == [(1, 0, "ana", "push"), (1, 0, "ana", "sms")]
    told = [tried("ana", PUSH), tried("ana", SMS, Status.FAILED)]
    assert isinstance(decided(told, both, now_ms=T0 + S), WaitUntil)


@pytest.mark.parametrize(
    "trouble",
    [
        [tried("ana", SMS, Status.FAILED)],
        [tried("ana", SMS, Status.UNSURE)],
        [tried("ana", SMS, Status.FAILED), tried("ana", SMS, Status.DUE, number=2)],
        [tried("ana", SMS, Status.SENDING, repeat=True)],
    ],
)
def test_a_channel_in_trouble_is_made_up_for_at_once(trouble: list[Attempt]) -> None:
    assert planned(decided(trouble, now_ms=T0 + S)) == [(1, 0, "ana", "call")]


@pytest.mark.parametrize("status", [Status.DUE, Status.SENDING])
def test_a_message_that_is_not_taken_in_time_is_in_trouble(status: Status) -> None:
    waiting = [tried("ana", SMS, status)]
    assert decided(waiting, now_ms=T0 + SLOW_MS - 1) == WaitUntil(T0 + SLOW_MS, Why.PROVIDER_SLOW)
    assert planned(decided(waiting, now_ms=T0 + SLOW_MS)) == [(1, 0, "ana", "call")]
    assert planned(decided(waiting, now_ms=T0, down=frozenset({SMS}))) == [(1, 0, "ana", "call")]


def test_a_fallback_is_used_once() -> None:
    told = [tried("ana", SMS, Status.FAILED), tried("ana", CALL)]
    assert decided(told, now_ms=T0 + S) == WaitUntil(T0 + 60 * S, Why.STEP_WAIT)


def test_an_earlier_step_of_the_round_is_made_up_for_too() -> None:
    told = [tried("ana", SMS, Status.FAILED), tried("ben", SMS, at_ms=T0 + 60 * S, step=1)]
    assert planned(decided(told, now_ms=T0 + 61 * S)) == [(1, 0, "ana", "call")]


def test_decisions_are_values() -> None:
    assert decided([]) == Notify((PlannedMessage(1, 0, "ana", SMS),), T0 + SLOW_MS)
