"""Whether Postgres has failed statements about alerts lately: what this process says of it to operators."""

from collections import deque
from collections.abc import Callable
from typing import Final

from realtime.metrics import instruments
from realtime.store.alerts.health import StoreFaultBeat

RECENT_MS: Final = 300_000


def _counted() -> float:
    return instruments.ALERT_STORE_FAULTS.value


class StoreFaults:
    """Reads the counter of failed statements; `recent` whenever the state of the process is shown.

    ``count``: the counter's value. ``now_ms``: the wall clock.
    """

    def __init__(self, now_ms: Callable[[], int], count: Callable[[], float] = _counted) -> None:
        self._now_ms: Final = now_ms
        self._count: Final = count
        self._last_count = count()
        self._increases: Final[deque[tuple[int, int]]] = deque()

    def recent(self) -> StoreFaultBeat:
        """How many statements failed in the last five minutes, and when the last was seen."""
        now_ms, counted = self._now_ms(), self._count()
        if counted > self._last_count:
            self._increases.append((now_ms, round(counted - self._last_count)))
            self._last_count = counted
        while self._increases and now_ms - self._increases[0][0] > RECENT_MS:
            self._increases.popleft()
        total = sum(number for _, number in self._increases)
        return StoreFaultBeat(total, self._increases[-1][0] if self._increases else None)

    def warnings(self) -> dict[str, str]:
        """For ``/readyz``: a process that keeps SOS in its journal stays ready."""
        found = self.recent()
        if not found.recent:
            return {}
        return {
            "alert_store": f"postgres failed {found.recent} statements about alerts in five minutes; "
            "the journal keeps and delivers alerts meanwhile"
        }
