"""All of one alert together, and what an event, the clock or a provider's word changes in it. Pure.

Both ledgers are this module around a storage: they load a `Case`, call one of these functions, and keep the
`Changes`. Nothing else decides.
"""

from collections.abc import Callable
from uuid import UUID

from msgspec import Struct

from alerts.alert import Actor, Alert, Event, Press
from alerts.attempt import Attempt, Channel, Outcome, StatusReport
from alerts.policy import Circumstances, PolicyCopy


class Audit(Struct, frozen=True):
    """One line of an alert's history. ``version`` is the alert's after it; ``detail`` holds no secret."""

    version: int
    at_ms: int
    actor: Actor
    what: str
    """The event's tag, or ``refused``."""
    arrow: str | None
    """The letter of the transition."""
    detail: dict[str, str | int | float | bool | None]


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
    """When `advance` is to be called next at the latest; None: never, unless something happens."""
    refused: str | None = None


Jitter = Callable[[], float]
"""Uniform in [0, 1): the only randomness, passed in."""


def opened(press: Press, circumstances: Circumstances, now_ms: int) -> Changes:
    """A new case of ``press``, its first attempts included (none while it counts down)."""
    raise NotImplementedError


def applied(case: Case, event: Event, now_ms: int) -> Changes:
    """``event`` happened. Attempts that it calls for (an all-clear, a new round) are among the changes."""
    raise NotImplementedError


def advanced(case: Case, now_ms: int, down: frozenset[Channel] = frozenset()) -> Changes:
    """Time has passed, or an attempt has moved: everything that is due by ``now_ms``. ``down``: channels whose
    provider's breaker is open."""
    raise NotImplementedError


def settled(case: Case, attempt_id: UUID, outcome: Outcome, now_ms: int, jitter: Jitter) -> Changes:
    """A claimed attempt came to ``outcome``: it moves, a retry or fallback may follow, the alert may be reached."""
    raise NotImplementedError


def reported(case: Case, attempt_id: UUID, report: StatusReport, now_ms: int) -> Changes:
    """A callback or look-up says more of a sent attempt. Never moves it back; late and repeated ones change nothing."""
    raise NotImplementedError


def merged(ours: Case | None, theirs: Case, now_ms: int) -> Changes:
    """``theirs``, kept by a journal while the storage was away, brought into ``ours``: the further of each attempt,
    the answer if there was one, no message doubled. Commutative and idempotent."""
    raise NotImplementedError
