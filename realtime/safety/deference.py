"""Alerts that whoever delivers from Postgres leaves to a journal once Postgres is back: what that journal's
process has sent is not in Postgres yet, and would be sent again. Pure but for the clock.
"""

from collections.abc import Callable, Set
from typing import Final
from uuid import UUID

ACTED_S: Final = 600.0
"""While a process renews its lease and acts on it: contacts are notified by that process, and an import that
Postgres rejects is tried again (`realtime.safety.importer.LONGEST_PAUSE_S`). This bound ends what a
defect would hold for ever.
"""
PRESSED_S: Final = 5.0
"""While no process acts: its press waits for an import, or the process that took it is gone."""


class Deference:
    """`left` each time before something is claimed. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock: Final = clock
        self._since_s: dict[UUID, float] = {}

    def left(self, acted: Set[UUID], pressed: Set[UUID], *, is_stored: bool) -> list[UUID]:
        """Of what waits in journals what is not to be touched. ``acted``: some process acts on it;
        ``pressed``: it only waits. The time runs while Postgres is there, ``is_stored``.
        """
        now_s = self._clock()
        self._since_s = {
            alert_id: self._since_s.get(alert_id, now_s) if is_stored else now_s
            for alert_id in acted | pressed
        }
        return [
            alert_id
            for alert_id, since_s in self._since_s.items()
            if now_s - since_s < (ACTED_S if alert_id in acted else PRESSED_S)
        ]
