"""Which alerts of Postgres cannot be escalated or sent from there although Postgres answers. Pure.

A statement that fails again and again (a damaged page, a lost right, a lock that is never released) keeps an
alert from its contacts as surely as an unavailable Postgres. A process that delivers notes here what fails.
What has failed for `PERSISTENT_S` is delivered from the journal instead (`realtime.safety.shadow`).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

PERSISTENT_S: Final = 4.0
"""Shorter than this is a lock or a restart; the same wait as for an unavailable Postgres."""
REMEMBERED_S: Final = 45.0
"""How long after its last failure an alert is left to the journal: longer than the lease of a message."""
MAX_ALERTS: Final = 1_000
"""Beyond it the alerts are not told apart: all count as failing."""


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
        self._alerts: dict[UUID, _Streak] = {}

    # --- what a process that delivers notes

    def claims_failed(self) -> None:
        """A claim of due messages failed."""
        self._claims = self._longer(self._claims)

    def claims_worked(self, claimed: int) -> None:
        """A claim worked. One that found nothing due proves nothing: the failing statement changed no row."""
        if claimed:
            self._claims = None

    def alert_failed(self, alert_id: UUID) -> None:
        """An alert could not be escalated, or what became of its message could not be recorded."""
        self._forget_old()
        if alert_id not in self._alerts and len(self._alerts) >= MAX_ALERTS:
            self.claims_failed()
            return
        self._alerts[alert_id] = self._longer(self._alerts.get(alert_id))

    def alert_worked(self, alert_id: UUID) -> None:
        """An alert was escalated."""
        self._alerts.pop(alert_id, None)

    def reset(self) -> None:
        """Postgres was unavailable and is back: what failed before says nothing."""
        self._claims = None
        self._alerts.clear()

    # --- what follows

    @property
    def all_fail(self) -> bool:
        """Whether nothing is sent from Postgres."""
        return self._is_persistent(self._claims)

    @property
    def failing(self) -> list[UUID]:
        """The alerts that cannot be escalated, apart from `all_fail`."""
        return [alert_id for alert_id, streak in self._alerts.items() if self._is_persistent(streak)]

    def fails(self, alert_id: UUID) -> bool:
        """Whether this alert is delivered by a journal."""
        return self.all_fail or self._is_persistent(self._alerts.get(alert_id))

    def _longer(self, streak: _Streak | None) -> _Streak:
        now_s = self._clock()
        if streak is None or now_s - streak.last_s > self._remembered_s:
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
