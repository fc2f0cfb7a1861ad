"""A case on its way through one step: all that is due is done, and what changed is written down. Pure."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts import location
from alerts.addresses.destination import WrittenAddresses
from alerts.alert import Transition, transition
from alerts.attempt import Attempt, Channel, Purpose, Status, moved_on, planned_attempt, was_told
from alerts.completing import catch_up, completed_copy, is_withdrawn
from alerts.escalation import Exhausted, Notify, PlannedMessage, Skipped, WaitUntil, decide
from alerts.events import (
    Acknowledged,
    AckSilent,
    CancelAsked,
    ContactsFound,
    CountdownOver,
    Denied,
    Event,
    FalseAlarm,
    GaveUp,
    Heard,
    Noted,
    Pressed,
    Reached,
    Resolved,
    ResponderAdded,
    tag_of,
)
from alerts.policy import DISPATCH, OPERATOR, Circumstances, PolicyCopy, Source, address_of, addressee
from alerts.values import Actor, ActorKind, Alert, Place, Press, State

Detail = dict[str, str | int | float | bool | None]

NOTE_CHARS: Final = 2_000
SYSTEM: Final = Actor(ActorKind.SYSTEM, "escalation")


class Dropped(StrEnum):
    """Why a message that was due is not sent any more: the reason of its attempt."""

    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    SUPERSEDED = "superseded"
    """Escalation began afresh, and says it anew."""
    MERGED = "merged"
    """The same message was planned twice, by processes that could not see each other."""
    CONTACT_CHANGED = "contact_changed"
    """A local copy had this contact, or this address of theirs; Postgres has not."""


class Audit(Struct, frozen=True):
    """One line of an alert's history. ``version`` is the alert's after it; ``detail`` holds no secret."""

    version: int
    at_ms: int
    actor: Actor
    what: str
    """The event's tag; or ``raised``, ``notified``, ``skipped``, ``merged``, ``completed``, ``refused``."""
    arrow: str | None
    """The letter of the transition."""
    detail: Detail


class Course:
    """One case, changed in place; ``before``: the attempts that are kept already, when not those given."""

    def __init__(
        self,
        alert: Alert,
        copy: PolicyCopy,
        attempts: dict[UUID, Attempt],
        before: dict[UUID, Attempt] | None = None,
    ) -> None:
        self.alert = alert
        self.copy = copy
        self.attempts = dict(attempts)
        self.audit: list[Audit] = []
        self._before = attempts if before is None else before

    def touched(self) -> tuple[Attempt, ...]:
        """Attempts that are new or have moved."""
        return tuple(a for key, a in self.attempts.items() if self._before.get(key) != a)

    def put(self, attempt: Attempt) -> None:
        """Have ``attempt``, in the place of an earlier one."""
        self.attempts[attempt.attempt_id] = attempt

    def apply(self, event: Event, now_ms: int) -> str | None:
        """Let ``event`` happen; why it was refused."""
        done = transition(self.alert, event, now_ms)
        self.alert = done.alert
        tag = event.asked if isinstance(event, Denied) else tag_of(event)
        if done.refused is None:
            if not isinstance(event, Heard):
                detail = _detail(event, self.alert.place)
                self._note(_actor_of(event, self.alert), tag, done, detail, now_ms)
            return None
        if not isinstance(event, Heard):
            detail = {"event": tag, "reason": done.refused.value, **_detail(event, None)}
            self._note(_actor_of(event, self.alert), "refused", done, detail, now_ms)
        return done.refused.value

    def note_raised(self, press: Press, done: Transition, now_ms: int) -> None:
        """Write down how it began."""
        event = Pressed(press)
        detail = _detail(event, self.alert.place) | _origin(self.copy)
        self._note(_actor_of(event, self.alert), "raised", done, detail, now_ms)

    def note_merged(self, theirs: Alert, now_ms: int) -> None:
        """Write down that another copy came in."""
        detail: Detail = {"state": theirs.state.value, "their_version": theirs.version}
        self.audit.append(Audit(self.alert.version, now_ms, SYSTEM, "merged", None, detail))

    def complete(self, rows: Circumstances, now_ms: int, down: frozenset[Channel]) -> None:
        """Have the policy and contacts of Postgres in the place of a local copy's, if it has those."""
        before, self.copy = self.copy, completed_copy(self.copy, rows, self.alert.kind)
        if self.copy is before:
            return
        self._drop_withdrawn(now_ms)
        more = catch_up(self.alert, self.attempts.values(), self.copy, down)
        if more.afresh:
            self.apply(ContactsFound(), now_ms)
        self._plan_alert(more.planned, now_ms)
        known, found = _ids(before), _ids(self.copy)
        detail: Detail = {
            "new_contacts": len(found - known),
            "gone_contacts": len(known - found),
            "is_policy_new": before.policy != self.copy.policy,
            "messages": len(more.planned),
        }
        self.audit.append(
            Audit(self.alert.version, now_ms, SYSTEM, "completed", None, _origin(before) | detail)
        )
        if more.planned:
            self._note_notified(more.planned, now_ms)

    def go_on(self, now_ms: int, down: frozenset[Channel]) -> int | None:
        """Do all that is due; when to look again."""
        while True:
            match self.alert.state:
                case State.PENDING:
                    until_ms = self.alert.pending_until_ms or 0
                    if now_ms < until_ms:
                        return until_ms
                    self.apply(CountdownOver(), now_ms)
                case State.ACTIVE:
                    decision = self._escalate(now_ms, down)
                    if not isinstance(decision, Notify):
                        return decision
                case State.ACKNOWLEDGED:
                    self._drop(_ESCALATING, Dropped.ACKNOWLEDGED, now_ms)
                    self._tell_on_it(now_ms)
                    silent_ms = self._silent_ms(self.copy.policy.ack_silence_s)
                    if now_ms < silent_ms:
                        return min(silent_ms, self._remind(now_ms))
                    self.apply(AckSilent(), now_ms)
                case _:
                    self._drop(_OPEN_ONLY, Dropped.CLOSED, now_ms)
                    self._tell_end(now_ms)
                    return None

    # --- active

    def _escalate(self, now_ms: int, down: frozenset[Channel]) -> int | Notify | None:
        self._drop(_ESCALATING, Dropped.SUPERSEDED, now_ms, before_round=self.alert.round)
        self._drop(_HELD_ONLY, Dropped.SUPERSEDED, now_ms)
        self._drop_withdrawn(now_ms)
        decision = decide(self.alert, self.attempts.values(), self.copy, now_ms, down)
        if isinstance(decision, Notify):
            self._skip(decision.skipped, now_ms)
            self._plan_alert(decision.planned, now_ms)
            self._note_notified(decision.planned, now_ms)
            return decision
        if isinstance(decision, WaitUntil):
            return decision.at_ms
        if isinstance(decision, Exhausted):
            self._skip(decision.skipped, now_ms)
            self.apply(GaveUp(decision.reason.value), now_ms)
            for channel in self._open_to(OPERATOR, self.copy.policy.exhausted_channels):
                self._plan(Purpose.EXHAUSTED, self.alert.round, 0, OPERATOR, channel, now_ms)
        return None

    def _note_notified(self, planned: Sequence[PlannedMessage], now_ms: int) -> None:
        first = planned[0]
        detail: Detail = {
            "round": first.round,
            "step": first.step,
            "messages": len(planned),
            "contacts": len({plan.contact_id for plan in planned}),
            "fallback": all(plan.fallback for plan in planned),
        }
        self.audit.append(Audit(self.alert.version, now_ms, SYSTEM, "notified", None, detail))

    def _skip(self, skipped: Iterable[Skipped], now_ms: int) -> None:
        for skip in skipped:
            detail: Detail = {
                "round": skip.round,
                "step": skip.step,
                "contact_id": skip.contact_id,
                "reason": skip.reason.value,
            }
            self.audit.append(Audit(self.alert.version, now_ms, SYSTEM, "skipped", None, detail))

    # --- acknowledged

    def _silent_ms(self, silence_s: float) -> int:
        return (self.alert.heard_ms or self.alert.acknowledged_ms or 0) + int(silence_s * 1000)

    def _remind(self, now_ms: int) -> int:
        """Remind the acknowledger when it is time; when that is next."""
        heard_ms = self._silent_ms(0)
        due_ms = self._silent_ms(self.copy.policy.ack_silence_s * 2 / 3)
        reminders = [a for a in self.attempts.values() if a.purpose is Purpose.REMINDER]
        if any(a.created_ms >= heard_ms and a.round == self.alert.round for a in reminders):
            return _NEVER_MS
        if now_ms < due_ms:
            return due_ms
        number = max((a.step for a in reminders if a.round == self.alert.round), default=-1) + 1
        whom = self._acknowledger()
        for channel in self._open_to(whom, (Channel.SOCKET, Channel.PUSH, Channel.SMS)):
            self._plan(Purpose.REMINDER, self.alert.round, number, whom, channel, now_ms)
        return _NEVER_MS

    def _acknowledger(self) -> str:
        """The contact id of whoever is on it; dispatchers share one."""
        actor = self.alert.acknowledged_by
        return actor.id if actor is not None and actor.kind is ActorKind.CONTACT else DISPATCH

    def _tell_on_it(self, now_ms: int) -> None:
        by = self._acknowledger()
        others = dict.fromkeys(a.contact_id for a in self._told() if a.contact_id != by)
        messages = [(one, channel) for one in others for channel in self._open_to(one, (Channel.PUSH,))]
        self._plan_all(Purpose.ON_IT, self.alert.round, 0, messages, now_ms, beside=by)

    # --- the end

    def _tell_end(self, now_ms: int) -> None:
        """To everyone who was told, by the channels they were told by; a call is followed by an SMS."""
        purpose = Purpose.ALL_CLEAR if self.alert.state is State.CANCELLED else Purpose.CLOSED
        told = self._told()
        failed = (a for a in self.attempts.values() if a.status is Status.FAILED)
        unreachable = {a.contact_id for a in failed if a.channel is Channel.SMS and a.purpose in _ESCALATING}
        reached = {a.contact_id for a in told if a.channel is Channel.SMS}
        messages = []
        for attempt in told:
            channel = attempt.channel
            if channel is Channel.CALL and attempt.contact_id not in unreachable - reached:
                channel = Channel.SMS
            messages.append((attempt.contact_id, channel))
        self._plan_all(purpose, 0, 0, messages, now_ms)
        self._tell_end_otherwise(purpose, now_ms)

    def _tell_end_otherwise(self, purpose: Purpose, now_ms: int) -> None:
        """To whom nothing of it can be told by what they were told by: by what else they have, one by one."""
        ends: dict[str, list[Attempt]] = {}
        for attempt in self.attempts.values():
            if attempt.purpose is purpose:
                ends.setdefault(attempt.contact_id, []).append(attempt)
        for contact_id, mine in sorted(ends.items()):
            tried = {attempt.channel for attempt in mine}
            left = [c for c in _QUIET if c not in tried and self._can_reach(contact_id, c)]
            if left and all(attempt.status is Status.FAILED for attempt in mine):
                self._plan(purpose, 0, 0, contact_id, left[0], now_ms)

    def _told(self) -> list[Attempt]:
        told = [a for a in self.attempts.values() if a.purpose in _ESCALATING and was_told(a)]
        order = {contact.contact_id: place for place, contact in enumerate(self.copy.contacts)}
        last = len(order)
        return sorted(told, key=lambda a: (order.get(a.contact_id, last), a.contact_id, a.channel.value))

    # --- small parts

    def _plan(
        self, purpose: Purpose, round_: int, step: int, contact_id: str, channel: Channel, now_ms: int
    ) -> None:
        self._plan_all(purpose, round_, step, ((contact_id, channel),), now_ms)

    def _plan_all(
        self,
        purpose: Purpose,
        round_: int,
        step: int,
        messages: Iterable[tuple[str, Channel]],
        now_ms: int,
        beside: str | None = None,
    ) -> None:
        """Plan messages (contact, channel) of one purpose, round and step: one to each address of a channel,
        and none that is planned already. ``beside``: a contact whose devices are left out.
        """
        alert, place = self.alert, (purpose, round_, step)
        same = [a for a in self.attempts.values() if (a.purpose, a.round, a.step) == place]
        # By what it says and not by its id: an alert that came under this one brought ids of its own.
        known = {(a.contact_id, a.channel) for a in same}
        written: WrittenAddresses | None = None
        for contact_id, channel in messages:
            if (contact_id, channel) in known:
                continue
            if written is None:
                written = WrittenAddresses(self.copy, same)
                if beside is not None:
                    written.add(beside, Channel.PUSH)
            if written.covers(contact_id, channel):
                continue
            others = written.beside(contact_id, channel)
            key = (*place, contact_id, channel)
            self.put(planned_attempt(alert.alert_id, alert.tenant, *key, now_ms, others))
            known.add((contact_id, channel))
            written.add(contact_id, channel)

    def _plan_alert(self, planned: Sequence[PlannedMessage], now_ms: int) -> None:
        """Plan what an escalation has decided, step by step."""
        steps: dict[tuple[int, int], list[tuple[str, Channel]]] = {}
        for one in planned:
            steps.setdefault((one.round, one.step), []).append((one.contact_id, one.channel))
        for (round_, step), messages in steps.items():
            self._plan_all(Purpose.ALERT, round_, step, messages, now_ms)

    def _open_to(self, contact_id: str, channels: Iterable[Channel]) -> list[Channel]:
        contact = next((c for c in self.copy.contacts if c.contact_id == contact_id), None)
        return [c for c in channels if contact is not None and address_of(contact, c)]

    def _can_reach(self, contact_id: str, channel: Channel) -> bool:
        """Whether the end of the alert can be sent so, also to a former contact."""
        contact = addressee(self.copy, contact_id, channel)
        return contact is not None and address_of(contact, channel)

    def _drop_withdrawn(self, now_ms: int) -> None:
        for attempt in list(self.attempts.values()):
            if is_withdrawn(attempt, self.copy):
                self.put(moved_on(attempt, Status.FAILED, now_ms, reason=Dropped.CONTACT_CHANGED.value))

    def _drop(
        self, purposes: frozenset[Purpose], reason: Dropped, now_ms: int, before_round: int | None = None
    ) -> None:
        """Nobody is to be told this any more. What is being sent at this moment goes on."""
        for attempt in list(self.attempts.values()):
            if attempt.purpose not in purposes or attempt.status not in (Status.DUE, Status.UNSURE):
                continue
            if before_round is None or attempt.round < before_round:
                self.put(moved_on(attempt, Status.FAILED, now_ms, reason=reason.value))

    def _note(self, actor: Actor, what: str, done: Transition, detail: Detail, now_ms: int) -> None:
        arrow = None if done.arrow is None else done.arrow.value
        self.audit.append(Audit(done.alert.version, now_ms, actor, what, arrow, detail))


_NEVER_MS: Final = 1 << 62
_ESCALATING: Final = frozenset({Purpose.ALERT, Purpose.EXHAUSTED})
_HELD_ONLY: Final = frozenset({Purpose.REMINDER, Purpose.ON_IT})
_QUIET: Final = (Channel.PUSH, Channel.SMS, Channel.EMAIL)
"""Ways by which an end may be told to whom it was not meant to go by them: nobody is called for it."""
_OPEN_ONLY: Final = _ESCALATING | _HELD_ONLY


def _actor_of(event: Event, alert: Alert) -> Actor:
    if isinstance(event, Pressed):
        if event.press.by is not None:
            return event.press.by
        by_timer = event.press.source == "timer"
        return Actor(ActorKind.SYSTEM, "timer") if by_timer else Actor(ActorKind.DRIVER, alert.driver)
    if isinstance(event, CountdownOver | AckSilent | Reached | GaveUp | ContactsFound):
        return SYSTEM
    return event.actor


def _ids(copy: PolicyCopy) -> set[str]:
    return {contact.contact_id for contact in copy.contacts}


def _origin(copy: PolicyCopy) -> Detail:
    """What an audit line says of a snapshot that is not from Postgres."""
    if copy.source is Source.POSTGRES:
        return {}
    return {"contacts_from": copy.source.value, "copy_age_ms": copy.age_ms}


def _noted(press: Press, place: Place | None) -> str:
    """What was dropped of ``press``, its place too where ``place`` counts for the alert that it joined."""
    pressed = location.of_press(press)
    why = None
    if pressed is not None and pressed.source == location.PlaceSource.PRESS:
        why = location.set_aside(pressed, place)
    return ", ".join(press.noted if why is None else (*press.noted, why.value))


def _detail(event: Event, place: Place | None) -> Detail:
    """What an audit line says of an event. No message and no coordinate: the alert and its presses have them.

    ``place``: that of the alert after it.
    """
    match event:
        case Pressed(press=p):
            said: Detail = {"sos_id": str(p.sos_id), "kind": p.kind.value, "source": p.source}
            if place is not None and place.source:
                said["place_from"] = place.source
            return said | {"pressed_ms": p.pressed_ms, "silent": p.silent, "noted": _noted(p, place)}
        case CancelAsked(pin=pin):
            return {"pin": pin.value}
        case Acknowledged(how=how):
            return {"how": how}
        case Resolved(note=note) | FalseAlarm(note=note) | Noted(text=note):
            return {"note": note[:NOTE_CHARS]}
        case ResponderAdded(responder=r):
            return {"responder": r.actor.id, "eta_s": r.eta_s}
        case Reached(contact_id=contact_id):
            return {"contact_id": contact_id}
        case GaveUp(reason=reason):
            return {"reason": reason}
        case _:
            return {}
