"""Who is to be told now: the alert, what was tried, its policy copy and the time in, a decision out. Pure.

A round goes once through the steps of the policy; a step is begun when the one before has waited long
enough, or when all its messages have failed for good. docs/ALERTS.md has the rules in words.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct

from alerts.addresses.destination import WrittenAddresses, keys_of
from alerts.attempt import Attempt, Channel, Purpose, Status, rank
from alerts.policy import (
    ALL,
    DISPATCH,
    MAX_CONTACTS_OF_STEP,
    OPERATOR,
    Contact,
    PolicyCopy,
    Step,
    address_of,
)
from alerts.values import Alert, State

SLOW_MS: Final = 5_000
"""A message that its provider has not taken this long after it was due is in trouble, whatever the reason."""


class Why(StrEnum):
    """Why it waits, or does nothing."""

    STEP_WAIT = "step_wait"
    """Those told have time to answer."""
    PROVIDER_SLOW = "provider_slow"
    """A message is on its way for a while; then the fallback is told too."""
    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    EXHAUSTED = "exhausted"


class GivenUp(StrEnum):
    """Why a policy is exhausted."""

    NOBODY_TO_TELL = "nobody_to_tell"
    """No contact of it has an address that counts."""
    ALL_FAILED = "all_failed"
    """Every message failed."""
    NO_ANSWER = "no_answer"
    """Messages went out, and nobody acknowledged."""


class Lacking(StrEnum):
    """Why a contact of a step is not told in it."""

    NO_ADDRESS = "no_address"
    """None that is verified and not opted out, for the channels of the step and its fallback."""
    UNKNOWN = "unknown_contact"
    """The policy names somebody who was no contact when the alert was raised."""


class PlannedMessage(Struct, frozen=True):
    """A message that is due."""

    round: int
    step: int
    contact_id: str
    channel: Channel
    fallback: bool = False


class Skipped(Struct, frozen=True):
    """A contact who is not told."""

    round: int
    step: int
    contact_id: str
    reason: Lacking


class Notify(Struct, frozen=True):
    """Tell these now; by ``then_ms`` it is to be decided again."""

    planned: tuple[PlannedMessage, ...]
    then_ms: int
    skipped: tuple[Skipped, ...] = ()


class WaitUntil(Struct, frozen=True):
    """Nothing before ``at_ms``, unless an attempt moves or an event happens."""

    at_ms: int
    reason: Why


class Exhausted(Struct, frozen=True):
    """The policy has nobody left."""

    reason: GivenUp
    skipped: tuple[Skipped, ...] = ()


class NothingDue(Struct, frozen=True):
    """Escalation has nothing to do."""

    reason: Why


Decision = Notify | WaitUntil | Exhausted | NothingDue

_NOT_ACTIVE: Final = {
    State.PENDING: Why.PENDING,
    State.ACKNOWLEDGED: Why.ACKNOWLEDGED,
    State.RESOLVED: Why.CLOSED,
    State.CANCELLED: Why.CLOSED,
}


def decide(
    alert: Alert,
    attempts: Iterable[Attempt],
    copy: PolicyCopy,
    now_ms: int,
    down: frozenset[Channel] = frozenset(),
) -> Decision:
    """What is due at ``now_ms``. ``down``: channels whose provider's breaker is open.

    There are five cases:

    1. The alert is not active, or its policy is exhausted. Nothing.
    2. Nothing was tried in this escalation. Begin with its first step.
    3. A contact of this round has all channels of a step in trouble. Tell them by its fallback.
    4. The step under way has time left. Wait.
    5. It has none. Begin the next step that can tell anybody; exhausted when there is none.
    """
    if alert.state is not State.ACTIVE:
        return NothingDue(_NOT_ACTIVE[alert.state])
    if alert.exhausted_ms is not None:
        return NothingDue(Why.EXHAUSTED)
    tried = [a for a in attempts if a.purpose is Purpose.ALERT and a.round >= alert.round]
    if not tried:
        return _next_step(alert, tried, copy, alert.round, 0, now_ms, down)
    round_, step = max((a.round, a.step) for a in tried)
    rescues, slow_ms = _fallbacks([a for a in tried if a.round == round_], copy, now_ms, down)
    current = [a for a in tried if (a.round, a.step) == (round_, step)]
    over_ms = min(a.created_ms for a in current) + _wait_ms(copy, step)
    if rescues:
        return Notify(rescues, max(over_ms, now_ms))
    if now_ms < over_ms and not all(last.status is Status.FAILED for last in _last_of(current)):
        if slow_ms is not None and slow_ms < over_ms:
            return WaitUntil(slow_ms, Why.PROVIDER_SLOW)
        return WaitUntil(over_ms, Why.STEP_WAIT)
    return _next_step(alert, tried, copy, round_, step + 1, now_ms, down)


def contacts_of(step: Step, copy: PolicyCopy) -> list[tuple[str, Contact | None]]:
    """Whom ``step`` names, in order, each once; None for an id that nobody has."""
    known = {contact.contact_id: contact for contact in copy.contacts}
    people = [c for c in copy.contacts if c.contact_id not in (DISPATCH, OPERATOR)][:MAX_CONTACTS_OF_STEP]
    found: dict[str, Contact | None] = {}
    for contact_id in step.contacts:
        if contact_id != ALL:
            found.setdefault(contact_id, known.get(contact_id))
            continue
        for contact in people or [c for c in copy.contacts if c.contact_id == OPERATOR]:
            found.setdefault(contact.contact_id, contact)
    return list(found.items())


# --- beginning a step


def _next_step(
    alert: Alert,
    tried: list[Attempt],
    copy: PolicyCopy,
    round_: int,
    step: int,
    now_ms: int,
    down: frozenset[Channel],
) -> Decision:
    skipped: list[Skipped] = []
    begun = {(a.round, a.step) for a in tried}
    for r, s in _ahead(alert, copy, round_, step):
        planned, lacking = plan_step(r, s, copy, down)
        if r == round_:
            skipped += lacking
        if planned and (r, s) not in begun:
            then_ms = min(now_ms + _wait_ms(copy, s), now_ms + SLOW_MS)
            return Notify(planned, then_ms, tuple(skipped))
    return Exhausted(_given_up(tried), tuple(skipped))


def _ahead(alert: Alert, copy: PolicyCopy, round_: int, step: int) -> Iterator[tuple[int, int]]:
    """The steps from this one on, to the end of the last round."""
    for r in range(round_, alert.round + copy.policy.loops):
        for s in range(step if r == round_ else 0, len(copy.policy.steps)):
            yield r, s


def plan_step(
    round_: int, number: int, copy: PolicyCopy, down: frozenset[Channel]
) -> tuple[tuple[PlannedMessage, ...], list[Skipped]]:
    """All messages of a step (from 0) in a round, one to each address of a channel, and the contacts of the
    step that have no address.
    """
    step = copy.policy.steps[number]
    planned: list[PlannedMessage] = []
    skipped: list[Skipped] = []
    written = WrittenAddresses(copy)
    for contact_id, contact in contacts_of(step, copy):
        if contact is None:
            skipped.append(Skipped(round_, number, contact_id, Lacking.UNKNOWN))
            continue
        usual = [c for c in step.channels if address_of(contact, c)]
        rescue = [c for c in step.fallback if address_of(contact, c) and c not in usual]
        planned += _once(written, round_, number, contact_id, usual, fallback=False)
        if all(c in down for c in usual):
            planned += _once(written, round_, number, contact_id, rescue, fallback=True)
        if not usual and not rescue:
            skipped.append(Skipped(round_, number, contact_id, Lacking.NO_ADDRESS))
    return tuple(planned), skipped


def _once(
    written: WrittenAddresses,
    round_: int,
    number: int,
    contact_id: str,
    channels: Iterable[Channel],
    *,
    fallback: bool,
) -> list[PlannedMessage]:
    """The messages to a contact by ``channels`` whose address nothing of the step goes to yet."""
    planned = []
    for channel in channels:
        if not written.covers(contact_id, channel):
            written.add(contact_id, channel)
            planned.append(PlannedMessage(round_, number, contact_id, channel, fallback))
    return planned


def _given_up(tried: list[Attempt]) -> GivenUp:
    if not tried:
        return GivenUp.NOBODY_TO_TELL
    if all(a.status is Status.FAILED for a in _last_of(tried)):
        return GivenUp.ALL_FAILED
    return GivenUp.NO_ANSWER


# --- fallbacks


def _fallbacks(
    tried: list[Attempt], copy: PolicyCopy, now_ms: int, down: frozenset[Channel]
) -> tuple[tuple[PlannedMessage, ...], int | None]:
    """Fallbacks that are due now, and when the next one may be: at the earliest that matters."""
    planned: list[PlannedMessage] = []
    soonest_ms: int | None = None
    for round_, number in sorted({(a.round, a.step) for a in tried}):
        if number >= len(copy.policy.steps):
            continue
        step = copy.policy.steps[number]
        of_step = [a for a in tried if (a.round, a.step) == (round_, number)]
        written = WrittenAddresses(copy, of_step)
        messages = _Messages(written, _last_of(of_step))
        for contact_id, contact in contacts_of(step, copy):
            mine = [] if contact is None else messages.of(contact)
            asked = {a.channel for a in mine}
            rescue = [c for c in step.fallback if contact and address_of(contact, c) and c not in asked]
            usual = [a for a in mine if a.channel in step.channels]
            if not rescue or not usual:
                continue
            trouble_ms = max(_trouble_ms(a, down) for a in usual)
            if trouble_ms <= now_ms:
                planned += _once(written, round_, number, contact_id, rescue, fallback=True)
            elif trouble_ms < _NEVER_MS:
                soonest_ms = trouble_ms if soonest_ms is None else min(soonest_ms, trouble_ms)
    return tuple(planned), soonest_ms


class _Messages:
    """The latest messages of a step, by whom they are for: a contact has its own, and by a channel without
    one those that went to its address for another contact.
    """

    def __init__(self, written: WrittenAddresses, last: Iterable[Attempt]) -> None:
        self._own: dict[str, list[Attempt]] = {}
        self._by_key: dict[tuple[Channel, str], list[Attempt]] = {}
        for a in last:
            self._own.setdefault(a.contact_id, []).append(a)
            for key in written.keys(a.contact_id, a.channel):
                self._by_key.setdefault((a.channel, key), []).append(a)

    def of(self, contact: Contact) -> list[Attempt]:
        """Those for ``contact``."""
        mine = list(self._own.get(contact.contact_id, ()))
        own = {a.channel for a in mine}
        for channel in Channel:
            if channel not in own:
                for key in keys_of(contact, channel):
                    mine += self._by_key.get((channel, key), ())
        return mine


_NEVER_MS: Final = 1 << 62


def _trouble_ms(last: Attempt, down: frozenset[Channel]) -> int:
    """From when this message counts as in trouble: 0 = it is; `_NEVER_MS` = its provider has it."""
    if last.status is Status.FAILED:
        return 0
    if rank(last.status) >= rank(Status.SENT):
        return _NEVER_MS
    if last.channel in down or last.status is Status.UNSURE or last.number > 1 or last.repeat:
        return 0
    return last.due_ms + SLOW_MS


def _last_of(attempts: Iterable[Attempt]) -> list[Attempt]:
    """Of each message to each contact by each channel the latest attempt, or the one that arrived."""
    last: dict[tuple[int, int, str, Channel], Attempt] = {}
    for a in sorted(attempts, key=lambda a: (rank(a.status) >= rank(Status.DELIVERED), a.number)):
        last[a.round, a.step, a.contact_id, a.channel] = a
    return list(last.values())


def _wait_ms(copy: PolicyCopy, step: int) -> int:
    steps = copy.policy.steps
    return steps[min(step, len(steps) - 1)].wait_s * 1000
