"""Two copies of one alert, changed apart from each other, brought together. Pure.

Of everything the further counts: what is closed stays closed, a later escalation overrules an earlier one, an
acknowledgement overrules a search. `both` gives the same whichever copy comes first, and bringing either in
again changes nothing.
"""

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from alerts.addresses.destination import keys_of, may_arrive
from alerts.alert import MAX_RESPONDERS, alert_id_of
from alerts.attempt import Attempt, Status, moved_on, rank
from alerts.completing import former_of, furthest_source, oldest_ms
from alerts.location import better
from alerts.policy import Contact, PolicyCopy, addressee
from alerts.values import MAX_LOOPS, OPEN, Actor, ActorKind, Alert, Responder, State, Veil, in_order, worse

Copy = tuple[Alert, PolicyCopy, dict[UUID, Attempt]]

_STATE_RANK: Final = {
    State.PENDING: 0,
    State.ACTIVE: 1,
    State.ACKNOWLEDGED: 2,
    State.CANCELLED: 3,
    State.RESOLVED: 3,
}


def both(a: Copy, b: Copy, now_ms: int) -> Copy:
    """The two copies as one. ``b`` may be another alert that belongs into ``a``: it comes under its id."""
    alert = _alert(a[0], b[0])
    copy = _policy_copy(a, b)
    attempts = _attempts([*a[2].values(), *b[2].values()], alert.alert_id, copy, now_ms)
    return alert, copy, attempts


# --- the alert


def _alert(a: Alert, b: Alert) -> Alert:
    if a.alert_id != b.alert_id:
        b = replace(b, alert_id=a.alert_id)
    first, second = sorted((a, b), key=_encoded)
    worst = second if worse(second.kind, first.kind) else first
    course = _course(a, b)
    named = [x for x in (first, second) if alert_id_of(x.tenant, x.driver, x.sos_id) == x.alert_id]
    joined = replace(
        course,
        vendor=first.vendor,
        sos_id=(named or [first])[0].sos_id,
        kind=worst.kind,
        severity=max(a.severity, b.severity),
        pressed_ms=min(a.pressed_ms, b.pressed_ms),
        raised_ms=min(a.raised_ms, b.raised_ms),
        journey_id=_largest(a.journey_id, b.journey_id),
        place=better(a.place, b.place),
        message=max(a.message, b.message, key=lambda m: (len(m), m)),
        silent=a.silent or b.silent,
        duress=a.duress or b.duress,
        veil=_veil(a.veil, b.veil),
        wrong_pins=max(a.wrong_pins, b.wrong_pins),
        presses=max(a.presses, b.presses),
        responders=_responders(a, b, course),
        reached_ms=_least(a.reached_ms, b.reached_ms),
        raised_by=_raised_by(a, b),
        version=0,
    )
    # Whoever saw one of the two versions must see that it is not what holds now.
    top = max(a.version, b.version)
    stale = any(x.version == top and replace(x, version=0) != joined for x in (a, b))
    return replace(joined, version=top + 1 if stale else top)


def _course(a: Alert, b: Alert) -> Alert:
    """Of the two the one that is further; of its fields those that belong to the state count."""
    duress = a.duress or b.duress
    further = max((a, b), key=lambda x: (*_progress(x, duress), _encoded(_of_state(x))))
    for x in (a, b):
        if x.state not in OPEN and not _is_closed(x, duress) and further.round <= x.round + MAX_LOOPS:
            # People were told that all is well by the copy that did not know of the duress: tell them anew.
            # Further than either by so much that bringing `x` in again finds it done.
            fresh = max(further.round, x.round + MAX_LOOPS) + MAX_LOOPS
            further = _reopened(further, fresh, x.closed_ms)
    if a.state is b.state is further.state and a.round == b.round == further.round:
        further = replace(further, heard_ms=_largest(a.heard_ms, b.heard_ms))
    return further


def _reopened(x: Alert, round_: int, since_ms: int | None) -> Alert:
    return replace(
        x,
        state=State.ACTIVE,
        round=round_,
        active_since_ms=since_ms,
        pending_until_ms=None,
        acknowledged_by=None,
        acknowledged_ms=None,
        heard_ms=None,
        exhausted_ms=None,
        exhausted_reason=None,
        closed_ms=None,
        closed_by=None,
    )


def _progress(x: Alert, duress: bool) -> tuple[int, ...]:
    closed = _is_closed(x, duress)
    state = _STATE_RANK[x.state] if x.state in OPEN or closed else 0
    return (
        closed,
        -(x.closed_ms or 0) if closed else 0,
        0 if closed else x.round,
        state,
        x.exhausted_ms is not None,
        -(x.acknowledged_ms or x.exhausted_ms or x.active_since_ms or x.pending_until_ms or 0),
    )


def _is_closed(x: Alert, duress: bool) -> bool:
    """A driver's PIN closes nothing when another copy knows of a duress."""
    by_driver = x.closed_by is not None and x.closed_by.kind is ActorKind.DRIVER
    return x.state not in OPEN and not (duress and by_driver)


def _of_state(x: Alert) -> tuple[Any, ...]:
    return (
        x.state, x.round, x.pending_until_ms, x.active_since_ms, x.acknowledged_by, x.acknowledged_ms,
        x.exhausted_ms, x.exhausted_reason, x.closed_ms, x.closed_by,
    )  # fmt: skip


def _responders(a: Alert, b: Alert, course: Alert) -> tuple[Responder, ...]:
    found: dict[tuple[ActorKind, str], Responder] = {}
    given = [*a.responders, *b.responders]
    for x in (a, b):
        taken = x.acknowledged_by
        if (
            taken is not None
            and x.state is course.state is State.ACKNOWLEDGED
            and x.round == course.round
            and not _same_person(taken, course.acknowledged_by)
        ):
            given.append(Responder(taken, x.acknowledged_ms or 0))
    for one in sorted(given, key=lambda r: (r.at_ms, _encoded(r))):
        found[one.actor.kind, one.actor.id] = one
    return in_order(found.values())[:MAX_RESPONDERS]


def _same_person(a: Actor, b: Actor | None) -> bool:
    return b is not None and (a.kind, a.id) == (b.kind, b.id)


def _raised_by(a: Alert, b: Alert) -> Actor | None:
    """The operator who raised it, unless a copy knows of a press that was the driver's own."""
    if a.raised_by is None or b.raised_by is None:
        return None
    return max(a.raised_by, b.raised_by, key=_encoded)


def _veil(a: Veil | None, b: Veil | None) -> Veil | None:
    return max((v for v in (a, b) if v is not None), key=_veil_key, default=None)


def _veil_key(v: Veil) -> tuple[int, int, int, bool, bytes]:
    return max(v.drawn_ms, v.lifted_ms or 0), v.drawn_ms, v.version, v.silent, _encoded(v)


# --- the copy of the policy


def _policy_copy(a: Copy, b: Copy) -> PolicyCopy:
    """The policy of the worse kind, of one kind that of Postgres; and the contacts of both.

    What a local copy alone knows joins contacts of Postgres as former: Postgres does not have it.
    """
    first, second = sorted((a, b), key=lambda x: (len(x[1].contacts), _encoded(x[1])))
    base = first if worse(first[0].kind, second[0].kind) else second
    if not worse(first[0].kind, second[0].kind) and not worse(second[0].kind, first[0].kind):
        base = max((first, second), key=_authority)
    counts = [x[1] for x in (first, second) if x[1].is_complete or not base[1].is_complete]
    known: dict[str, Contact] = {}
    for contact in (contact for copy in counts for contact in copy.contacts):
        held = known.get(contact.contact_id)
        known[contact.contact_id] = contact if held is None else max(held, contact, key=_encoded)
    order = [contact.contact_id for contact in base[1].contacts]
    order += sorted(known.keys() - set(order))
    contacts = tuple(known[contact_id] for contact_id in order)
    former = [*a[1].former, *b[1].former]
    for x in (a, b):
        former += () if x[1].is_complete or not base[1].is_complete else x[1].contacts
    return replace(
        base[1],
        contacts=contacts,
        driver_name=max(a[1].driver_name, b[1].driver_name),
        source=furthest_source(a[1], b[1]),
        age_ms=oldest_ms(a[1], b[1]),
        former=former_of(former, contacts),
    )


def _authority(x: Copy) -> tuple[bool, bytes, int, bytes]:
    return x[1].is_complete, _encoded(x[1].policy), len(x[1].contacts), _encoded(x[1])


# --- attempts


def _attempts(given: Iterable[Attempt], alert_id: UUID, copy: PolicyCopy, now_ms: int) -> dict[UUID, Attempt]:
    found: dict[UUID, Attempt] = {}
    for attempt in given:
        mine = replace(attempt, alert_id=alert_id)
        held = found.get(mine.attempt_id)
        found[mine.attempt_id] = mine if held is None else _further(held, mine)
    _drop_twins(found, now_ms)
    _drop_same_address(found, copy, now_ms)
    return dict(sorted(found.items()))


def _further(a: Attempt, b: Attempt) -> Attempt:
    """The further of two copies, with what either knows of its provider."""
    named = max((x for x in (a, b) if x.provider_id is not None), key=_name, default=None)
    return replace(
        max(a, b, key=_progress_of),
        provider=_largest(a.provider, b.provider) if named is None else named.provider,
        provider_id=None if named is None else named.provider_id,
        repeat=a.repeat or b.repeat,
        sent_ms=_least(a.sent_ms, b.sent_ms),
    )


def _name(a: Attempt) -> tuple[str, str]:
    return a.provider_id or "", a.provider or ""


def _progress_of(a: Attempt) -> tuple[int, bool, bytes]:
    """How far it is, without what is taken from either copy."""
    bare = replace(a, provider=None, provider_id=None, repeat=False, sent_ms=None)
    return rank(a.status), a.status is Status.UNSURE, _encoded(bare)


def _drop_twins(found: dict[UUID, Attempt], now_ms: int) -> None:
    """The same message of two alerts that became one is sent once, when it was not sent yet."""
    twins: dict[tuple[Any, ...], list[Attempt]] = {}
    for a in found.values():
        twins.setdefault((a.purpose, a.round, a.step, a.contact_id, a.channel, a.number), []).append(a)
    for same in twins.values():
        wanted = [a for a in same if a.status is not Status.FAILED]
        for other in sorted(wanted, key=lambda a: (-rank(a.status), a.attempt_id))[1:]:
            if other.status is Status.DUE:
                found[other.attempt_id] = moved_on(other, Status.FAILED, now_ms, reason="merged")


def _drop_same_address(found: dict[UUID, Attempt], copy: PolicyCopy, now_ms: int) -> None:
    """Two copies planned a step for two contacts with one address: it is sent once, when it was not yet."""
    twins: dict[tuple[Any, ...], list[Attempt]] = {}
    for a in found.values():
        contact = addressee(copy, a.contact_id, a.channel)
        if contact is not None and may_arrive(a) and (keys := keys_of(contact, a.channel)):
            twins.setdefault((a.purpose, a.round, a.step, a.channel, keys), []).append(a)
    for same in twins.values():
        first = min(same, key=lambda a: (-rank(a.status), a.attempt_id))
        for other in same:
            if other.status is Status.DUE and other.contact_id != first.contact_id:
                found[other.attempt_id] = moved_on(other, Status.FAILED, now_ms, reason="merged")


# --- small parts


def _encoded(value: object) -> bytes:
    """An order where there is no other."""
    return msgspec.json.encode(value)


def _least(a: int | None, b: int | None) -> int | None:
    return min((x for x in (a, b) if x is not None), default=None)


def _largest(a: Any, b: Any) -> Any:
    return max((x for x in (a, b) if x is not None), default=None)
