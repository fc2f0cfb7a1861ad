"""A call has reached a person only once a key was pressed; without one the step's next channel follows."""

from typing import Any

import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Resolved, State
from alerts.attempt import Accepted, Attempt, Channel, Purpose, Status, StatusReport
from alerts.case import Case
from alerts.policy import Policy, Step
from tests.alerts.kit import ANA, BEN, OLGA, T0, S, alert, circumstances, only, press

C = Channel
CALL_THEN_TEXT = Policy((Step(("ana",), (C.CALL,), 60, (C.SMS,)), Step(("ben",), (C.SMS,), 60)), loops=1)
PHONE_ONLY = replace(ANA, email=None, push_tokens=())


def rung(by: Policy = CALL_THEN_TEXT) -> Case:
    """The provider has the call."""
    case = cases.opened(press(), circumstances(by, PHONE_ONLY, BEN), T0).case
    return cases.settled(case, _call(case).attempt_id, Accepted("CA1", "queued"), T0, lambda: 0.0).case


def _call(case: Case) -> Attempt:
    return only(case, "ana", C.CALL)


def said(case: Case, word: str, status: Status, at_s: int = 5) -> Case:
    report = StatusReport("twilio", "CA1", status, word)
    return cases.reported(case, _call(case).attempt_id, report, T0 + at_s * S).case


def picked_up(case: Case) -> Case:
    return said(case, "in-progress", Status.SENT)


def over(case: Case, at_s: int = 30) -> Case:
    return said(case, "completed", Status.DELIVERED, at_s)


def test_a_call_that_is_picked_up_has_reached_nobody_yet() -> None:
    case = picked_up(rung())
    assert (_call(case).status, case.alert.reached_ms) == (Status.SENT, None)
    assert [a.channel for a in case.attempts.values()] == [C.CALL]


def test_without_a_key_the_next_channel_follows_as_soon_as_the_call_is_over() -> None:
    case = over(picked_up(rung()))
    call = _call(case)
    assert (call.status, call.reason, call.provider_status) == (Status.FAILED, "no_key", "completed")
    assert case.alert.reached_ms is None
    text = only(case, "ana", C.SMS)
    assert (text.status, text.created_ms) == (Status.DUE, T0 + 30 * S)


def test_with_a_key_the_person_is_reached_and_no_other_channel_follows() -> None:
    case = picked_up(rung())
    case = cases.answered(case, _call(case).attempt_id, T0 + 20 * S).case
    assert case.alert.reached_ms == T0 + 20 * S
    case = over(case)
    assert _call(case).status is Status.ANSWERED
    assert [a.channel for a in case.attempts.values()] == [C.CALL]


def test_a_key_that_is_heard_of_after_the_end_of_the_call_counts() -> None:
    case = over(picked_up(rung()))
    case = cases.answered(case, _call(case).attempt_id, T0 + 31 * S).case
    assert (_call(case).status, case.alert.reached_ms) == (Status.ANSWERED, T0 + 31 * S)


@pytest.mark.parametrize("order", [("completed", "in-progress"), ("completed", "completed"), ("completed",)])
def test_the_order_of_a_providers_words_changes_nothing(order: tuple[str, ...]) -> None:
    case = rung()
    for word in order:
        case = over(case) if word == "completed" else picked_up(case)
    assert _call(case).reason == "no_key"
    assert sum(a.channel is C.SMS for a in case.attempts.values()) == 1


def test_a_look_up_that_finds_a_call_over_reaches_nobody_either() -> None:
    case = cases.opened(press(), circumstances(CALL_THEN_TEXT, PHONE_ONLY, BEN), T0).case
    taken = Accepted("CA1", "completed", delivered=True)
    case = cases.settled(case, _call(case).attempt_id, taken, T0, lambda: 0.0).case
    assert case.alert.reached_ms is None
    assert over(case).alert.reached_ms is None
    assert _call(over(case)).reason == "no_key"


def test_where_nothing_follows_the_next_step_begins() -> None:
    one = Policy((Step(("ana",), (C.CALL,), 600), Step(("ben",), (C.SMS,), 60)), loops=1)
    assert only(over(picked_up(rung(one))), "ben", C.SMS).status is Status.DUE


def test_another_channel_of_the_step_that_has_arrived_is_enough() -> None:
    both = Policy((Step(("ana",), (C.CALL, C.SMS), 600, (C.EMAIL,)),), loops=1)
    case = rung(both)
    text = only(case, "ana", C.SMS)
    case = cases.settled(case, text.attempt_id, Accepted("SM1", "queued"), T0, lambda: 0.0).case
    case = over(picked_up(case))
    assert {a.channel for a in case.attempts.values()} == {C.CALL, C.SMS}


def test_who_heard_a_call_and_pressed_nothing_is_told_the_end() -> None:
    ended = cases.applied(over(picked_up(rung())), Resolved(OLGA), T0 + 40 * S).case
    assert [a.contact_id for a in ended.attempts.values() if a.purpose is Purpose.CLOSED] == ["ana"]


def test_a_call_that_asks_for_no_key_has_arrived_when_it_was_taken() -> None:
    case = rung()
    call = replace(_call(case), purpose=Purpose.CLOSED)
    case = Case(alert(State.RESOLVED), case.copy, {call.attempt_id: call})
    done = cases.reported(
        case, call.attempt_id, StatusReport("twilio", "CA1", Status.DELIVERED, "completed"), T0
    )
    assert done.case.attempts[call.attempt_id].status is Status.DELIVERED


@pytest.mark.parametrize("channel", [C.SMS, C.PUSH])
def test_other_channels_have_arrived_when_the_provider_says_so(channel: Any) -> None:
    by = Policy((Step(("ana",), (channel,), 60),), loops=1)
    case = cases.opened(press(), circumstances(by, ANA, BEN), T0).case
    one = only(case, "ana", channel)
    report = StatusReport("twilio", "SM1", Status.DELIVERED, "delivered")
    assert cases.reported(case, one.attempt_id, report, T0 + S).case.alert.reached_ms == T0 + S


def test_a_call_of_before_that_counts_as_delivered_stays_so() -> None:
    case = rung()
    old = replace(_call(case), status=Status.DELIVERED, delivered_ms=T0)
    case = Case(case.alert, case.copy, {old.attempt_id: old})
    assert _call(over(case)).status is Status.DELIVERED
