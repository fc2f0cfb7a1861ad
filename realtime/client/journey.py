"""One journey's log on the app's side: points that the server does not have yet, and gaps. Pure."""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from realtime.protocol import MAX_SKIP

Fix = tuple[float | None, ...]
"""A point without its seq: ``(t_ms, lat, lon, …)``, trailing unknown values cut off."""


@dataclass(slots=True)
class Gap:
    """Points the app lost, declared to the server by ``skip``."""

    count: int
    reason: str


@dataclass(slots=True)
class DriverJourney:
    """``kept`` holds the seqs ``through`` + 1 … ``tip``; up to ``sent_to`` they may be on the server."""

    client_journey_id: str
    started_ms: int
    details: dict[str, Any]
    journey_id: str | None = None
    is_open: bool = False
    through: int = 0
    tip: int = 0
    sent_to: int = 0
    kept: deque[Fix | Gap] = field(default_factory=deque)
    ended_ms: int | None = None
    refused: str | None = None

    def head(self, most: int) -> tuple[int, dict[str, Any]]:
        """What to send next, up to ``most`` points: the seq it reaches, and the payload."""
        payload: dict[str, Any] = {}
        seq = self.through
        taken = 0
        if isinstance(first := self.kept[0], Gap):
            size = min(first.count, MAX_SKIP)
            payload["skip"] = [seq + 1, seq + size, first.reason]
            seq += size
            taken = 1 if size == first.count else len(self.kept)
        points: list[list[float | None]] = []
        for item in islice(self.kept, taken, taken + most):
            if isinstance(item, Gap):
                break
            seq += 1
            points.append([seq, *item])
        payload["points"] = points
        if seq < self.tip and not isinstance(newest := self.kept[-1], Gap):
            payload["latest"] = [self.tip, *newest]
        return seq, payload

    def line_up(self, stored: int) -> tuple[int, int]:
        """Line up with a server that holds seqs 1…``stored``: (points acknowledged, seqs lost there).

        There are three cases.

        1. It has more than ever was sent: another run of the app wrote this journey. Keep the points, count
           on from there.
        2. It has what was sent, or less of it: forget that much.
        3. It has less than it acknowledged (a restored backup): those are gone here, declare them lost.
        """
        if stored > self.sent_to:
            self.tip += stored - self.through
            self.through = self.sent_to = stored
            return 0, 0
        if stored >= self.through:
            return self.forget(stored), 0
        count = self.through - stored
        self.kept.appendleft(Gap(count, "lost_after_ack"))
        self.through = stored
        return 0, count

    def forget(self, stored: int) -> int:
        """Drop the seqs up to ``stored``; returns how many of them were points."""
        points = 0
        while self.through < stored:
            head = self.kept[0]
            if isinstance(head, Gap) and head.count > stored - self.through:
                head.count -= stored - self.through
                self.through = stored
            else:
                points += not isinstance(head, Gap)
                self.through += head.count if isinstance(head, Gap) else 1
                self.kept.popleft()
        return points

    def following(self) -> "DriverJourney":
        """A new journey that begins with what this one still keeps."""
        journey_id = str(uuid5(NAMESPACE_OID, self.client_journey_id))
        new = DriverJourney(journey_id, self.started_ms, self.details)
        new.kept = self.kept
        new.tip = self.tip - self.through
        new.ended_ms = self.ended_ms
        return new

    def refuse(self, code: str) -> int:
        """The server will never take any of it: drop all that is kept; how many of them were points."""
        points = sum(1 for item in self.kept if not isinstance(item, Gap))
        self.kept.clear()
        self.refused = code
        return points

    def lose_oldest_unsent(self, reason: str) -> bool:
        """Turn the oldest point that was never sent into a gap; a sent one may be stored and must stay.

        False when there is none.
        """
        seq = self.through
        for index, item in enumerate(self.kept):
            seq += item.count if isinstance(item, Gap) else 1
            if seq > self.sent_to and not isinstance(item, Gap):
                self._lose(index, reason)
                return True
        return False

    def _lose(self, index: int, reason: str) -> None:
        before = self.kept[index - 1] if index else None
        if isinstance(before, Gap) and before.reason == reason:
            before.count += 1
            del self.kept[index]
        else:
            self.kept[index] = Gap(1, reason)
