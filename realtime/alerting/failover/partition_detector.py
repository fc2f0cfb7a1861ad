"""For how long a process has seen neither Postgres nor the other processes, and what follows for it."""

from collections.abc import Callable
from typing import Final

from alerts.journal.peer_visibility import Unseen
from realtime.alerting.failover.election import ALONE_S, lateness_s

SETTLED_S: Final = 3.0
"""Once somebody is seen again: until each has shown what it did, looking round every second."""


class PartitionDetector:
    """`look` each second. ``clock``: seconds that go on while the process is frozen."""

    def __init__(self, me: str, *, delivers: bool, clock: Callable[[], float]) -> None:
        self._late_s: Final = lateness_s(me, delivers)
        self._clock: Final = clock
        self._since_s: float | None = None
        self._back_s: float | None = None

    def look(self, *, sees: bool) -> None:
        """``sees``: Redis or Postgres answers."""
        now_s = self._clock()
        if not sees:
            self._since_s = now_s if self._since_s is None else self._since_s
            self._back_s = None
        elif self._back_s is None:
            self._back_s = now_s
        elif now_s - self._back_s >= SETTLED_S:
            self._since_s = None

    @property
    def stands_in(self) -> bool:
        """Whether it acts on all that it knows."""
        return self._back_s is None and self._for_s >= ALONE_S + self._late_s

    @property
    def unseen(self) -> Unseen | None:
        """What its ledger has to reckon with: others stand in as well."""
        for_s = self._for_s
        return Unseen(int(for_s * 1000), int(self._late_s * 1000)) if for_s >= ALONE_S else None

    @property
    def _for_s(self) -> float:
        return 0.0 if self._since_s is None else self._clock() - self._since_s
