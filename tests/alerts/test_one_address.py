"""A step sends once by each channel to each address, whichever list has it and however it is written."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts import case as cases
from alerts.addresses.destination import keys_of, named
from alerts.alert import Acknowledged, Actor, ActorKind, FalseAlarm, Kind, Resolved
from alerts.attempt import Accepted, Attempt, Channel, Permanent, Purpose, Status
from alerts.case import Case
from alerts.leases import contact_of
from alerts.policy import ALL, DISPATCH, OPERATOR, Circumstances, Contact, Pins, Policy, Source, Step
from tests.alerts.kit import OLGA, T0, S, press

C = Channel
PHONE = "+41790000001"
ANA = Contact("a", "Ana", "de", phone=PHONE, email="ana@example.org", push_tokens=("p1", "p2"))
ALL_CHANNELS = (C.SOCKET, C.PUSH, C.SMS, C.CALL, C.EMAIL, C.WEBHOOK)


def policy(*channels: Channel, fallback: tuple[Channel, ...] = (), whom: tuple[str, ...] = (ALL,)) -> Policy:
    return Policy((Step(whom, channels, 60, fallback),), loops=1)


def known(*contacts: Contact, by: Policy, source: Source = Source.POSTGRES) -> Circumstances:
    return Circumstances(dict.fromkeys(Kind, by), contacts, Pins(), "Dee", source=source, age_ms=1)


def raised(*contacts: Contact, by: Policy, **more: Any) -> Case:
    return cases.opened(press(), known(*contacts, by=by, **more), T0).case


def sent(case: Case, *ends: Purpose) -> list[tuple[str, str]]:
    """Whom, by what: of alerts, or of these purposes."""
    wanted = ends or (Purpose.ALERT,)
    return [(a.contact_id, a.channel.value) for a in case.attempts.values() if a.purpose in wanted]


def addresses(case: Case, *ends: Purpose) -> list[tuple[str, frozenset[str]]]:
    """What was written to, as a provider sees it."""
    wanted = ends or (Purpose.ALERT,)
    return [
        (a.channel.value, keys_of(contact_of(case.copy, a), a.channel))
        for a in case.attempts.values()
        if a.purpose in wanted
    ]


def settled(case: Case, outcome: Any, contact_id: str, channel: Channel, now_ms: int = T0) -> Case:
    (one,) = [
        a for a in case.attempts.values()
        if (a.contact_id, a.channel) == (contact_id, channel) and a.status is Status.DUE
    ]  # fmt: skip
    return cases.settled(case, one.attempt_id, outcome, now_ms, lambda: 0.0).case


def accepted(case: Case, now_ms: int = T0) -> Case:
    """A provider has taken everything that is due."""
    for one in [a for a in case.attempts.values() if a.status is Status.DUE]:
        case = cases.settled(case, one.attempt_id, Accepted("SM1", "queued"), now_ms, lambda: 0.0).case
    return case


# --- what one address is


@pytest.mark.parametrize(
    ("channel", "a", "b"),
    [
        (C.SMS, {"phone": "+525512345678"}, {"phone": "+5215512345678"}),
        (C.CALL, {"phone": "+5491112345678"}, {"phone": "+541112345678"}),
        (C.CALL, {"phone": "+5511987654321"}, {"phone": "+551187654321"}),
        (C.EMAIL, {"email": "ana@example.org"}, {"email": "Ana@Example.ORG"}),
        (C.EMAIL, {"email": "ana@example.org"}, {"email": "ana@example.org."}),
        (C.EMAIL, {"email": "ana.perez@gmail.com"}, {"email": "anaperez@googlemail.com"}),
        (C.EMAIL, {"email": "ana.perez+sos@gmail.com"}, {"email": "anaperez@gmail.com"}),
        (C.EMAIL, {"email": "ana@xn--mller-kva.example"}, {"email": "ana@müller.example"}),
        (C.WEBHOOK, {"webhook_url": "https://x.example"}, {"webhook_url": "https://X.example:443/"}),
        (C.WEBHOOK, {"webhook_url": "HTTPS://x.example/a?b"}, {"webhook_url": "https://x.example./a?b"}),
        (C.PUSH, {"push_tokens": ("p1", "p2")}, {"push_tokens": ("p2", "p1")}),
    ],
)  # fmt: skip
def test_one_address_however_it_is_written_is_written_to_once(
    channel: Channel, a: dict[str, Any], b: dict[str, Any]
) -> None:
    pair = Contact("a", "Ana", **a), Contact("b", "Ana", **b)
    for contacts in (pair, pair[::-1]):
        case = raised(*contacts, by=policy(channel))
        assert sent(case) == [(contacts[0].contact_id, channel.value)]


@pytest.mark.parametrize(
    ("channel", "a", "b"),
    [
        (C.EMAIL, {"email": "ana.perez@example.org"}, {"email": "anaperez@example.org"}),
        (C.EMAIL, {"email": "ana+x@example.org"}, {"email": "ana@example.org"}),
        (C.EMAIL, {"email": "ana@gmail.com"}, {"email": "ana@gmail.de"}),
        (C.WEBHOOK, {"webhook_url": "https://x.example/a"}, {"webhook_url": "https://x.example/A"}),
        (C.WEBHOOK, {"webhook_url": "https://x.example/?a"}, {"webhook_url": "https://x.example/?b"}),
        (C.WEBHOOK, {"webhook_url": "https://x.example"}, {"webhook_url": "https://x.example:444"}),
        (C.SMS, {"phone": "+41790000001"}, {"phone": "+41790000002"}),
        (C.PUSH, {"push_tokens": ("p1",)}, {"push_tokens": ("p2",)}),
    ],
)  # fmt: skip
def test_other_addresses_are_written_to_each(channel: Channel, a: dict[str, Any], b: dict[str, Any]) -> None:
    case = raised(Contact("a", "Ana", **a), Contact("b", "Ben", **b), by=policy(channel))
    assert sent(case) == [("a", channel.value), ("b", channel.value)]


@pytest.mark.parametrize("copies", [2, 3, 20])
def test_one_person_in_many_lists_is_written_to_once_by_each_channel(copies: int) -> None:
    lists = [replace(ANA, contact_id=str(n), webhook_url="https://x.example") for n in range(copies)]
    case = raised(*lists, by=policy(*ALL_CHANNELS))
    assert sent(case) == [("0", channel) for channel in ("push", "sms", "call", "email", "webhook")]


def test_only_an_address_that_counts_stands_for_the_others() -> None:
    unverified = replace(ANA, contact_id="u", phone=None, email=None, push_tokens=())
    case = raised(unverified, replace(ANA, contact_id="v"), by=policy(C.SMS))
    assert sent(case) == [("v", "sms")]


# --- who is named, in which language


def test_the_first_in_order_decides_the_language_and_all_on_one_phone_are_named() -> None:
    ben = Contact("b", "Ben", "fr", phone=PHONE)
    case = raised(ANA, ben, replace(ANA, contact_id="c", name="ana"), by=policy(C.SMS, C.EMAIL))
    (text,) = [a for a in case.attempts.values() if a.channel is C.SMS]
    contact = contact_of(case.copy, text)
    assert (contact.contact_id, contact.name, contact.language) == ("a", "Ana, Ben", "de")
    (mail,) = [a for a in case.attempts.values() if a.channel is C.EMAIL]
    assert contact_of(case.copy, mail).name == "Ana", "Ben has another mailbox"
    assert named(case.copy, "b", C.SMS) == "Ben, Ana", "a message to Ben is to Ben first"
    assert named(case.copy, "nobody", C.SMS) == ""


def test_the_order_of_a_step_is_that_of_its_policy() -> None:
    ben = Contact("b", "Ben", "fr", phone=PHONE)
    case = raised(ANA, ben, by=policy(C.SMS, whom=("b", "a")))
    assert sent(case) == [("b", "sms")]


def test_the_people_at_several_addresses_of_a_contact_are_named_once() -> None:
    ana = Contact("a", "Ana", phone=PHONE, email="family@example.org")
    ben = Contact("b", "Ben", phone=PHONE)
    cy = Contact("c", "Cy", email="Family@example.org")
    copy = raised(ana, ben, cy, by=policy(C.SMS)).copy
    assert named(copy, "a", C.SMS, C.EMAIL) == "Ana, Ben, Cy"
    assert named(copy, "a", C.EMAIL) == "Ana, Cy"
    assert named(copy, "b", C.EMAIL, C.SMS) == "Ben, Ana"


def test_dispatchers_and_the_operator_are_not_named_beside_a_person() -> None:
    desk = Contact(OPERATOR, "Operator", phone=PHONE)
    case = raised(ANA, desk, by=policy(C.SMS, whom=(ALL, OPERATOR)))
    assert sent(case) == [("a", "sms")]
    assert named(case.copy, "a", C.SMS) == "Ana"


# --- push: a device of two lists


def test_a_dispatcher_who_is_a_contact_too_is_pushed_once() -> None:
    desk = Contact(DISPATCH, "Dispatch", push_tokens=("d1", "p1", "p2"))
    for whom in ((DISPATCH, ALL), (ALL, DISPATCH)):
        case = raised(ANA, desk, by=policy(C.PUSH, whom=whom))
        tokens = [t for a in case.attempts.values() for t in contact_of(case.copy, a).push_tokens]
        assert sorted(tokens) == ["d1", "p1", "p2"], whom


def test_devices_that_are_partly_the_same_are_each_pushed_once() -> None:
    people = [
        Contact("a", "Ana", push_tokens=("p1", "p2")), Contact("b", "Ben", push_tokens=("p2", "p3")),
        Contact("c", "Carl", push_tokens=("p3", "p1")), Contact("d", "Dora", push_tokens=("p4", "p1")),
    ]  # fmt: skip
    case = raised(*people, by=policy(C.PUSH))
    tokens = [t for a in case.attempts.values() for t in contact_of(case.copy, a).push_tokens]
    assert sorted(tokens) == ["p1", "p2", "p3", "p4"]
    assert [a.contact_id for a in case.attempts.values()] == ["a", "b", "d"]
    retried = settled(case, Permanent("http_400"), "a", C.PUSH)
    again = settled(retried, Accepted("1", "ok"), "b", C.PUSH)
    assert contact_of(
        again.copy, next(a for a in again.attempts.values() if a.contact_id == "b")
    ).push_tokens == ("p3",)


# --- fallbacks


def test_a_fallback_to_one_phone_is_used_once() -> None:
    lists = [Contact(str(n), "Ana", phone=PHONE) for n in range(3)]
    case = raised(*lists, by=policy(C.SMS, fallback=(C.CALL,)))
    case = settled(case, Permanent("bad_number"), "0", C.SMS, T0 + S)
    assert sent(case) == [("0", "sms"), ("0", "call")]


def test_whose_message_went_to_another_list_has_their_own_fallback() -> None:
    ben = Contact("b", "Ben", phone=PHONE, email="ben@example.org")
    case = raised(Contact("a", "Ana", phone=PHONE), ben, by=policy(C.SMS, fallback=(C.EMAIL,)))
    case = settled(case, Permanent("bad_number"), "a", C.SMS, T0 + S)
    assert sent(case) == [("a", "sms"), ("b", "email")]


def test_a_contact_with_another_channel_that_works_needs_none() -> None:
    ben = Contact("b", "Ben", phone=PHONE)
    ana = Contact("a", "Ana", phone=PHONE, push_tokens=("p1",))
    case = raised(ana, ben, by=policy(C.PUSH, C.SMS, fallback=(C.CALL,)))
    case = settled(case, Accepted("1", "ok"), "a", C.PUSH)
    case = settled(case, Permanent("bad_number"), "a", C.SMS, T0 + S)
    assert sent(case)[-1] == ("b", "call"), "Ben has nothing but that phone"


def test_a_channel_that_is_down_is_made_up_for_once() -> None:
    lists = [Contact(str(n), "Ana", phone=PHONE) for n in range(3)]
    case = raised(*lists, by=policy(C.SMS, fallback=(C.CALL,)))
    case = cases.advanced(case, T0 + S, frozenset({C.SMS})).case
    assert sent(case) == [("0", "sms"), ("0", "call")]


# --- steps, rounds, the end


def test_a_later_step_and_a_later_round_write_again() -> None:
    two = Policy((Step(("a",), (C.SMS,), 60), Step(("b",), (C.SMS,), 60)), loops=2)
    case = raised(ANA, Contact("b", "Ben", phone=PHONE), by=two)
    for n in range(1, 4):
        case = cases.advanced(accepted(case, T0 + n * 60 * S), T0 + n * 60 * S).case
    assert sent(case) == [("a", "sms"), ("b", "sms")] * 2


def test_the_end_is_told_once_to_each_address() -> None:
    two = Policy((Step(("b",), (C.SMS, C.CALL), 60), Step((ALL,), (C.SMS, C.EMAIL, C.PUSH), 60)), loops=1)
    other = Contact("b", "Ben", "fr", phone=PHONE, email="ANA@example.org", push_tokens=("p2", "p1"))
    case = cases.advanced(accepted(raised(ANA, other, by=two), T0), T0 + 60 * S).case
    ended = cases.applied(accepted(case, T0 + 61 * S), Resolved(OLGA), T0 + 62 * S).case
    found = addresses(ended, Purpose.CLOSED)
    assert len(found) == len(set(found)) == 3
    again = cases.advanced(accepted(ended, T0 + 63 * S), T0 + 64 * S).case
    assert addresses(again, Purpose.CLOSED) == found


def test_who_is_on_it_is_not_told_so_on_another_lists_device() -> None:
    desk = Contact(DISPATCH, "Dispatch", push_tokens=("d1", "p1", "p2"))
    case = accepted(raised(ANA, desk, by=policy(C.PUSH, whom=(ALL, DISPATCH))))
    on_it = cases.applied(case, Acknowledged(Actor(ActorKind.CONTACT, "a", "Ana"), "link"), T0 + S).case
    (one,) = [a for a in on_it.attempts.values() if a.purpose is Purpose.ON_IT]
    assert (one.contact_id, contact_of(on_it.copy, one).push_tokens) == (DISPATCH, ("d1",))
    only = accepted(
        raised(ANA, replace(desk, push_tokens=("p1",)), by=policy(C.PUSH, C.SMS, whom=(DISPATCH, ALL)))
    )
    on_it = cases.applied(only, Acknowledged(Actor(ActorKind.CONTACT, "a", "Ana"), "link"), T0 + S).case
    assert not [a for a in on_it.attempts.values() if a.purpose is Purpose.ON_IT]


# --- copies


def test_a_completed_copy_writes_to_no_address_again() -> None:
    local = Contact("x", "Ana", phone="+5215512345678", email="Ana@example.org")
    case = accepted(raised(local, by=policy(C.SMS, C.EMAIL), source=Source.LOCAL_COPY))
    rows = known(
        Contact("y", "Ana", phone="+525512345678", email="ana@example.org"),
        Contact("z", "Ben", phone=PHONE), by=policy(C.SMS, C.EMAIL),
    )  # fmt: skip
    done = cases.completed(case, rows, T0 + S).case
    assert sent(done) == [("x", "sms"), ("x", "email"), ("z", "sms")]
    assert sent(cases.completed(done, rows, T0 + 2 * S).case) == sent(done), "nor by a second completion"


def test_a_message_to_a_former_address_that_was_not_sent_stands_for_nobody() -> None:
    case = raised(Contact("x", "Ana", phone=PHONE), by=policy(C.SMS), source=Source.LOCAL_COPY)
    done = cases.completed(case, known(Contact("y", "Ana", phone=PHONE), by=policy(C.SMS)), T0 + S).case
    assert [(a.contact_id, a.status, a.reason) for a in done.attempts.values()] == [
        ("x", Status.FAILED, "contact_changed"), ("y", Status.DUE, None),
    ]  # fmt: skip


def test_an_exhausted_copy_is_not_taken_up_again_for_an_address_that_was_tried() -> None:
    case = accepted(raised(Contact("x", "Ana", phone=PHONE), by=policy(C.SMS), source=Source.LOCAL_COPY))
    case = cases.advanced(case, T0 + 61 * S).case
    assert case.alert.exhausted_ms is not None
    rows = known(Contact("y", "Ana", phone=PHONE), by=policy(C.SMS))
    assert len(sent(cases.completed(case, rows, T0 + 62 * S).case)) == 1


def test_two_copies_that_planned_for_two_lists_send_once() -> None:
    ours = raised(Contact("a", "Ana", phone="+5215512345678"), by=policy(C.SMS))
    theirs = raised(Contact("b", "Ana", phone="+525512345678"), by=policy(C.SMS))
    sent_ours = accepted(ours)
    for first, second in ((ours, theirs), (theirs, ours), (sent_ours, theirs), (theirs, sent_ours)):
        merged = cases.merged(first, second, T0 + S).case
        live = [a for a in merged.attempts.values() if a.status is not Status.FAILED]
        assert len(live) == 1, "one is sent"
        assert cases.merged(merged, second, T0 + 2 * S).case == merged, "a second import changes nothing"
        assert cases.merged(merged, first, T0 + 2 * S).case == merged
    assert cases.merged(sent_ours, theirs, T0 + S).case == cases.merged(theirs, sent_ours, T0 + S).case


def test_an_alert_of_before_that_planned_twice_still_goes_on() -> None:
    case = raised(ANA, by=policy(C.SMS, fallback=(C.CALL,)))
    (one,) = [a for a in case.attempts.values() if a.channel is C.SMS]
    twin = replace(one, attempt_id=one.alert_id, contact_id="b")
    copy = replace(case.copy, contacts=(*case.copy.contacts, Contact("b", "Ben", phone=PHONE)))
    case = Case(case.alert, copy, {**case.attempts, twin.attempt_id: twin})
    case = settled(case, Permanent("bad_number"), "a", C.SMS, T0 + S)
    case = settled(case, Permanent("bad_number"), "b", C.SMS, T0 + S)
    assert sent(case) == [("a", "sms"), ("b", "sms"), ("a", "call")]


# --- whatever happens

phones = st.sampled_from([None, PHONE, "+525512345678", "+5215512345678", "+41790000002"])
mails = st.sampled_from([None, "ana@example.org", "Ana@Example.org", "ben@example.org"])
tokens = st.lists(st.sampled_from(["p1", "p2", "p3"]), max_size=3, unique=True).map(tuple)
people = st.lists(
    st.builds(Contact, st.just("?"), st.just("N"), st.just("en"), phones, mails, st.none(), tokens),
    max_size=6,
).map(lambda found: [replace(one, contact_id=str(n)) for n, one in enumerate(found)])
channels = st.lists(st.sampled_from(ALL_CHANNELS), min_size=1, max_size=6, unique=True)


@given(people, st.lists(channels, min_size=1, max_size=3), st.data())
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_step_writes_to_an_address_twice_and_none_is_left_out(
    contacts: list[Contact], steps: list[list[Channel]], data: st.DataObject
) -> None:
    by = Policy(tuple(Step((ALL,), tuple(s[:3]), 60, tuple(s[3:])) for s in steps), loops=2)
    case = raised(*contacts, Contact(OPERATOR, "Desk", phone="+41790000009"), by=by)
    now_ms = T0
    for _ in range(30):
        due = [a for a in case.attempts.values() if a.status is Status.DUE]
        for one in due:
            outcome = data.draw(st.sampled_from([Accepted("1", "ok"), Permanent("no")]))
            case = cases.settled(case, one.attempt_id, outcome, now_ms, lambda: 0.0).case
        now_ms += 60 * S
        case = cases.advanced(case, now_ms).case
        if case.alert.exhausted_ms is not None:
            break
    _no_address_twice(case, Purpose.ALERT)
    if any(contact.phone or contact.email or contact.push_tokens for contact in contacts):
        _each_is_reached(case, contacts)
    ended = cases.applied(case, FalseAlarm(OLGA), now_ms).case
    _no_address_twice(ended, Purpose.ALL_CLEAR)


def _no_address_twice(case: Case, purpose: Purpose) -> None:
    seen = set[tuple[Any, ...]]()
    for a in case.attempts.values():
        if a.purpose is not purpose:
            continue
        for key in keys_of(contact_of(case.copy, a), a.channel):
            place = (a.round, a.step, a.channel, key)
            assert place not in seen, place
            seen.add(place)


def _each_is_reached(case: Case, contacts: list[Contact]) -> None:
    for number, step in enumerate(case.copy.policy.steps):
        of_step = [a for a in case.attempts.values() if a.purpose is Purpose.ALERT and a.step == number]
        if not of_step:
            continue
        for contact in contacts:
            for channel in step.channels:
                wanted = keys_of(contact, channel)
                found = {key for a in of_step if a.channel is channel for key in _keys(case, a)}
                assert wanted <= found


def _keys(case: Case, attempt: Attempt) -> frozenset[str]:
    return keys_of(contact_of(case.copy, attempt), attempt.channel)
