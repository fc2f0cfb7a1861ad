"""The snapshot of an alert that was raised from a local copy, completed from the rows of Postgres. Pure.

A press that Postgres does not answer in time is taken with the contacts and the policy that the process last
read. When Postgres answers, its rows replace them, once: contacts and steps that the copy did not know are
notified at once, contacts that Postgres does not have are sent nothing new.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.destination import WrittenAddresses, keys_of, may_arrive
from alerts.attempt import Attempt, Channel, Purpose, Status
from alerts.escalation import PlannedMessage, plan_step
from alerts.policy import (
    DISPATCH,
    Circumstances,
    Contact,
    PolicyCopy,
    Source,
    address_of,
    addressee,
    copy_of,
)
from alerts.values import MAX_LOOPS, Alert, Kind, State

_SOURCES: Final = tuple(Source)


class CatchUp(Struct, frozen=True):
    """What the completed snapshot asks for beyond what was planned.

    ``afresh``: the escalation was exhausted and has to begin again; ``planned`` are of that round.
    """

    planned: tuple[PlannedMessage, ...] = ()
    afresh: bool = False


def completed_copy(copy: PolicyCopy, rows: Circumstances, kind: Kind) -> PolicyCopy:
    """``copy`` with the policy and contacts of ``rows``; the very same when it is complete already, or
    ``rows`` are not those of Postgres.
    """
    if copy.is_complete or rows.source is not Source.POSTGRES:
        return copy
    fresh = copy_of(rows, kind)
    return replace(
        fresh,
        source=copy.source,
        age_ms=copy.age_ms,
        former=former_of((*copy.former, *copy.contacts), fresh.contacts),
    )


def succeeding(fresh: PolicyCopy, before: PolicyCopy) -> PolicyCopy:
    """``fresh``, of a worse kind, in the place of ``before``, whose other contacts it takes along."""
    known = {contact.contact_id for contact in fresh.contacts}
    others = tuple(contact for contact in before.contacts if contact.contact_id not in known)
    former = before.former
    if fresh.is_complete and not before.is_complete:
        others, former = (), (*former, *before.contacts)
    contacts = fresh.contacts + others
    return replace(
        fresh,
        contacts=contacts,
        source=furthest_source(fresh, before),
        age_ms=oldest_ms(fresh, before),
        former=former_of(former, contacts),
    )


def former_of(known: Iterable[Contact], contacts: Iterable[Contact]) -> tuple[Contact, ...]:
    """Those of ``known`` that ``contacts`` has otherwise or not, each once, by their ids. Dispatchers are not
    among them: a device that is theirs no longer is sent nothing.
    """
    same = {contact.contact_id: contact for contact in contacts}
    found: dict[str, Contact] = {}
    for contact in known:
        key = contact.contact_id
        if key != DISPATCH and contact != same.get(key):
            found[key] = max(found.get(key, contact), contact, key=_reach)
    return tuple(found[key] for key in sorted(found))


def _reach(contact: Contact) -> tuple[int, bytes]:
    """By how many channels; and an order where those are as many."""
    return sum(address_of(contact, channel) for channel in Channel), msgspec.json.encode(contact)


def furthest_source(a: PolicyCopy, b: PolicyCopy) -> Source:
    """The one that knew less of the two."""
    return max(a.source, b.source, key=_SOURCES.index)


def oldest_ms(a: PolicyCopy, b: PolicyCopy) -> int | None:
    """The greater age of the two local copies."""
    return max((x.age_ms for x in (a, b) if x.age_ms is not None), default=None)


def is_withdrawn(attempt: Attempt, copy: PolicyCopy) -> bool:
    """Whether a message that is due is for a contact, or an address, of a local copy that Postgres does not
    have. A message of an alert's end is never withdrawn: it is for all who were notified.
    """
    if not copy.former or attempt.purpose in _ENDS or attempt.status is not Status.DUE:
        return False
    known = next((c for c in copy.contacts if c.contact_id == attempt.contact_id), None)
    was = next((c for c in copy.former if c.contact_id == attempt.contact_id), None)
    if was is None or not address_of(was, attempt.channel):
        return False
    return known is None or not address_of(known, attempt.channel)


def catch_up(
    alert: Alert, attempts: Iterable[Attempt], copy: PolicyCopy, down: frozenset[Channel] = frozenset()
) -> CatchUp:
    """The messages of the steps begun so far that were not planned. There are four cases:

    1. The alert is not active. Nothing: a snapshot that is used later is complete then.
    2. Nothing was tried in this escalation. Nothing: it begins with the first step of the new policy.
    3. It is exhausted. It begins again when the policy has a contact by a channel that was not tried, with
       the first step that has one.
    4. It is under way. Of all steps of this round up to the one under way: each contact by each channel that
       was not tried in this escalation.
    """
    if alert.state is not State.ACTIVE:
        return CatchUp()
    tried = [a for a in attempts if a.purpose is Purpose.ALERT and a.round >= alert.round]
    known = _Known(copy, (a for a in tried if may_arrive(a)))
    if alert.exhausted_ms is not None:
        for some in _lacking(alert.round + MAX_LOOPS, len(copy.policy.steps), copy, down, known):
            return CatchUp(tuple(some), afresh=True)
        return CatchUp()
    if not tried:
        return CatchUp()
    round_, step = max((a.round, a.step) for a in tried)
    done = {(a.round, a.step, a.contact_id, a.channel) for a in tried}
    planned: list[PlannedMessage] = []
    for some in _lacking(round_, min(step + 1, len(copy.policy.steps)), copy, down, known):
        planned += (p for p in some if (p.round, p.step, p.contact_id, p.channel) not in done)
    return CatchUp(tuple(planned))


class _Known:
    """What was tried by now: contacts by their ids, and addresses, as they were when it was tried."""

    def __init__(self, copy: PolicyCopy, tried: Iterable[Attempt]) -> None:
        attempts = list(tried)
        # An address that has changed is in ``former`` as it was.
        former = {contact.contact_id: contact for contact in (*copy.contacts, *copy.former)}
        self._written: Final = WrittenAddresses(
            replace(copy, contacts=tuple(former.values()), former=()), attempts
        )
        self._ids: Final = {(a.contact_id, a.channel) for a in attempts}
        self._copy: Final = copy

    def has(self, one: PlannedMessage) -> bool:
        """Whether its contact was tried by this channel, or its address, for whichever contact."""
        if (one.contact_id, one.channel) in self._ids:
            return True
        contact = addressee(self._copy, one.contact_id, one.channel)
        return contact is not None and self._written.covers_keys(one.channel, keys_of(contact, one.channel))

    def add(self, one: PlannedMessage) -> None:
        """It is going to be tried."""
        self._ids.add((one.contact_id, one.channel))
        contact = addressee(self._copy, one.contact_id, one.channel)
        if contact is not None:
            self._written.add_keys(one.contact_id, one.channel, keys_of(contact, one.channel))


def _lacking(
    round_: int, steps: int, copy: PolicyCopy, down: frozenset[Channel], known: _Known
) -> Iterator[list[PlannedMessage]]:
    """Of each of the first ``steps`` that has any: what is by none of ``known``, which it is added to."""
    for number in range(steps):
        found = []
        for one in plan_step(round_, number, copy, down)[0]:
            if not known.has(one):
                known.add(one)
                found.append(one)
        if found:
            yield found


_ENDS: Final = frozenset({Purpose.ALL_CLEAR, Purpose.CLOSED})
