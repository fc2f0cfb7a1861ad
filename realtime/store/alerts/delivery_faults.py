"""Which alerts of Postgres cannot be escalated or sent from there although Postgres answers. Pure.

A statement that fails again and again (a damaged page, a lost right, a value that cannot be decoded) keeps an
alert from its contacts as surely as an unavailable Postgres. A process that delivers notes here what fails.
What has failed for `PERSISTENT_S` is delivered from the journal instead
(`realtime.alerting.failover.takeover`). A row that another session keeps locked is passed over without an
error, and is not noted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

PERSISTENT_S: Final = 4.0
"""Shorter than this is a lock or a restart; the same wait as for an unavailable Postgres."""
REMEMBERED_S: Final = 45.0
"""How long after its last failure an alert is left to the journal: longer than the lease of a message."""
GAP_S: Final = 10.0
"""Failures further apart than this are not one fault: a failing statement is tried again within seconds."""
PAUSE_S: Final = 2.0
"""How long an alert whose claim has failed is left out of claims."""
MAX_ALERTS: Final = 1_000
"""Beyond it the alerts are not told apart: all count as failing."""


class DeliveryStage(Enum):
    """What is done with an alert in Postgres."""

    ESCALATE = "escalate"
    CLAIM = "claim"
    RECORD = "record"
    FIRE = "fire"
    """Of a timer."""


@dataclass(slots=True)
class _Streak:
    first_s: float
    last_s: float


class DeliveryFaults:
    """What failed, by alert, and the claims, which are of all alerts. ``clock``: monotonic seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        persistent_s: float = PERSISTENT_S,
        remembered_s: float = REMEMBERED_S,
    ) -> None:
        self._clock: Final = clock
        self._remembered_s: Final = remembered_s
        self._persistent_s: Final = persistent_s
        self._claims: _Streak | None = None
        self._alerts: dict[tuple[UUID, DeliveryStage], _Streak] = {}

    # --- what a process that delivers notes

    def claims_failed(self) -> None:
        """A claim of due messages failed."""
        self._claims = self._longer(self._claims)

    def claims_worked(self, claimed: int) -> None:
        """A claim worked. One that found nothing due proves nothing: the failing statement changed no row."""
        if claimed:
            self._claims = None

    def alert_failed(self, alert_id: UUID, work: DeliveryStage) -> None:
        """``work`` on an alert (or a timer) failed."""
        self._forget_old()
        key = (alert_id, work)
        if key not in self._alerts and len(self._alerts) >= MAX_ALERTS:
            self.claims_failed()
            return
        self._alerts[key] = self._longer(self._alerts.get(key))

    def alert_worked(self, alert_id: UUID, work: DeliveryStage) -> None:
        """``work`` on an alert (or a timer) was done: this says nothing about other work on it."""
        self._alerts.pop((alert_id, work), None)

    def reset(self) -> None:
        """Postgres was unavailable and is back: what failed before says nothing."""
        self._claims = None
        self._alerts.clear()

    # --- what follows

    @property
    def paused(self) -> list[UUID]:
        """Alerts whose claim has just failed: they are not tried with every claim of the others."""
        now_s = self._clock()
        return [
            alert_id
            for (alert_id, work), streak in self._alerts.items()
            if work is DeliveryStage.CLAIM and now_s - streak.last_s < PAUSE_S
        ]

    @property
    def all_fail(self) -> bool:
        """Whether nothing is sent from Postgres."""
        return self._is_persistent(self._claims)

    @property
    def failing(self) -> list[UUID]:
        """The alerts that cannot be escalated, apart from `all_fail`."""
        found = (alert_id for (alert_id, _), streak in self._alerts.items() if self._is_persistent(streak))
        return list(dict.fromkeys(found))

    def fails(self, alert_id: UUID) -> bool:
        """Whether this alert is delivered by a journal."""
        return self.all_fail or any(
            self._is_persistent(self._alerts.get((alert_id, work))) for work in DeliveryStage
        )

    def _longer(self, streak: _Streak | None) -> _Streak:
        now_s = self._clock()
        is_over = streak is not None and not self._is_persistent(streak) and now_s - streak.last_s > GAP_S
        if streak is None or is_over or now_s - streak.last_s > self._remembered_s:
            return _Streak(now_s, now_s)
        return _Streak(streak.first_s, now_s)

    def _is_persistent(self, streak: _Streak | None) -> bool:
        if streak is None or self._clock() - streak.last_s > self._remembered_s:
            return False
        return streak.last_s - streak.first_s >= self._persistent_s

    def _forget_old(self) -> None:
        now_s = self._clock()
        if len(self._alerts) >= MAX_ALERTS:
            self._alerts = {k: s for k, s in self._alerts.items() if now_s - s.last_s <= self._remembered_s}
