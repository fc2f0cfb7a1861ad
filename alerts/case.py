"""All of one alert together, and what an event, the clock or a provider's word changes in it. Pure.

Both ledgers are this module around a storage: they load a `Case`, call one of these functions, and keep the
`Changes`. Nothing else decides.
"""

from collections.abc import Callable
from uuid import UUID

from msgspec import UNSET, Struct
from msgspec.structs import replace

from alerts.alert import opened_alert
from alerts.arrows import Refusal
from alerts.attempt import (
    NO_KEY,
    Accepted,
    Attempt,
    Channel,
    Outcome,
    Purpose,
    Status,
    StatusReport,
    moved_on,
    needs_key,
    rank,
)
from alerts.completing import succeeding
from alerts.course import Audit, Course
from alerts.events import CaseEvent, Moved, Pressed, Reached
from alerts.location import is_worth_following
from alerts.merge import both
from alerts.policy import Circumstances, PolicyCopy, copy_of
from alerts.retry import settle
from alerts.values import OPEN, Alert, Place, Press, State, worse

__all__ = [
    "Audit", "Case", "Changes", "Jitter", "advanced", "answered", "applied", "completed", "followed",
    "has_news", "joined", "merged", "opened", "reported", "settled",
]  # fmt: skip


class Case(Struct, frozen=True):
    """An alert, what it took along, and every attempt made for it."""

    alert: Alert
    copy: PolicyCopy
    attempts: dict[UUID, Attempt]


class Changes(Struct, frozen=True):
    """What a step did: ``case`` is how it stands now; the rest is what is to be kept beside it."""

    case: Case
    touched: tuple[Attempt, ...] = ()
    """Attempts that are new or have moved."""
    audit: tuple[Audit, ...] = ()
    next_ms: int | None = None
    """When `advanced` is to be called next at the latest; None: never, unless something happens."""
    refused: str | None = None


Jitter = Callable[[], float]
"""Uniform in [0, 1): the only randomness, passed in."""
Down = frozenset[Channel]
"""Channels whose provider's breaker is open."""


def opened(press: Press, circumstances: Circumstances, now_ms: int) -> Changes:
    """A new case of ``press``, its first attempts included (none while it counts down)."""
    copy = copy_of(circumstances, press.kind)
    first = opened_alert(press, copy.policy.countdown_s, now_ms)
    course = Course(first.alert, copy, {})
    course.note_raised(press, first, now_ms)
    return _done(course, now_ms)


def applied(case: Case, event: CaseEvent, now_ms: int) -> Changes:
    """``event`` happened. Attempts that it calls for (an all-clear, a new round) are among the changes.

    A press comes by `joined` instead where its circumstances are known.
    """
    if isinstance(event, Moved):
        return followed(case, event.place, now_ms)
    course = _course(case)
    refused = course.apply(event, now_ms)
    return replace(_done(course, now_ms), refused=refused)


def joined(case: Case, press: Press, circumstances: Circumstances, now_ms: int) -> Changes:
    """``press`` joins an open case. A worse kind brings its own policy and the contacts of today along."""
    alert = case.alert
    if worse(press.kind, alert.kind) and press.drill is alert.drill and press.sos_id != alert.sos_id:
        case = replace(case, copy=succeeding(copy_of(circumstances, press.kind), case.copy))
    course = _course(case)
    course.complete(circumstances, now_ms, frozenset())
    refused = course.apply(Pressed(press), now_ms)
    return replace(_done(course, now_ms), refused=refused)


def completed(case: Case, rows: Circumstances, now_ms: int, down: Down = frozenset()) -> Changes:
    """Postgres' ``rows`` take the place of what a case has from a local copy. Whom that did not know is
    notified now, in addition to what was sent. A case that is complete, and ``rows`` that are a local copy's
    themselves, change nothing.
    """
    course = _course(case)
    course.complete(rows, now_ms, down)
    return _done(course, now_ms, down)


def followed(case: Case, place: Place, now_ms: int) -> Changes:
    """The driver was seen at ``place``: an open alert follows there, if that counts (`alerts.location`)."""
    alert = case.alert
    if alert.state not in OPEN:
        return Changes(case, refused=Refusal.CLOSED.value)
    if not is_worth_following(alert.place, place):
        return Changes(case, refused=Refusal.ALREADY.value)
    journey_id, veil = alert.journey_id, alert.veil
    if veil is None:
        journey_id = journey_id or place.journey_id
    elif veil.place is UNSET:
        veil = replace(veil, place=alert.place)
    moved = replace(alert, place=place, journey_id=journey_id, veil=veil, version=alert.version + 1)
    return _done(_course(replace(case, alert=moved)), now_ms)


def advanced(case: Case, now_ms: int, down: Down = frozenset()) -> Changes:
    """Time has passed, or an attempt has moved: everything that is due by ``now_ms``."""
    return _done(_course(case), now_ms, down)


def settled(
    case: Case, attempt_id: UUID, outcome: Outcome, now_ms: int, jitter: Jitter, down: Down = frozenset()
) -> Changes:
    """A claimed attempt came to ``outcome``: it moves, a retry or fallback may follow.

    Raises KeyError when the case has no such attempt.
    """
    before = case.attempts[attempt_id]
    if isinstance(outcome, Accepted) and needs_key(before):
        outcome = replace(outcome, delivered=False)
    after, retry = settle(before, outcome, now_ms, jitter)
    course = _course(case)
    course.put(after)
    if retry is not None and retry.attempt_id not in case.attempts:
        course.put(retry)
    _reach(course, before, after, now_ms)
    return _done(course, now_ms, down)


def reported(
    case: Case, attempt_id: UUID, report: StatusReport, now_ms: int, down: Down = frozenset()
) -> Changes:
    """A callback or look-up says more of a sent attempt.

    A call that is over without a key has failed, however it was taken, so that what the step has next
    follows.

    Never moves it back; late and repeated ones change nothing. Raises KeyError when there is no such attempt.
    """
    before = case.attempts[attempt_id]
    status, reason = report.status, report.reason
    if status is Status.DELIVERED and needs_key(before):
        status, reason = Status.FAILED, NO_KEY
    after = moved_on(before, status, now_ms, said=report.provider_status, reason=reason)
    course = _course(case)
    course.put(after)
    _reach(course, before, after, now_ms)
    return _done(course, now_ms, down)


def answered(case: Case, attempt_id: UUID, now_ms: int) -> Changes:
    """The person acted on this message. Raises KeyError when the case has no such attempt."""
    before = case.attempts[attempt_id]
    after = moved_on(before, Status.ANSWERED, now_ms)
    course = _course(case)
    course.put(after)
    _reach(course, before, after, now_ms)
    return _done(course, now_ms)


def merged(ours: Case | None, theirs: Case, now_ms: int, rows: Circumstances | None = None) -> Changes:
    """``theirs``, kept by a journal while the storage was away, brought into ``ours``.

    Of each attempt the further counts, the answer if there was one, and no message is doubled. Two copies of
    one alert give the same whichever is ours, and bringing one in again changes nothing. When ``theirs`` was
    an alert of its own (another ``sos_id``) that belongs into ours, it comes under our alert's id.

    ``rows``: what Postgres knows of the driver, if that was read: see `completed`.
    """
    if ours is None:
        return advanced(theirs, now_ms) if rows is None else completed(theirs, rows, now_ms)
    alert, copy, attempts = both(
        (ours.alert, ours.copy, ours.attempts), (theirs.alert, theirs.copy, theirs.attempts), now_ms
    )
    course = Course(alert, copy, attempts, before=ours.attempts)
    if alert != ours.alert or course.touched():
        course.note_merged(theirs.alert, now_ms)
    if rows is not None:
        course.complete(rows, now_ms, frozenset())
    return _done(course, now_ms)


def has_news(theirs: Case, ours: Case, now_ms: int) -> bool:
    """Whether bringing ``theirs`` into ``ours``, the same alert, would change that.

    A drill and an SOS with one id are two alerts (`alerts.press_ids`).
    """
    if theirs.alert.drill is not ours.alert.drill:
        return True
    mine = (ours.alert, ours.copy, ours.attempts)
    return both(mine, (theirs.alert, theirs.copy, theirs.attempts), now_ms) != mine


def _course(case: Case) -> Course:
    return Course(case.alert, case.copy, case.attempts)


def _done(course: Course, now_ms: int, down: Down = frozenset()) -> Changes:
    next_ms = course.go_on(now_ms, down)
    case = Case(course.alert, course.copy, course.attempts)
    return Changes(case, course.touched(), tuple(course.audit), next_ms)


_TELLS = frozenset({Purpose.ALERT, Purpose.EXHAUSTED})


def _reach(course: Course, before: Attempt, after: Attempt, now_ms: int) -> None:
    """A message has arrived at a person's device, if it has: a webhook is none."""
    arrived = rank(before.status) < rank(Status.DELIVERED) <= rank(after.status)
    if not arrived or after.purpose not in _TELLS or after.channel is Channel.WEBHOOK:
        return
    if course.alert.reached_ms is None and course.alert.state in (State.ACTIVE, State.ACKNOWLEDGED):
        course.apply(Reached(after.contact_id), now_ms)
