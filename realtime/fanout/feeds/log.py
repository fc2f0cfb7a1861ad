"""Lossless state: a log numbered 1..n, each entry to be seen once and in order. No I/O, no clock."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from realtime.bus.bus import BusItem

TAIL_ENTRIES: Final = 2_000
HELD_ENTRIES: Final = 5_000


class LogState:
    """What one instance knows of a log: all up to ``through``, the newest of it in memory.

    ``held`` are entries that arrived beyond a gap; they wait for a refill and are dropped, to be read
    again, when there are too many.
    """

    def __init__(self, through: int) -> None:
        self.through = through
        self._tail: deque[bytes] = deque(maxlen=TAIL_ENTRIES)
        self._held: dict[int, bytes] = {}

    def __repr__(self) -> str:
        return f"LogState(through={self.through}, tail={len(self._tail)}, held={len(self._held)})"

    @property
    def has_gap(self) -> bool:
        """Whether entries between ``through`` and something held are missing."""
        return bool(self._held)

    def offer(self, items: Sequence[BusItem]) -> None:
        """Take entries (``order`` is the number) in any order, known ones too."""
        for item in items:
            if item.order == self.through + 1:
                self._append(item.fragment)
                if self._held:
                    self._unhold()
            elif item.order > self.through:
                self._held[item.order] = item.fragment
        if len(self._held) > HELD_ENTRIES:
            self._held.clear()

    def _append(self, fragment: bytes) -> None:
        self.through += 1
        self._tail.append(fragment)

    def _unhold(self) -> None:
        while (fragment := self._held.pop(self.through + 1, None)) is not None:
            self._append(fragment)
        if self._held and min(self._held) <= self.through:
            self._held = {number: f for number, f in self._held.items() if number > self.through}

    def after(self, number: int, limit: int) -> list[bytes] | None:
        """Up to ``limit`` fragments after ``number``, or None when they are no longer in memory."""
        start = number - (self.through - len(self._tail))
        if start < 0:
            return None
        return [self._tail[i] for i in range(start, min(start + limit, len(self._tail)))]
