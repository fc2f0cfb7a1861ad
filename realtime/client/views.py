"""What a viewer knows of a feed: snapshots and events merged, and every breach of the promises written down.

Pure. A journey feed promises every point once and in order; the conflated feeds promise the newest of each
driver.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

WirePoint = Sequence[Any]
Entry = Sequence[Any]
"""``[driver, journey, point]``."""


@dataclass(slots=True)
class JourneyView:
    """One journey's points; ``gaps``, ``duplicates`` and ``early`` stay empty on a sound server.

    ``gaps`` are ``(from_seq, to_seq)``; ``early`` counts events that came before the answer to ``watch``.
    A ``live_only`` view, of a share that shows where the driver is now, begins anew with each snapshot.
    """

    request: dict[str, Any]
    through: int = 0
    keeps: bool = True
    live_only: bool = False
    points: list[list[Any]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    states: list[dict[str, Any]] = field(default_factory=list)
    presence: dict[str, Any] = field(default_factory=dict)
    early: int = 0
    snapshots: int = 0
    resets: int = 0
    received: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether every point came once and in order."""
        return not (self.gaps or self.duplicates or self.early)

    def watch_request(self) -> dict[str, Any]:
        """What to watch with: only what is missing."""
        return dict(self.request) if self.live_only else {**self.request, "since_seq": self.through}

    def take_snapshot(self, answer: Mapping[str, Any]) -> None:
        """The answer to ``watch``: the points after ``through`` in order; whether it is over."""
        self.snapshots += 1
        snapshot = answer.get("snapshot") or {}
        self.presence.update(snapshot.get("presence") or {})
        entries = snapshot.get("positions") or ()
        if self.live_only:
            self.through = entries[0][2][0] - 1 if entries else answer.get("through", self.through)
        self.take_positions(entries)
        journey = answer.get("journey") or {}
        if journey.get("expired") or journey.get("ended_ms") is not None:
            self.take_journey({"state": "expired" if journey.get("expired") else "ended", **journey})

    def take_positions(self, entries: Sequence[Entry]) -> None:
        """Points of a snapshot or an event."""
        for _, _, point in entries:
            seq = point[0]
            self.received += 1
            if seq <= self.through:
                self.duplicates.append(seq)
                continue
            if seq > self.through + 1:
                self.gaps.append((self.through + 1, seq - 1))
            self.through = seq
            if self.keeps:
                self.points.append(list(point))

    def take_journey(self, change: Mapping[str, Any]) -> None:
        """``started``, ``ended``, ``expired``."""
        self.states.append(dict(change))

    @property
    def is_ended(self) -> bool:
        """Whether the journey was said to be over."""
        return any(change.get("state") in {"ended", "expired"} for change in self.states)


@dataclass(slots=True)
class LatestView:
    """The newest position of each driver of a vendor, or of one driver.

    ``went_back`` counts positions older (by seq within one journey) than the one they replaced in an event.
    """

    request: dict[str, Any]
    positions: dict[str, tuple[str, WirePoint]] = field(default_factory=dict)
    presence: dict[str, dict[str, Any]] = field(default_factory=dict)
    journeys: dict[str, dict[str, Any]] = field(default_factory=dict)
    went_back: int = 0
    early: int = 0
    snapshots: int = 0
    resets: int = 0
    received: int = 0

    def watch_request(self) -> dict[str, Any]:
        """What to watch with."""
        return dict(self.request)

    def take_snapshot(self, answer: Mapping[str, Any]) -> None:
        """The answer to ``watch``: what is true now, replacing all that was known."""
        self.snapshots += 1
        snapshot = answer.get("snapshot") or {}
        self.positions = {
            driver: (journey, point) for driver, journey, point in snapshot.get("positions") or ()
        }
        self.presence = {driver: dict(state) for driver, state in (snapshot.get("presence") or {}).items()}

    def take_positions(self, entries: Sequence[Entry]) -> None:
        """Newest positions."""
        for driver, journey, point in entries:
            self.received += 1
            before = self.positions.get(driver)
            if before is not None and before[0] == journey and before[1][0] > point[0]:
                self.went_back += 1
            self.positions[driver] = (journey, point)

    def take_journey(self, change: Mapping[str, Any]) -> None:
        """``started``, ``ended``, ``expired`` of some journey."""
        self.journeys[str(change.get("journey"))] = dict(change)


View = JourneyView | LatestView


def view_of(feed: Mapping[str, Any], *, keeps: bool, live_only: bool) -> View:
    """The view for a feed as ``watch`` takes it: ``{vendor}``, ``{driver}`` or ``{journey, since_seq?}``."""
    if "journey" in feed:
        request, since_seq = {"journey": feed["journey"]}, feed.get("since_seq") or 0
        return JourneyView(request, through=since_seq, keeps=keeps, live_only=live_only)
    return LatestView(dict(feed))
