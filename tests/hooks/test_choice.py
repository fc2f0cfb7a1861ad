"""Which alert an answer by text is about: each rule, without a worker."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Responder, State
from alerts.attempt import Channel, Purpose, Status, planned_attempt
from alerts.case import Case
from alerts.policy import Contact, Policy, PolicyCopy, Step
from alerts.replies.answer import Word
from realtime.alerting.replies.repository import last_asked
from realtime.hooks.choice import Candidate, chosen, in_order, is_mine
from realtime.store.people.replies import LastMessage
from tests.alerts.kit import T0, S, alert

PHONE = "+525512345678"
OTHER_FORM = "+5215512345678"
ANA = Actor(ActorKind.CONTACT, "ana", "Ana")
BEN = Actor(ActorKind.CONTACT, "ben", "Ben")
COPY = PolicyCopy(
    Policy((Step(("ana",), (Channel.SMS,), 60),)),
    (Contact("ana", "Ana", phone=PHONE), Contact("ben", "Ben", phone="+41790000002")),
)


def told(number: int, at_s: int = 0, *, state: State = State.ACTIVE, **changes: Any) -> Candidate:
    """An alert that the phone was told of ``at_s`` seconds after the first."""
    if state is State.ACKNOWLEDGED:
        changes = {"acknowledged_by": BEN, "acknowledged_ms": T0, "heard_ms": T0} | changes
    one = replace(alert(), alert_id=UUID(int=number), state=state, **changes)
    return Candidate(LastMessage(one.alert_id, UUID(int=number), "ana", T0 + at_s * S), Case(one, COPY, {}))


def order(word: Word, *candidates: Candidate, phone: str = PHONE) -> list[int]:
    for given in (candidates, candidates[::-1]):
        found = [one.asked.attempt_id.int for one in in_order(phone, word, given)]
    return found


@pytest.mark.parametrize("phone", [PHONE, OTHER_FORM])
def test_one_is_for_the_unanswered_before_the_answered_the_real_before_the_drill_and_then_the_last(
    phone: str,
) -> None:
    mine = told(1, 90, state=State.ACKNOWLEDGED, acknowledged_by=ANA)
    coming = told(2, 95, state=State.ACKNOWLEDGED, responders=(Responder(ANA, T0),))
    taken = told(3, 80, state=State.ACKNOWLEDGED)
    drill, older, newer = told(4, 99, drill=True), told(5, 10), told(6, 20)
    over = told(7, 100, state=State.RESOLVED)
    found = order(Word.ACK, mine, coming, taken, drill, older, newer, over, phone=phone)
    assert found == [6, 5, 3, 4, 2, 1, 7]


def test_each_one_after_another_is_for_another_alert() -> None:
    open_ = [told(n, n, drill=n % 2 == 0) for n in range(1, 8)]
    answered = []
    while (best := chosen(PHONE, Word.ACK, open_)) is not None and not is_mine(PHONE, best.case):
        answered.append(best.asked.attempt_id.int)
        on_it = replace(best.case.alert, state=State.ACKNOWLEDGED, acknowledged_by=ANA, acknowledged_ms=T0)
        open_[open_.index(best)] = replace(best, case=replace(best.case, alert=on_it))
    assert answered == [7, 5, 3, 1, 6, 4, 2]


def test_two_is_for_the_alert_that_this_phone_was_on_last() -> None:
    first = told(1, 90, state=State.ACKNOWLEDGED, acknowledged_by=ANA, acknowledged_ms=T0, heard_ms=T0)
    later = told(2, 10, state=State.ACKNOWLEDGED, acknowledged_by=ANA, acknowledged_ms=T0 + 5)
    joined = told(3, 20, state=State.ACKNOWLEDGED, responders=(Responder(ANA, T0 + 3),))
    assert order(Word.FALSE_ALARM, first, later, joined, told(4, 99)) == [2, 3, 1, 4]
    assert order(Word.FALSE_ALARM, told(5, 99, drill=True), told(6, 1)) == [6, 5]


@pytest.mark.parametrize("word", [Word.OTHER, Word.HELP, Word.STOP])
def test_anything_else_is_about_the_real_alert_that_was_told_last(word: Word) -> None:
    assert order(word, told(1, 90), told(2, 95, drill=True), told(3, 10)) == [1, 3, 2]
    assert chosen(PHONE, word, []) is None


def test_what_another_phone_answered_is_not_this_ones() -> None:
    ben = told(1, 90, state=State.ACKNOWLEDGED)
    assert is_mine("+41790000002", ben.case) and not is_mine(PHONE, ben.case)


# --- what a phone was told of


def asked_case(number: int, phone: str, *attempts: tuple[str, Status, int | None]) -> Case:
    one = replace(alert(), alert_id=UUID(int=number))
    made = [
        replace(
            planned_attempt(one.alert_id, "acme", Purpose.ALERT, 1, n, "ana", Channel(channel), T0),
            status=status, sent_ms=None if at_s is None else T0 + at_s * S,
        )
        for n, (channel, status, at_s) in enumerate(attempts)
    ]  # fmt: skip
    copy = replace(COPY, contacts=(Contact("ana", "Ana", phone=phone),))
    return Case(one, copy, {a.attempt_id: a for a in made})


def test_a_phone_was_told_by_what_may_have_reached_it_and_by_the_last_of_it() -> None:
    cases = [
        asked_case(1, PHONE, ("sms", Status.SENT, 1), ("call", Status.SENT, 5)),
        asked_case(2, OTHER_FORM, ("sms", Status.FAILED, 9)),
        asked_case(3, PHONE, ("sms", Status.FAILED, None)),
        asked_case(4, PHONE, ("sms", Status.DUE, None)),
        asked_case(5, PHONE, ("email", Status.SENT, 7)),
        asked_case(6, "+41790000002", ("sms", Status.SENT, 7)),
        asked_case(7, PHONE, ("sms", Status.UNSURE, 2)),
    ]
    for phone in (PHONE, OTHER_FORM):
        found = last_asked(cases, phone)
        assert [(one.alert_id.int, one.sent_ms) for one in found] == [
            (2, T0 + 9 * S), (1, T0 + 5 * S), (7, T0 + 2 * S),
        ]  # fmt: skip
