"""Which of several open alerts an answer by text is about. Pure.

A text says "1" and not of whom. The rule, in this order:

1. "1" is for an alert that this phone has not answered: two of them are never for one alert while there is
   another.
2. A real alert goes before a drill, and one without a responder before one that has one.
3. "2" is for the alert that this phone is on; only who is on an alert may call it a false alarm.
4. Then for the one that the phone was told of last.
"""

from collections.abc import Sequence

from msgspec import Struct

from alerts.addresses.phone import is_same
from alerts.alert import OPEN, Actor, ActorKind, State
from alerts.case import Case
from alerts.policy import everyone
from alerts.replies.answer import Word
from alerts.who import is_responding, who
from realtime.store.people.replies import LastMessage


class Candidate(Struct, frozen=True):
    """An alert that the phone was told of, and its last message about it."""

    asked: LastMessage
    case: Case


def chosen(phone: str, word: Word, candidates: Sequence[Candidate]) -> Candidate | None:
    """The one that ``word`` from ``phone`` is about; None where there is none."""
    ordered = in_order(phone, word, candidates)
    return ordered[0] if ordered else None


def in_order(phone: str, word: Word, candidates: Sequence[Candidate]) -> list[Candidate]:
    """``candidates``, the most likely first; those that are over at the end."""

    def place(one: Candidate) -> tuple[object, ...]:
        alert = one.case.alert
        mine = is_mine(phone, one.case)
        over = alert.state not in OPEN
        if word is Word.ACK:
            kind: tuple[object, ...] = (over, mine, alert.drill, alert.state is State.ACKNOWLEDGED)
        elif word is Word.FALSE_ALARM:
            kind = (over, not mine, alert.drill, -_answered_ms(phone, one.case))
        else:
            kind = (over, alert.drill)
        return (*kind, -one.asked.sent_ms, one.asked.attempt_id)

    return sorted(candidates, key=place)


def is_mine(phone: str, case: Case) -> bool:
    """Whether a contact at ``phone`` is on the alert, or coming."""
    return any(is_responding(case.alert, actor) for actor in _actors(phone, case))


def _answered_ms(phone: str, case: Case) -> int:
    """When a contact at ``phone`` said so; 0 when none did."""
    mine = {who(actor) for actor in _actors(phone, case)}
    alert = case.alert
    said = [responder.at_ms for responder in alert.responders if who(responder.actor) in mine]
    if alert.acknowledged_by is not None and who(alert.acknowledged_by) in mine:
        said.append(max(alert.acknowledged_ms or 0, alert.heard_ms or 0))
    return max(said, default=0)


def _actors(phone: str, case: Case) -> list[Actor]:
    """Everybody whom the alert has at that phone."""
    return [
        Actor(ActorKind.CONTACT, contact.contact_id)
        for contact in everyone(case.copy).values()
        if contact.phone and is_same(contact.phone, phone)
    ]
