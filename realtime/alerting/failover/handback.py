"""Alerts that whoever delivers from Postgres leaves to a journal once Postgres is back: what that journal's
process has sent is not in Postgres yet, and would be sent again. Pure but for the clock.
"""

from collections.abc import Callable, Set
from typing import Final
from uuid import UUID

PRESSED_S: Final = 5.0
"""While no process acts: its press waits for an import, or the process that took it is gone."""


class Handback:
    """`left` each time before something is claimed. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._since_s: dict[UUID, float] = {}

    def left(self, acted: Set[UUID], pressed: Set[UUID], *, is_stored: bool) -> list[UUID]:
        """The alerts of journals that are neither escalated nor sent from Postgres.

        ``acted``: a process renews its lease and acts on them; they are left until it has imported them,
        since only it knows what was sent. ``pressed``: they wait, for an import or because their process is
        gone; they are left for `PRESSED_S` of a Postgres that answers (``is_stored``).
        """
        now_s = self._clock()
        self._since_s = {
            alert_id: self._since_s.get(alert_id, now_s) if is_stored else now_s
            for alert_id in acted | pressed
        }
        return [
            alert_id
            for alert_id, since_s in self._since_s.items()
            if alert_id in acted or now_s - since_s < PRESSED_S
        ]
