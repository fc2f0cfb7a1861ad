"""The accounting: what was acknowledged against what the server tells afterwards, seq by seq. Pure.

Locust's own counters count requests; a lost point is no request, and ``call()`` of its Socket.IO user counts
twice. Here every journey's log is kept as it was sent, and each claim is judged against it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from realtime.client.views import JourneyView, LatestView

WirePoint = Sequence[Any]
SAME_FIELDS = 4
"""seq, t_ms, lat and lon come back as they were sent; the rest is stored with less precision."""


@dataclass(slots=True)
class Log:
    """A journey as its driver sent it: ``sent`` by seq, acknowledged up to ``through``."""

    driver: str
    sent: dict[int, WirePoint] = field(default_factory=dict)
    voided: set[int] = field(default_factory=set)
    through: int = 0

    @property
    def newest(self) -> int:
        """The last acknowledged seq that holds a position."""
        return max((seq for seq in self.sent if seq <= self.through and seq not in self.voided), default=0)


class Ledger:
    """The logs of all journeys, by the server's journey id."""

    def __init__(self) -> None:
        self.logs: dict[str, Log] = {}

    def sent(self, journey_id: str, driver: str, points: Iterable[WirePoint]) -> None:
        """``driver`` sends ``points``, for the first time or again."""
        log = self.logs.setdefault(journey_id, Log(driver))
        for point in points:
            log.sent[point[0]] = tuple(point)

    def acknowledged(self, journey_id: str, through: int, voided: Iterable[tuple[int, str]] = ()) -> None:
        """The server says that it has 1…``through``, those in ``voided`` without a position."""
        if (log := self.logs.get(journey_id)) is not None:
            log.through = max(log.through, through)
            log.voided.update(seq for seq, _ in voided)

    @property
    def points(self) -> int:
        """Acknowledged points."""
        return sum(log.through for log in self.logs.values())

    def judge_history(self, journey_id: str, stored: Sequence[WirePoint]) -> list[str]:
        """What is wrong with a journey's history: one line a fault, none when all is well."""
        log = self.logs[journey_id]
        faults = []
        by_seq = {point[0]: tuple(point) for point in stored}
        if missing := [seq for seq in range(1, log.through + 1) if seq not in by_seq]:
            faults.append(f"{len(missing)} acknowledged but missing: {_some(missing)}")
        if len(by_seq) != len(stored):
            faults.append(f"{len(stored) - len(by_seq)} stored more than once")
        if [point[0] for point in stored] != sorted(by_seq):
            faults.append("not in seq order")
        if altered := [seq for seq, point in by_seq.items() if not _same(log, seq, point)]:
            faults.append(f"{len(altered)} not as sent: {_some(altered)}")
        return [f"journey {journey_id}: {fault}" for fault in faults]

    def judge_journey_view(self, journey_id: str, view: JourneyView) -> list[str]:
        """What a viewer of the journey saw that it should not have, or did not see."""
        faults = []
        if view.gaps:
            faults.append(f"gaps {_some(view.gaps)}")
        if view.duplicates:
            faults.append(f"doubled {_some(view.duplicates)}")
        if view.early:
            faults.append(f"{view.early} events before the answer to watch")
        if view.through < self.logs[journey_id].through:
            faults.append(f"saw up to {view.through} of {self.logs[journey_id].through}")
        return [f"viewer of journey {journey_id}: {fault}" for fault in faults]

    def judge_latest_view(self, name: str, view: LatestView) -> list[str]:
        """The same of a viewer of a vendor: dots that moved back or are not where they should be."""
        faults = []
        if view.went_back:
            faults.append(f"{view.went_back} positions older than the one before")
        if view.early:
            faults.append(f"{view.early} events before the answer to watch")
        if behind := [log.driver for log in self.logs.values() if not _is_shown(log, view)]:
            faults.append(f"{len(behind)} drivers not at their last position: {_some(behind)}")
        return [f"viewer of {name}: {fault}" for fault in faults]


def _same(log: Log, seq: int, stored: WirePoint) -> bool:
    """A seq whose point was not sent, or was refused, must hold no position."""
    sent = log.sent.get(seq)
    if sent is None or seq in log.voided:
        return all(value is None for value in stored[1:SAME_FIELDS])
    return tuple(stored[:SAME_FIELDS]) == tuple(sent[:SAME_FIELDS])


def _is_shown(log: Log, view: LatestView) -> bool:
    shown = view.positions.get(log.driver)
    return not log.newest or (shown is not None and shown[1][0] >= log.newest)


def _some(values: Sequence[object], most: int = 5) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more
