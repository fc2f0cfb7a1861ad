"""A snapshot that was taken from a local copy, completed from Postgres: who is notified, and who is not."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Acknowledged, Kind, Resolved, State
from alerts.attempt import Accepted, Channel, Permanent, Purpose, Retryable, Status
from alerts.case import Case, Changes
from alerts.leases import contact_of
from alerts.policy import ALL, DISPATCH, Circumstances, Contact, Pins, Policy, Source, Step
from tests.alerts.happenings import KNOWN, happened, happenings
from tests.alerts.kit import ANA, BEN, BY_ANA, DESK, DISPATCHERS, OLGA, T0, S, only, press, told
from tests.alerts.test_case_rules import check

C = Channel
SOME = Policy(
    steps=(
        Step((DISPATCH, ALL), (C.SOCKET, C.SMS), 45, fallback=(C.CALL,)),
        Step((ALL,), (C.CALL,), 90),
    ),
    loops=2,
)
CARL = Contact("carl", "Carl", phone="+41790000003", email="carl@example.org")
RELAXED = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}


def rows(*contacts: Contact, policy: Policy | None = SOME) -> Circumstances:
    """What Postgres has."""
    policies = {} if policy is None else dict.fromkeys(Kind, policy)
    return Circumstances(policies, (*contacts, DISPATCHERS), Pins(), "Dee", "de")


def a_copy(*contacts: Contact, policy: Policy | None = SOME, age_ms: int | None = 12_000) -> Circumstances:
    """What a process has read before."""
    source = Source.NONE if age_ms is None else Source.LOCAL_COPY
    return replace(rows(*contacts, policy=policy), source=source, age_ms=age_ms)


def raised(known: Circumstances) -> Case:
    return cases.opened(press(), known, T0).case


def sent(case: Case, contact_id: str, channel: Channel, now_ms: int = T0) -> Case:
    """The provider has that message."""
    attempt = only(case, contact_id, channel)
    return cases.settled(case, attempt.attempt_id, Accepted("SM1", "queued"), now_ms, lambda: 0.0).case


def messages(case: Case) -> list[tuple[str, str]]:
    return sorted((a.contact_id, a.channel.value) for a in case.attempts.values())


# --- who is notified


def test_contacts_that_the_copy_did_not_know_are_notified_at_once_by_the_policy_of_postgres() -> None:
    case = raised(replace(a_copy(policy=None, age_ms=None), contacts=()))
    assert messages(case) == [("dispatch", "socket")], "the built-in policy, and nobody but the dispatchers"
    changes = cases.completed(case, rows(ANA), T0 + 2 * S)
    assert told(changes) == [("ana", "sms")]
    copy = changes.case.copy
    assert (copy.policy, copy.contacts, copy.language) == (SOME, (ANA, DISPATCHERS), "de")
    assert (copy.is_complete, copy.source, copy.age_ms) == (True, Source.NONE, None)
    assert [line.what for line in changes.audit] == ["completed", "notified"]


def test_who_was_notified_by_a_channel_is_not_notified_by_it_again() -> None:
    case = sent(raised(a_copy(ANA)), "ana", C.SMS)
    changes = cases.completed(case, rows(ANA, BEN), T0 + 2 * S)
    assert told(changes) == [("ben", "sms")]
    assert only(changes.case, "ana", C.SMS).status is Status.SENT


def test_steps_that_are_over_and_were_not_known_are_made_up_for() -> None:
    case = raised(a_copy(ANA))
    case = cases.advanced(sent(case, "ana", C.SMS), T0 + 50 * S).case
    assert ("ana", "call") in told(case), "the second step is under way"
    changes = cases.completed(case, rows(ANA, BEN), T0 + 51 * S)
    assert told(changes) == [("ben", "call"), ("ben", "sms")]


def test_a_policy_that_changed_in_the_middle_of_an_escalation_counts_from_the_step_under_way() -> None:
    case = sent(raised(a_copy(ANA)), "ana", C.SMS)
    other = Policy((Step((ALL,), (C.EMAIL, C.SMS), 600), Step((ALL,), (C.WEBHOOK,), 600)), loops=1)
    changes = cases.completed(case, rows(ANA, policy=other), T0 + 5 * S)
    assert told(changes, Purpose.ALERT) == [("ana", "email")]
    assert changes.next_ms == T0 + 600 * S, "its first step began with the alert"
    line = next(line for line in changes.audit if line.what == "completed")
    assert line.detail == {
        "contacts_from": "local_copy", "copy_age_ms": 12_000, "new_contacts": 0, "gone_contacts": 0,
        "is_policy_new": True, "messages": 1,
    }  # fmt: skip


def test_a_removed_contact_is_sent_nothing_more_but_the_end_of_what_it_was_sent() -> None:
    case = sent(raised(a_copy(ANA, BEN)), "ana", C.SMS)
    changes = cases.completed(case, rows(CARL), T0 + 5 * S)
    case = changes.case
    assert told(changes) == [("carl", "sms")]
    dropped = only(case, "ben", C.SMS)
    assert (dropped.status, dropped.reason) == (Status.FAILED, "contact_changed")
    later = cases.advanced(case, T0 + 100 * S)
    assert "ana" not in {contact for contact, _ in told(later, Purpose.ALERT)}
    ended = cases.applied(case, Resolved(OLGA), T0 + 101 * S).case
    ends = [a for a in ended.attempts.values() if a.purpose is Purpose.CLOSED]
    assert [(a.contact_id, a.channel) for a in ends] == [("ana", C.SMS)]
    assert contact_of(ended.copy, ends[0]).phone == ANA.phone


def test_an_address_that_opted_out_is_sent_nothing_that_was_not_sent_and_the_fallback_is() -> None:
    case = raised(a_copy(CARL, policy=replace(SOME, steps=(Step((ALL,), (C.SMS,), 60, (C.EMAIL,)),))))
    silent = replace(CARL, phone=None)
    policy = replace(SOME, steps=(Step((ALL,), (C.SMS,), 60, fallback=(C.EMAIL,)),))
    case = cases.completed(case, rows(silent, policy=policy), T0 + S).case
    assert only(case, "carl", C.SMS).reason == "contact_changed"
    assert only(case, "carl", C.EMAIL).status is Status.DUE


def test_a_retry_to_a_removed_contact_is_not_sent() -> None:
    case = raised(a_copy(ANA))
    attempt = only(case, "ana", C.SMS)
    unsure = replace(attempt, status=Status.SENDING)
    case = replace(case, attempts={**case.attempts, attempt.attempt_id: unsure})
    case = cases.completed(case, rows(BEN), T0 + S).case
    assert only(case, "ana", C.SMS).status is Status.SENDING, "it is on its way"
    case = cases.settled(case, attempt.attempt_id, Retryable("busy"), T0 + 2 * S, lambda: 0.0).case
    assert only(case, "ana", C.SMS, 2).reason == "contact_changed"


def test_an_escalation_that_was_exhausted_for_want_of_contacts_begins_afresh() -> None:
    only_people = replace(SOME, steps=(Step((ALL,), (C.SMS,), 60),))
    changes = cases.opened(press(), a_copy(policy=only_people), T0)
    assert changes.case.alert.exhausted_reason == "nobody_to_tell"
    after = cases.completed(changes.case, rows(ANA, policy=only_people), T0 + 3 * S)
    assert told(after) == [("ana", "sms")]
    assert after.case.alert.exhausted_ms is None
    assert after.case.alert.version == changes.case.alert.version + 1
    assert "W" in [line.arrow for line in after.audit]


def test_an_exhausted_escalation_that_has_told_somebody_begins_with_those_who_were_not() -> None:
    policy = replace(SOME, steps=(Step((ALL,), (C.SMS,), 60),), loops=1)
    case = sent(raised(a_copy(ANA, policy=policy)), "ana", C.SMS)
    case = cases.advanced(case, T0 + 61 * S).case
    assert case.alert.exhausted_ms is not None
    after = cases.completed(case, rows(ANA, BEN, policy=policy), T0 + 62 * S)
    assert told(after, Purpose.ALERT) == [("ben", "sms")]
    nothing_new = cases.completed(case, rows(ANA, policy=policy), T0 + 62 * S)
    assert nothing_new.case.alert.exhausted_ms is not None


@pytest.mark.parametrize("event", [Acknowledged(BY_ANA, "link"), Resolved(OLGA)])
def test_of_an_alert_that_somebody_is_on_or_that_is_over_nobody_else_is_notified(event: Any) -> None:
    case = cases.applied(sent(raised(a_copy(ANA)), "ana", C.SMS), event, T0 + S).case
    changes = cases.completed(case, rows(ANA, BEN), T0 + 2 * S)
    assert changes.touched == ()
    assert changes.case.copy.is_complete and BEN in changes.case.copy.contacts


def test_a_countdown_goes_on_as_the_phone_was_shown_it() -> None:
    counting = replace(SOME, countdown_s=30)
    case = raised(a_copy(policy=counting))
    changes = cases.completed(case, rows(ANA), T0 + S)
    assert (changes.case.alert, changes.touched) == (case.alert, ())
    after = cases.advanced(changes.case, T0 + 30 * S)
    assert after.case.alert.state is State.ACTIVE
    assert ("ana", "sms") in told(after)


def test_what_is_complete_or_not_from_postgres_changes_nothing() -> None:
    case = raised(rows(ANA))
    assert cases.completed(case, rows(BEN), T0).case == case
    copied = raised(a_copy(ANA))
    assert cases.completed(copied, a_copy(ANA, BEN), T0).case == copied


def test_a_further_press_that_postgres_takes_completes_the_alert() -> None:
    changes = cases.joined(raised(a_copy(ANA)), press(2), rows(ANA, BEN), T0 + S)
    assert changes.case.copy.is_complete
    assert ("ben", "sms") in told(changes)


def test_a_worse_press_leaves_contacts_of_the_copy_alone_behind() -> None:
    fall = cases.opened(press(kind=Kind.FALL), a_copy(ANA, BEN), T0).case
    after = cases.joined(fall, press(2), rows(ANA), T0 + S).case
    assert {c.contact_id for c in after.copy.contacts} == {"ana", "dispatch"}
    assert [c.contact_id for c in after.copy.former] == ["ben"]


def test_where_an_alerts_contacts_were_read_is_in_its_first_line() -> None:
    (line, *_) = cases.opened(press(), a_copy(ANA, age_ms=29_000), T0).audit
    assert (line.detail["contacts_from"], line.detail["copy_age_ms"]) == ("local_copy", 29_000)
    (line, *_) = cases.opened(press(), rows(ANA), T0).audit
    assert "contacts_from" not in line.detail


# --- two processes


def test_a_copy_that_is_complete_overrules_one_that_is_not() -> None:
    ours, theirs = raised(rows(ANA, BEN)), sent(raised(a_copy(ANA, CARL)), "carl", C.SMS)
    merged = cases.merged(ours, theirs, T0 + S).case
    assert merged == cases.merged(theirs, ours, T0 + S).case
    assert merged.copy.is_complete
    assert {c.contact_id for c in merged.copy.contacts} == {"ana", "ben", "dispatch"}
    assert merged.copy.former == (CARL,)
    assert (merged.copy.source, merged.copy.age_ms) == (Source.LOCAL_COPY, 12_000)


def test_two_processes_that_both_complete_an_alert_notify_its_contacts_once() -> None:
    case = sent(raised(a_copy(ANA)), "ana", C.SMS)
    one = cases.completed(case, rows(ANA, BEN), T0 + S).case
    other = cases.completed(case, rows(ANA, BEN), T0 + 3 * S).case
    merged = cases.merged(one, other, T0 + 4 * S).case
    assert messages(merged) == messages(one) == messages(other)


def test_an_import_completes_what_it_brings_in() -> None:
    changes = cases.merged(None, raised(a_copy(ANA)), T0 + S, rows(ANA, BEN))
    assert changes.case.copy.is_complete and ("ben", "sms") in told(changes)
    ours = raised(a_copy(ANA))
    again = cases.merged(ours, raised(a_copy()), T0 + S, rows(ANA, BEN))
    assert again.case.copy.is_complete and ("ben", "sms") in told(again)


people = st.lists(st.sampled_from([ANA, BEN, CARL, replace(CARL, phone=None)]), max_size=3, unique_by=id)
policies = st.sampled_from(
    [None, SOME, KNOWN.policies[Kind.SOS], Policy((Step(("carl",), (C.EMAIL, C.SMS), 30),), loops=1)]
)
read_by_a_copy = st.builds(
    lambda some, policy, age: a_copy(*_unlike(some), DESK, policy=policy, age_ms=age),
    people, policies, st.sampled_from([None, 1_000, 29_000]),
)  # fmt: skip
read_by_postgres = st.builds(lambda some, policy: rows(*_unlike(some), DESK, policy=policy), people, policies)
histories = st.lists(happenings, max_size=8)
moments = st.integers(0, 8)
LATER = T0 + 10_000 * S


def _unlike(some: list[Contact]) -> list[Contact]:
    return list({contact.contact_id: contact for contact in some}.values())


def lived(
    case: Case, history: list[Any], now_ms: int, at: int = -1, read: Circumstances | None = None
) -> Case:
    """``case`` after all that; completed from ``read`` before the step ``at``."""
    for number, what in enumerate([*history, ("time", 0, frozenset())]):
        if number == at and read is not None:
            case = completed(case, read, now_ms).case
        now_ms += what[1] if what[0] == "time" else 1
        if what[0] != "press":  # presses bring circumstances of their own
            case = happened(case, what, now_ms).case
    return case


def completed(case: Case, read: Circumstances, now_ms: int) -> Changes:
    """What `alerts.case.completed` does, and what always holds of it."""
    changes = cases.completed(case, read, now_ms)
    after = changes.case
    assert after.copy.is_complete
    again = cases.completed(after, read, now_ms)
    assert (again.case, again.touched, again.audit) == (after, (), ())
    before = {(a.contact_id, a.channel) for a in case.attempts.values() if a.purpose is Purpose.ALERT
              and a.round >= case.alert.round and a.status is not Status.FAILED}  # fmt: skip
    added = [a for a in changes.touched if a.attempt_id not in case.attempts and a.created_ms == now_ms]
    first = [line for line in changes.audit if line.what == "notified"][:1]
    if first and len(added) == first[0].detail["messages"]:  # no step followed at once
        assert not before & {(a.contact_id, a.channel) for a in added if a.purpose is Purpose.ALERT}
    known = {contact.contact_id for contact in read.contacts}
    assert all(a.contact_id in known for a in added if a.purpose is Purpose.ALERT)
    check(after)
    return changes


@given(read=read_by_a_copy, history=histories, rows=read_by_postgres, at=moments)
@settings(max_examples=150, **RELAXED)  # type: ignore[arg-type]
def test_completion_holds_at_any_moment_of_any_history(
    read: Circumstances, history: list[Any], rows: Circumstances, at: int
) -> None:
    case = lived(cases.opened(press(0), read, T0).case, history, T0, min(at, len(history)), rows)
    check(case)
    for contact in rows.contacts:
        assert contact in case.copy.contacts


@given(
    one_read=read_by_a_copy, other_read=read_by_a_copy, one=histories, other=histories,
    rows=read_by_postgres, later_rows=read_by_postgres, at=moments, other_at=moments,
)  # fmt: skip
@settings(max_examples=200, **RELAXED)  # type: ignore[arg-type]
def test_copies_that_were_completed_or_not_come_together_the_same_whichever_comes_first(
    one_read: Circumstances,
    other_read: Circumstances,
    one: list[Any],
    other: list[Any],
    rows: Circumstances,
    later_rows: Circumstances,
    at: int,
    other_at: int,
) -> None:
    a = lived(cases.opened(press(0), one_read, T0).case, one, T0, at, rows)
    b = lived(cases.opened(press(0), other_read, T0).case, other, T0, other_at, later_rows)
    merged = cases.merged(a, b, LATER).case
    assert cases.merged(b, a, LATER).case == merged
    assert cases.merged(merged, a, LATER).case == merged
    assert cases.merged(merged, b, LATER).case == merged
    assert not cases.has_news(a, merged, LATER) and not cases.has_news(b, merged, LATER)
    assert merged.copy.is_complete is (a.copy.is_complete or b.copy.is_complete)
    check(merged)
    completed(merged, rows, LATER) if not merged.copy.is_complete else None


def test_a_permanent_failure_at_a_former_contact_tells_nobody_of_it_twice() -> None:
    case = cases.completed(raised(a_copy(ANA)), rows(BEN), T0 + S).case
    attempt = only(case, "ben", C.SMS)
    case = cases.settled(case, attempt.attempt_id, Permanent("bad_number"), T0 + 2 * S, lambda: 0.0).case
    assert only(case, "ben", C.CALL).status is Status.DUE, "the fallback of who was found late"
