"""An alert explained: every fact of it is there, and no whole address."""

from typing import Any

from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Alert, Place, State
from alerts.attempt import Attempt, Channel, Purpose, Status
from alerts.case import Audit
from alerts.policy import Contact, Policy, PolicyCopy, Source, Step
from realtime.cli import _story as story
from realtime.store.alerts.console import Standing
from realtime.store.alerts.reads import Explanation
from tests.alerts.delivery.fakes import an_alert, an_attempt

AT_MS = 1_700_000_000_000
"""2023-11-14 22:13:20 UTC."""
ANN = Contact("c1", "Ann", phone="+447700900123", email="ann@example.org", push_tokens=("t1", "t2"))
COPY = PolicyCopy(
    Policy(
        steps=(
            Step(("c1",), (Channel.PUSH, Channel.SMS), 60, fallback=(Channel.CALL,)),
            Step(("*",), (Channel.CALL,), 120),
        ),
        loops=2,
    ),
    (ANN,),
)


def alert(**changes: Any) -> Alert:
    made = replace(an_alert(), pressed_ms=AT_MS, raised_ms=AT_MS, active_since_ms=AT_MS)
    return replace(made, **changes)


def attempt(channel: Channel, **changes: Any) -> Attempt:
    return replace(an_attempt(channel, alert()), due_ms=AT_MS, **changes)


def standing(
    of: Alert,
    *attempts: Attempt,
    audit: tuple[Audit, ...] = (),
    next_ms: int | None = None,
    now_ms: int = AT_MS,
) -> Standing:
    return Standing(Explanation(of, COPY, (), attempts, audit), next_ms, now_ms)


def told(of: Standing) -> str:
    """Everything that is said of it."""
    lines = [story.headline(of.explanation.alert), *story.raised(of.explanation), *story.plan(COPY)]
    lines += [f"{story.clock(line.at_ms)} {line.text}" for line in story.happened(of.explanation)]
    return "\n".join([*lines, *story.waits(of)])


def test_what_was_raised_is_told_with_how_late_it_came() -> None:
    place = Place(53.48, -2.245)
    text = told(standing(alert(raised_ms=AT_MS + 600_000, place=place, message="help [b]me", presses=3)))
    assert "pressed 2023-11-14 22:13:20 UTC, raised 2023-11-14 22:23:20 UTC" in text
    assert "it reached us 10 min after it was pressed" in text
    assert "at 53.48000, -2.24500" in text
    assert "message: help [b]me" in text
    assert "pressed 3 times" in text


def test_the_plan_names_who_by_what_and_how_long() -> None:
    assert story.plan(COPY) == [
        "step 1: Ann by push, sms; then wait 60 s; by call at once where those fail",
        "step 2: everybody by call; then wait 120 s",
        "all of it up to 2 times",
    ]


def test_no_note_looks_like_a_line_of_ours() -> None:
    note = "fine\r\n  22:13:20  resolved by operator admin@t1 [L]\x1b[2J\u202e"
    noted = Audit(2, AT_MS, Actor(ActorKind.CONTACT, "c1", "Ann"), "noted", "V", {"note": note})
    (line,) = story.happened(standing(alert(), audit=(noted,)).explanation)
    assert line.text == "noted by contact Ann [V]: note fine 22:13:20 resolved by operator admin@t1 [L] [2J"


def test_what_happened_is_in_the_order_of_time_with_what_providers_said() -> None:
    audit = Audit(1, AT_MS, Actor(ActorKind.DRIVER, "d1"), "pressed", "a", {"source": "http", "note": None})
    sms = attempt(
        Channel.SMS,
        status=Status.DELIVERED,
        provider="twilio",
        provider_id="SM1",
        provider_status="delivered",
        sent_ms=AT_MS + 1_000,
        delivered_ms=AT_MS + 3_000,
        repeat=True,
        number=2,
    )
    push = attempt(
        Channel.PUSH,
        status=Status.FAILED,
        provider="fcm",
        reason="unregistered",
        provider_status="404",
        settled_ms=AT_MS + 2_000,
    )
    lines = story.happened(standing(alert(), sms, push, audit=(audit,)).explanation)
    assert [line.text for line in lines] == [
        "pressed by driver d1 [a]: source http",
        "sms to Ann (…123), try 2, a repeat: twilio has it (delivered SM1), 1 s after it was due",
        "push to Ann (2 devices): failed by fcm: unregistered (404)",
        "sms to Ann (…123), try 2, a repeat: arrived",
    ]
    assert [line.good for line in lines] == [None, True, False, True]


def test_what_it_waits_for_is_told_with_the_reason() -> None:
    coming = (
        attempt(Channel.SMS, status=Status.DUE, reason="http_429"),
        attempt(Channel.CALL, status=Status.SENDING, lease_by="worker1", lease_until_ms=AT_MS + 30_000),
        attempt(Channel.EMAIL, status=Status.UNSURE, reason="timeout"),
    )
    lines = story.waits(standing(alert(), *coming, next_ms=AT_MS + 45_000, now_ms=AT_MS))
    assert lines == [
        "active: somebody is being looked for",
        "no message is known to have arrived anywhere",
        "sms to Ann (…123) is due now after http_429",
        "call to Ann (…123) is with worker1 until 22:13:50, then anybody's",
        "email to Ann (a…@example.org) may have been sent after timeout: the provider is asked now",
        "escalation looks at it again at 22:14:05 (in 45 s)",
    ]


def test_what_should_have_happened_and_has_not_is_overdue() -> None:
    late = standing(alert(reached_ms=AT_MS), next_ms=AT_MS, now_ms=AT_MS + 300_000)
    assert story.waits(late)[-1] == "escalation looks at it again now (5 min overdue)"


def test_each_state_says_what_would_change_it() -> None:
    ann = Actor(ActorKind.CONTACT, "c1", "Ann")
    counting = alert(state=State.PENDING, pending_until_ms=AT_MS + 10_000)
    on_it = alert(state=State.ACKNOWLEDGED, acknowledged_by=ann, acknowledged_ms=AT_MS, reached_ms=AT_MS)
    exhausted = alert(exhausted_ms=AT_MS, exhausted_reason="no_answer", reached_ms=AT_MS)
    closed = alert(state=State.RESOLVED, closed_ms=AT_MS, closed_by=ann, reached_ms=AT_MS)
    said = [story.waits(standing(of))[0] for of in (counting, on_it, exhausted, closed)]
    assert said == [
        "counting down, active at 22:13:30 (in 10 s); a PIN still cancels it",
        "Ann is on it; active again at 22:28:20 (in 15 min) unless they are heard",
        "exhausted since 22:13:20: no_answer; only an answer helps",
        "closed 2023-11-14 22:13:20 UTC by Ann: nothing more is done",
    ]


def test_no_whole_address_is_told() -> None:
    attempts = tuple(
        attempt(channel, status=Status.SENT, sent_ms=AT_MS, purpose=purpose)
        for channel in Channel
        for purpose in (Purpose.ALERT, Purpose.ALL_CLEAR)
    )
    text = told(standing(alert(), *attempts))
    for secret in ("+447700900123", "7700900", "ann@example.org"):
        assert secret not in text


def test_a_duress_cancel_is_told_as_what_it_is() -> None:
    assert "forced" in story.headline(alert(duress=True, drill=True))
    assert "DRILL" in story.headline(alert(duress=True, drill=True))


def test_a_plan_from_a_local_copy_says_how_old_that_was_and_names_former_contacts() -> None:
    copy = replace(COPY, source=Source.LOCAL_COPY, age_ms=29_000, contacts=(), former=(ANN,))
    text = "\n".join(story.plan(copy))
    assert "contacts and policy are from a local copy (29 s old); completed from Postgres since" in text
    assert "Ann" in text
    none = replace(copy, source=Source.NONE, age_ms=None, is_complete=False)
    assert "(none had been read before); not completed from Postgres yet" in "\n".join(story.plan(none))
    assert "local copy" not in "\n".join(story.plan(COPY))
