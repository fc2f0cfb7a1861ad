"""A case: what an event, the clock and a provider's word bring about, all of it together."""

from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import (
    MAX_LOOPS,
    MAX_WRONG_PINS,
    Acknowledged,
    AckSilent,
    Actor,
    ActorKind,
    CancelAsked,
    FalseAlarm,
    Heard,
    Kind,
    Noted,
    PinResult,
    Resolved,
    Responder,
    ResponderAdded,
    State,
)
from alerts.attempt import (
    Accepted,
    Channel,
    Permanent,
    Purpose,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.case import Case, Changes
from alerts.policy import DEFAULTS, Policy, Step
from tests.alerts.happenings import KNOWN
from tests.alerts.kit import (
    ANA,
    ANA_THEN_BEN,
    BEN,
    BY_ANA,
    BY_BEN,
    DESK,
    DISPATCHERS,
    DRIVER,
    MUTE,
    OLGA,
    T0,
    S,
    circumstances,
    only,
    press,
    told,
)

COUNTING = replace(ANA_THEN_BEN, countdown_s=30)
RIGHT = CancelAsked(DRIVER, PinResult.RIGHT)
SMS = Channel.SMS


def opened(policy: Policy = ANA_THEN_BEN, **changes: Any) -> Case:
    return cases.opened(press(**changes), circumstances(policy), T0).case


def half() -> float:
    return 0.5


def sent(case: Case, now_ms: int = T0) -> Case:
    """``case`` with all that is due taken by its provider."""
    for attempt in list(case.attempts.values()):
        if attempt.status is Status.DUE and attempt.due_ms <= now_ms:
            outcome = Accepted(attempt.attempt_id.hex, "queued")
            case = cases.settled(case, attempt.attempt_id, outcome, now_ms, half).case
    return case


def said(changes: Changes) -> list[str]:
    return [line.what for line in changes.audit]


def after(case: Case, *events: Any, now_ms: int = T0) -> Case:
    for event in events:
        changes = cases.applied(case, event, now_ms)
        assert changes.refused is None
        case = changes.case
    return case


# --- opening


def test_a_press_opens_a_case_with_its_first_messages_and_says_so() -> None:
    changes = cases.opened(press(noted=("kind", "token_expired")), circumstances(), T0)
    assert changes.case.alert.state is State.ACTIVE
    assert told(changes) == [("ana", "sms")]
    raised, notified = changes.audit
    assert (raised.what, raised.arrow, raised.version, raised.actor) == (
        "raised", "B", 1, Actor(ActorKind.DRIVER, "d1"),
    )  # fmt: skip
    assert raised.detail["noted"] == "kind, token_expired"
    assert (notified.what, notified.detail["messages"]) == ("notified", 1)
    assert changes.next_ms is not None
    assert T0 < changes.next_ms <= T0 + 60 * S


def test_a_timers_press_is_the_systems() -> None:
    changes = cases.opened(press(source="timer", kind=Kind.SIGNAL_LOST), circumstances(), T0)
    assert changes.audit[0].actor == Actor(ActorKind.SYSTEM, "timer")


def test_nobody_is_told_while_it_counts_down() -> None:
    changes = cases.opened(press(), circumstances(COUNTING), T0)
    assert (changes.touched, changes.next_ms) == ((), T0 + 30 * S)
    assert cases.advanced(changes.case, T0 + 30 * S - 1).touched == ()
    over = cases.advanced(changes.case, T0 + 30 * S)
    assert told(over) == [("ana", "sms")]
    assert over.case.alert.state is State.ACTIVE


def test_a_case_of_nobody_is_exhausted_at_once_and_the_operator_told() -> None:
    nobody = circumstances(ANA_THEN_BEN, DISPATCHERS, MUTE, DESK)
    changes = cases.opened(press(), nobody, T0)
    assert changes.case.alert.exhausted_reason == "nobody_to_tell"
    assert told(changes, Purpose.EXHAUSTED) == [("operator", "sms"), ("operator", "webhook")]
    assert said(changes) == ["raised", "skipped", "skipped", "gave_up"]
    assert changes.next_ms is None


def test_opening_again_makes_the_same_ids() -> None:
    assert opened() == opened()


# --- pins


def test_a_cancelled_countdown_tells_nobody() -> None:
    changes = cases.applied(opened(COUNTING), RIGHT, T0 + S)
    assert (changes.touched, changes.next_ms) == ((), None)
    assert cases.advanced(changes.case, T0 + 60 * S).touched == ()


def test_a_cancel_is_an_all_clear_to_everyone_who_was_told() -> None:
    case = cases.advanced(sent(opened()), T0 + 60 * S).case  # ana was told, ben is about to be
    changes = cases.applied(case, RIGHT, T0 + 61 * S)
    assert told(changes) == [("ana", "sms")]
    assert {a.purpose for a in changes.touched if a.status is Status.DUE} == {Purpose.ALL_CLEAR}
    dropped = only(changes.case, "ben", SMS)
    assert (dropped.status, dropped.reason) == (Status.FAILED, "closed")
    assert changes.next_ms is None


def test_a_wrong_pin_is_refused_and_counted() -> None:
    changes = cases.applied(opened(COUNTING), CancelAsked(DRIVER, PinResult.WRONG), T0 + S)
    assert changes.refused == "wrong_pin"
    assert changes.case.alert.wrong_pins == 1
    (line,) = changes.audit
    assert (line.what, line.arrow, line.detail["pin"]) == ("refused", "P", "wrong")
    assert changes.next_ms == T0 + 30 * S


def test_the_fifth_wrong_pin_tells_at_once() -> None:
    case = opened(COUNTING)
    for _ in range(MAX_WRONG_PINS):
        changes = cases.applied(case, CancelAsked(DRIVER, PinResult.WRONG), T0 + S)
        case = changes.case
    assert told(changes) == [("ana", "sms")]


def test_a_duress_tells_everyone_again() -> None:
    case = after(sent(opened()), Acknowledged(BY_ANA, "sms"))
    changes = cases.applied(case, CancelAsked(DRIVER, PinResult.DURESS), T0 + 5 * S)
    assert told(changes) == [("ana", "sms")]
    assert only(changes.case, "ana", SMS, round=1 + MAX_LOOPS).status is Status.DUE
    countdown = cases.applied(opened(COUNTING), CancelAsked(DRIVER, PinResult.DURESS), T0 + S)
    assert told(countdown) == [("ana", "sms")]


# --- presses


def test_a_worse_press_brings_its_own_policy_and_todays_contacts() -> None:
    carl = replace(BEN, contact_id="carl")
    own = Policy((Step(("carl",), (SMS,), 60),))
    before = replace(circumstances(), policies={Kind.FALL: COUNTING, Kind.SOS: own}, contacts=(ANA, BEN))
    case = cases.opened(press(kind=Kind.FALL), before, T0).case
    today = replace(before, contacts=(carl,))
    changes = cases.joined(case, press(2), today, T0 + S)
    assert told(changes) == [("carl", "sms")]
    assert {c.contact_id for c in changes.case.copy.contacts} == {"dispatch", "carl", "ana", "ben"}
    assert changes.case.copy.policy == own


@pytest.mark.parametrize("joining", [press(2, kind=Kind.FALL), press(1), press(2, drill=True)])
def test_a_press_that_is_no_worse_or_no_event_leaves_the_policy(joining: Any) -> None:
    case = opened()
    changes = cases.joined(case, joining, circumstances(COUNTING, ANA), T0 + S)
    assert changes.case.copy == case.copy
    assert told(changes) == []


def test_a_thousand_presses_are_one_round() -> None:
    case = opened()
    for n in range(2, 1_002):
        case = cases.joined(case, press(n), circumstances(), T0 + n).case
    assert (case.alert.presses, len(case.attempts)) == (1_001, 1)


# --- acknowledged


def test_an_acknowledgement_stops_the_search_and_tells_the_others_by_push_alone() -> None:
    both = Policy((Step(("ana", "ben"), (SMS,), 60), Step(("ben",), (Channel.CALL,), 60)))
    case = sent(opened(both))
    case = cases.advanced(case, T0 + 60 * S).case  # ben is about to be called
    changes = cases.applied(case, Acknowledged(BY_BEN, "sms"), T0 + 61 * S)
    assert [(a.contact_id, a.channel, a.purpose) for a in changes.touched if a.status is Status.DUE] == [
        ("ana", Channel.PUSH, Purpose.ON_IT)
    ]
    assert only(changes.case, "ben", Channel.CALL).reason == "acknowledged"
    assert cases.advanced(changes.case, T0 + 120 * S).touched == ()


def test_a_message_on_its_way_when_it_is_acknowledged_is_not_tried_again() -> None:
    case = opened()
    job = only(case, "ana", SMS)
    case = replace(case, attempts={job.attempt_id: replace(job, status=Status.SENDING)})
    case = after(case, Acknowledged(BY_BEN, "page"))
    assert only(case, "ana", SMS).status is Status.SENDING
    for outcome in (Retryable("busy"), Unsure("timeout")):
        settled = cases.settled(case, job.attempt_id, outcome, T0 + S, half)
        assert told(settled, Purpose.ALERT) == []
        assert all(a.status is not Status.UNSURE for a in settled.case.attempts.values())


def test_the_acknowledger_is_reminded_once_and_life_begins_the_silence_anew() -> None:
    case = after(sent(opened()), Acknowledged(BY_ANA, "sms"))
    assert cases.advanced(case, T0).next_ms == T0 + 600 * S
    reminded = cases.advanced(case, T0 + 600 * S)
    assert told(reminded, Purpose.REMINDER) == [("ana", "push"), ("ana", "sms")]
    assert reminded.next_ms == T0 + 900 * S
    assert cases.advanced(reminded.case, T0 + 700 * S).touched == ()
    heard = cases.applied(reminded.case, Heard(BY_ANA), T0 + 800 * S)
    assert (heard.next_ms, heard.audit) == (T0 + 1_400 * S, ())
    again = cases.advanced(heard.case, T0 + 1_400 * S)
    assert told(again, Purpose.REMINDER) == [("ana", "push"), ("ana", "sms")]


def test_an_operator_is_reminded_on_the_live_pages() -> None:
    case = after(sent(opened()), Acknowledged(OLGA, "page"))
    reminded = cases.advanced(case, T0 + 600 * S)
    assert told(reminded, Purpose.REMINDER) == [("dispatch", "push"), ("dispatch", "socket")]


def test_an_acknowledger_who_goes_silent_begins_a_fresh_round() -> None:
    case = after(sent(opened()), Acknowledged(BY_ANA, "sms"))
    silent = cases.advanced(case, T0 + 900 * S)
    assert silent.case.alert.state is State.ACTIVE
    assert told(silent, Purpose.ALERT) == [("ana", "sms")]
    assert (
        only(silent.case, "ana", SMS, round=1 + MAX_LOOPS, purpose=Purpose.ALERT).created_ms == T0 + 900 * S
    )


def test_refused_events_of_people_are_audited_and_those_of_machines_are_not_told_to_them() -> None:
    changes = cases.applied(opened(), FalseAlarm(BY_ANA, "sure"), T0)
    (line,) = changes.audit
    assert (line.what, line.actor, line.detail) == (
        "refused", BY_ANA, {"event": "false_alarm", "reason": "acknowledge_first", "note": "sure"},
    )  # fmt: skip
    assert cases.applied(opened(), Heard(BY_ANA), T0).audit == ()
    assert cases.applied(opened(), AckSilent(), T0).refused == "not_acknowledged"


def test_notes_and_responders_are_audited_with_what_they_say() -> None:
    noted = cases.applied(opened(), Noted(OLGA, "x" * 5_000), T0)
    assert len(str(noted.audit[0].detail["note"])) == 2_000
    coming = cases.applied(opened(), ResponderAdded(OLGA, Responder(BY_BEN, T0, 300)), T0)
    assert coming.audit[0].detail == {"responder": "ben", "eta_s": 300}


# --- the end


@pytest.mark.parametrize(
    ("event", "purpose"),
    [(FalseAlarm(OLGA), Purpose.ALL_CLEAR), (Resolved(OLGA), Purpose.CLOSED), (RIGHT, Purpose.ALL_CLEAR)],
)
def test_the_end_is_told_once_to_whoever_was_told(event: Any, purpose: Purpose) -> None:
    changes = cases.applied(sent(opened()), event, T0 + S)
    assert [(a.contact_id, a.purpose) for a in changes.touched if a.status is Status.DUE] == [
        ("ana", purpose)
    ]
    assert cases.advanced(changes.case, T0 + 900 * S).touched == ()


def test_a_call_is_followed_by_an_sms_unless_only_the_call_got_through() -> None:
    called = Policy((Step(("ana",), (Channel.CALL,), 60),))
    assert told(cases.applied(sent(opened(called)), Resolved(OLGA), T0)) == [("ana", "sms")]
    case = opened()
    case = cases.settled(case, only(case, "ana", SMS).attempt_id, Permanent("landline"), T0, half).case
    assert told(cases.applied(sent(case), Resolved(OLGA), T0)) == [("ana", "call")]


def test_whoever_turns_out_to_have_been_told_is_told_the_end() -> None:
    case = opened()
    job = only(case, "ana", SMS)
    case = cases.settled(case, job.attempt_id, Unsure("timeout"), T0 + S, half).case
    closed = cases.applied(case, RIGHT, T0 + 2 * S)
    assert ("ana", "sms") in told(closed, Purpose.ALL_CLEAR)
    late = replace(job, status=Status.SENDING)
    case = after(replace(opened(), attempts={job.attempt_id: late}), RIGHT)
    assert told(case, Purpose.ALL_CLEAR) == [("ana", "sms")]


def test_an_end_that_cannot_be_told_as_the_alert_was_is_told_another_way_and_by_no_call() -> None:
    case = cases.applied(sent(opened()), RIGHT, T0 + S).case
    for channel, then in ((SMS, [("ana", "push")]), (Channel.PUSH, [("ana", "email")]), (Channel.EMAIL, [])):
        end = only(case, "ana", channel, purpose=Purpose.ALL_CLEAR)
        changes = cases.settled(case, end.attempt_id, Permanent("dead"), T0 + 2 * S, half)
        assert told(changes, Purpose.ALL_CLEAR) == then
        case = changes.case


def test_an_end_goes_on_being_tried_by_the_way_it_was_told_while_that_may_work() -> None:
    case = cases.applied(sent(opened()), RIGHT, T0 + S).case
    now_ms = T0 + S
    while due := [a for a in case.attempts.values() if a.status is Status.DUE]:
        (end,) = due
        if end.channel is not SMS:
            break
        now_ms = end.due_ms
        case = cases.settled(case, end.attempt_id, Retryable("busy"), now_ms, half).case
    assert end.channel is Channel.PUSH
    assert now_ms - T0 > 8 * 60 * S, "a provider may be away for minutes"


def test_an_operator_who_was_told_of_giving_up_hears_the_end() -> None:
    case = sent(cases.opened(press(), circumstances(ANA_THEN_BEN, MUTE, DESK), T0).case)
    changes = cases.applied(case, Resolved(OLGA), T0 + S)
    assert told(changes) == [("operator", "sms"), ("operator", "webhook")]


# --- delivery


def test_a_failure_brings_its_retry_and_the_fallback_at_once() -> None:
    case = opened()
    changes = cases.settled(case, only(case, "ana", SMS).attempt_id, Retryable("busy", 7), T0, half)
    assert told(changes) == [("ana", "call"), ("ana", "sms")]
    assert only(changes.case, "ana", SMS, 2).due_ms == T0 + 7_500
    assert only(changes.case, "ana", Channel.CALL).due_ms == T0


def test_a_provider_that_is_down_is_made_up_for_at_once() -> None:
    changes = cases.advanced(opened(), T0 + 1, frozenset({SMS}))
    assert told(changes) == [("ana", "call")]
    assert cases.advanced(changes.case, T0 + 2, frozenset({SMS})).touched == ()


def test_a_delivery_to_a_persons_device_reaches_and_a_webhook_does_not() -> None:
    hook = Policy((Step(("operator",), (SMS, Channel.WEBHOOK), 60),))
    case = opened(hook)
    for channel, reaches in ((Channel.WEBHOOK, False), (SMS, True)):
        attempt_id = only(case, "operator", channel).attempt_id
        changes = cases.settled(case, attempt_id, Accepted(None, "ok", delivered=True), T0 + S, half)
        assert (changes.case.alert.reached_ms is not None) is reaches
        assert said(changes) == (["reached"] if reaches else [])


def test_a_callback_moves_a_message_on_once() -> None:
    case = sent(opened())
    attempt_id = only(case, "ana", SMS).attempt_id
    report = StatusReport("twilio", attempt_id.hex, Status.DELIVERED, "delivered")
    changes = cases.reported(case, attempt_id, report, T0 + S)
    assert (changes.case.alert.reached_ms, changes.case.alert.version) == (T0 + S, 2)
    again = cases.reported(changes.case, attempt_id, report, T0 + 2 * S)
    assert (again.case, again.touched, again.audit) == (changes.case, (), ())
    older = cases.reported(changes.case, attempt_id, replace(report, status=Status.FAILED), T0 + 3 * S)
    assert older.case == changes.case


def test_a_callback_of_a_failure_brings_the_fallback() -> None:
    case = sent(opened())
    attempt_id = only(case, "ana", SMS).attempt_id
    report = StatusReport("twilio", attempt_id.hex, Status.FAILED, "30003", "unreachable")
    assert told(cases.reported(case, attempt_id, report, T0 + S)) == [("ana", "call")]


def test_an_answer_is_a_delivery() -> None:
    case = sent(opened())
    changes = cases.answered(case, only(case, "ana", SMS).attempt_id, T0 + S)
    assert only(changes.case, "ana", SMS).status is Status.ANSWERED
    assert changes.case.alert.reached_ms == T0 + S


def test_an_attempt_that_is_not_there_is_a_key_error() -> None:
    for call in (
        lambda: cases.settled(opened(), uuid4(), Unsure("x"), T0, half),
        lambda: cases.reported(opened(), uuid4(), StatusReport("a", "b", Status.SENT, "c"), T0),
        lambda: cases.answered(opened(), uuid4(), T0),
    ):
        with pytest.raises(KeyError):
            call()


# --- all of it, in time


def whole(case: Case, now_ms: int) -> tuple[Case, list[tuple[int, str, str]]]:
    """Let time pass until nothing is to come, every provider taking everything; who was told when, in s."""
    told_: list[tuple[int, str, str]] = []
    next_ms: int | None = now_ms
    while next_ms is not None:
        changes = cases.advanced(case, next_ms)
        told_ += [((next_ms - T0) // S, *one) for one in told(changes)]
        case = sent(changes.case, next_ms)
        next_ms = cases.advanced(case, next_ms).next_ms
    return case, told_


def test_a_policy_runs_through_its_steps_and_loops_and_then_tells_the_operator() -> None:
    case, told_ = whole(sent(opened()), T0)
    assert told_ == [
        (60, "ben", "sms"),
        (90, "ana", "sms"),
        (150, "ben", "sms"),
        (180, "operator", "sms"),
        (180, "operator", "webhook"),
    ]
    assert case.alert.exhausted_reason == "no_answer"


@pytest.mark.parametrize("kind", Kind)
def test_a_built_in_policy_tells_everybody_and_ends_with_the_operator(kind: Kind) -> None:
    first = cases.opened(press(kind=kind), replace(circumstances(), policies={}), T0)
    case, told_ = whole(first.case, T0)
    everyone = {(a.contact_id, a.channel) for a in case.attempts.values()}
    assert {("dispatch", "socket"), ("ana", "sms"), ("ana", "call"), ("ben", "sms")} <= everyone
    assert case.alert.exhausted_reason == "no_answer"
    lasts_s = DEFAULTS[kind].countdown_s + DEFAULTS[kind].loops * sum(s.wait_s for s in DEFAULTS[kind].steps)
    assert told_[-1] == (lasts_s, "operator", "webhook")


def test_a_cancel_that_another_copy_knows_to_be_a_duress_ends_nothing_and_all_are_told_anew() -> None:
    start = sent(opened())
    cancelled = sent(after(start, RIGHT, now_ms=T0 + S))
    forced = after(start, CancelAsked(DRIVER, PinResult.DURESS), now_ms=T0 + S)
    for ours, theirs in ((cancelled, forced), (forced, cancelled)):
        changes = cases.merged(ours, theirs, T0 + 2 * S)
        assert (changes.case.alert.state, changes.case.alert.closed_by) == (State.ACTIVE, None)
        assert told(changes, Purpose.ALERT) == [("ana", "sms")]
        assert only(changes.case, "ana", SMS, round=1 + 2 * MAX_LOOPS).created_ms == T0 + 2 * S
        again = cases.merged(changes.case, theirs, T0 + 3 * S)
        assert (again.case, again.touched) == (changes.case, ())


def test_two_who_acknowledged_apart_both_have_it() -> None:
    start = sent(opened())
    one = after(start, Acknowledged(BY_ANA, "sms"), now_ms=T0 + S)
    other = after(start, Acknowledged(BY_BEN, "link"), now_ms=T0 + 2 * S)
    alert = cases.merged(other, one, T0 + 3 * S).case.alert
    assert (alert.acknowledged_by, [r.actor for r in alert.responders]) == (BY_ANA, [BY_BEN])


def test_what_a_journal_sent_is_not_sent_again() -> None:
    stored = opened()
    journalled = sent(opened(), T0)
    merged = cases.merged(stored, journalled, T0 + S)
    assert [a.status for a in merged.case.attempts.values()] == [Status.SENT]
    assert said(merged) == ["merged"]
    assert cases.merged(merged.case, journalled, T0 + S).audit == ()


def test_an_answer_that_only_the_journal_has_stops_the_search() -> None:
    stored = cases.advanced(sent(opened()), T0 + 60 * S).case
    journalled = after(sent(opened()), Acknowledged(BY_ANA, "link"), now_ms=T0 + 30 * S)
    merged = cases.merged(stored, journalled, T0 + 61 * S)
    assert merged.case.alert.state is State.ACKNOWLEDGED
    assert only(merged.case, "ben", SMS).reason == "acknowledged"


def test_a_case_that_is_nobodys_yet_is_taken_over_with_all_that_is_due() -> None:
    assert told(cases.merged(None, sent(opened()), T0 + 60 * S)) == [("ben", "sms")]


def test_who_raised_it_for_the_driver_is_known_until_the_driver_presses() -> None:
    by = Actor(ActorKind.OPERATOR, "ana@t1")
    raised = cases.opened(press(1, source="dispatcher", by=by), KNOWN, T0)
    assert raised.case.alert.raised_by == by
    assert (raised.audit[0].what, raised.audit[0].actor, raised.audit[0].detail["source"]) == (
        "raised",
        by,
        "dispatcher",
    )
    again = cases.joined(raised.case, press(2, by=Actor(ActorKind.OPERATOR, "bo@t1")), KNOWN, T0 + S)
    assert again.case.alert.raised_by == by
    own = cases.joined(again.case, press(3), KNOWN, T0 + 2 * S)
    assert own.case.alert.raised_by is None
    later = cases.joined(own.case, press(4, by=by), KNOWN, T0 + 3 * S)
    assert later.case.alert.raised_by is None
    for one, other in ((raised, own), (own, raised)):  # a copy that knows of the driver's press overrules
        assert cases.merged(one.case, other.case, T0 + 4 * S).case.alert.raised_by is None
    assert cases.merged(raised.case, again.case, T0 + 4 * S).case.alert.raised_by == by
    driver_first = cases.joined(cases.opened(press(1), KNOWN, T0).case, press(2, by=by), KNOWN, T0 + S)
    assert driver_first.case.alert.raised_by is None
