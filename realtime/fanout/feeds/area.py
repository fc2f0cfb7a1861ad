"""Feeds of a region: what is in some cells of one or several boards, one by one or counted.

Members that look at the same cells share a feed, and so its frames. What is in a cell is spliced from ready
fragments. A member that is behind is skipped and then told what is true in its cells by then.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from realtime.fanout.engineio.frames import Frame, json_bytes, listed
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.feed import Choice, FeedEvents, announce, kind_of
from realtime.fanout.feeds.grid import Grid, Moves, Region, Space

COUNTS: Final = "counts"


class MarkerFeed:
    """Members that want the newest of every key in the cells, and to hear of each that leaves them.

    The event of the ``ticked`` kind has a third argument where keys have left: the list of them.
    """

    def __init__(
        self, events: FeedEvents, label: str, grids: Sequence[Grid], region: Region, ticked: str
    ) -> None:
        self.label = label
        self.kind = kind_of(label)
        self.grids = grids
        self.region = region
        self.cells = region.cells
        self.members: set[EngineSocket] = set()
        self.owed: dict[EngineSocket, tuple[int, ...]] = {}
        self._events = events
        self._ticked = ticked
        self._seen = self._versions()
        self._gathered: list[bytes] = []
        self._entered: list[tuple[Grid, str]] = []
        self._left: list[str] = []
        self._left_while_owed: set[str] = set()
        self._oldest_ms: int | None = None

    def size(self) -> int:
        """How many there are in the cells."""
        return sum(grid.count(cell) for grid in self.grids for cell in self.cells)

    def keys(self) -> set[str]:
        """Everything that is in the cells."""
        return {key for grid in self.grids for key in grid.keys(self.cells)}

    def has(self, key: str) -> bool:
        """Whether ``key`` is in the cells."""
        return any(grid.cell_of(key) in self.cells for grid in self.grids)

    def snapshot(self, wanted: Collection[str] | None = None) -> dict[str, list[bytes]]:
        """What is known, by kind, of everything in the cells, or of ``wanted`` alone."""
        newest: dict[str, dict[str, tuple[int, bytes]]] = {}
        for grid in self.grids:
            keys = [key for key in grid.keys(self.cells) if wanted is None or key in wanted]
            for kind in grid.board.kinds:
                known = newest.setdefault(kind, {})
                slots, supersedes = grid.board.slots(kind), grid.board.rule(kind)
                for key in keys:
                    slot = slots.get(key)
                    if slot is not None and (key not in known or supersedes(*known[key], slot[0], slot[2])):
                        known[key] = (slot[0], slot[2])
        return {kind: [fragment for _, fragment in known.values()] for kind, known in newest.items()}

    def take(self, grid: Grid, moves: Moves, at_ms: int | None) -> bool:
        """What has moved on ``grid``; False when nothing of it is seen here."""
        touched = moves.touched(self.cells)
        for cell in touched:
            for key, fragment in moves.now.get(cell, ()):
                self._gathered.append(fragment)
                if key in moves.before and moves.before[key] not in self.cells:
                    self._entered.append((grid, key))
            self._left += (key for key in moves.left.get(cell, ()) if not self.has(key))
        if touched and at_ms is not None and (self._oldest_ms is None or at_ms < self._oldest_ms):
            self._oldest_ms = at_ms
        return bool(touched)

    def tell(self, grid: Grid, kind: str, key: str, fragment: bytes, limit_bytes: int) -> bool:
        """Something of another kind, which does not wait for a tick; False when it is not seen here."""
        if grid.cell_of(key) not in self.cells:
            return False
        self._write([self._events.of(kind, fragment)], limit_bytes)
        return True

    def tick(self, limit_bytes: int) -> int | None:
        """Write what was taken. Returns when the oldest of it arrived, if anything was written."""
        if not self._gathered and not self._left:
            return None
        several = [self._event(self._gathered, self._left)]
        for grid, key in self._entered:  # whoever comes in is told of in full
            several += self._others(grid, key, 0)
        self._write(several, limit_bytes)
        if self.owed:
            self._left_while_owed.update(self._left)
        oldest_ms, self._oldest_ms = self._oldest_ms, None
        self._gathered, self._left, self._entered = [], [], []
        self._seen = self._versions()
        return oldest_ms

    def _event(self, fragments: Iterable[bytes], left: Sequence[str]) -> Frame:
        if not left:
            return self._events.listing(self._ticked, fragments)
        return self._events.of(self._ticked, b"%b,%b" % (listed(fragments), json_bytes(left)))

    def _others(self, grid: Grid, key: str, after_version: int) -> list[Frame]:
        """What else is known of ``key``, as far as it is newer."""
        return [
            self._events.of(kind, slot[2])
            for kind in grid.board.kinds
            if kind != self._ticked
            and (slot := grid.board.slots(kind).get(key)) is not None
            and slot[1] > after_version
        ]

    def _write(self, several: Sequence[Frame], limit_bytes: int) -> None:
        for member in self.members:
            if member in self.owed:
                continue
            if member.buffered_bytes > limit_bytes:
                self.owed[member] = self._seen
            else:
                member.write_together(several)

    def _versions(self) -> tuple[int, ...]:
        return tuple(grid.version for grid in self.grids)

    def announce(self, kind: str, choose: Choice) -> None:
        """Write to every member, wherever it looks and however slow it is."""
        announce(self._events, kind, self.members, choose)

    def behind(self) -> Collection[EngineSocket]:
        """Members that are owed something."""
        return self.owed

    def pay(self, member: EngineSocket) -> None:
        """Write what is in the cells and came while ``member`` was behind, and what left them meanwhile."""
        fragments: list[bytes] = []
        several: list[Frame] = []
        for grid, seen in zip(self.grids, self.owed.pop(member), strict=True):
            slots = grid.board.slots(self._ticked)
            for key in grid.keys(self.cells):
                # One that came in without moving on its board cannot be; one that came in is newer there.
                if slots[key][1] > seen:
                    fragments.append(slots[key][2])
                    several += self._others(grid, key, 0)
                else:
                    several += self._others(grid, key, seen)
        left = [key for key in self._left_while_owed if not self.has(key)]
        if not self.owed:
            self._left_while_owed.clear()
        if fragments or left:
            several.insert(0, self._event(fragments, left))
        if several:
            member.write_together(several)

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.discard(member)
        self.owed.pop(member, None)
        if not self.owed:
            self._left_while_owed.clear()


class CountFeed:
    """Members that want to know how many keys are in each cell: ``counts`` of the cells that changed.

    An entry is what `Space.label` says of a cell and the number; 0 when nobody is there any more.
    """

    def __init__(
        self, events: FeedEvents, label: str, grids: Sequence[Grid], region: Region, space: Space
    ) -> None:
        self.label = label
        self.kind = kind_of(label)
        self.grids = grids
        self.region = region
        self.cells = region.cells
        self.members: set[EngineSocket] = set()
        self.owed: set[EngineSocket] = set()
        self._events = events
        self._space = space
        self._touched: set[int] = set()
        self._told: dict[int, int] = {cell: n for cell in self.cells if (n := self._count(cell))}

    def size(self) -> int:
        """How many there are in the cells."""
        return sum(self._count(cell) for cell in self.cells)

    def _count(self, cell: int) -> int:
        return sum(grid.count(cell) for grid in self.grids)

    def counts(self, beside: "CountFeed | None" = None) -> list[bytes]:
        """An entry for each cell with anybody in it. ``beside``: only what is new to its members, who also
        hear 0 of each cell of theirs that is no longer looked at.
        """
        known = {} if beside is None else beside._told
        shown = [self._entry(cell, n) for cell, n in self._told.items() if known.get(cell, 0) != n]
        return shown + [self._entry(cell, 0) for cell, n in known.items() if n and cell not in self.cells]

    def _entry(self, cell: int, number: int) -> bytes:
        return b"[%b,%d]" % (self._space.label(cell), number)

    def take(self, grid: Grid, moves: Moves, at_ms: int | None) -> bool:
        """What has moved on ``grid``; it is counted at the next `tick`, which comes when it comes."""
        self._touched |= moves.touched(self.cells)
        return False

    def tell(self, grid: Grid, kind: str, key: str, fragment: bytes, limit_bytes: int) -> bool:
        """Other kinds are not counted."""
        return False

    def tick(self, limit_bytes: int) -> int | None:
        """Write the counts that have changed since the last time."""
        touched, self._touched = self._touched, set()
        entries = []
        for cell in touched:
            number = self._count(cell)
            if number != self._told.get(cell, 0):
                self._told[cell] = number
                entries.append(self._entry(cell, number))
        if not entries:
            return None
        frame = self._events.listing(COUNTS, entries)
        for member in self.members - self.owed:
            if member.buffered_bytes > limit_bytes:
                self.owed.add(member)
            else:
                member.write(frame)
        return None

    def announce(self, kind: str, choose: Choice) -> None:
        """Write to every member, wherever it looks and however slow it is."""
        announce(self._events, kind, self.members, choose)

    def behind(self) -> Collection[EngineSocket]:
        """Members that are owed something."""
        return self.owed

    def pay(self, member: EngineSocket) -> None:
        """Write every count, zeros too."""
        self.owed.discard(member)
        member.write(self._events.listing(COUNTS, [self._entry(c, n) for c, n in self._told.items()]))

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.discard(member)
        self.owed.discard(member)


AreaFeed = MarkerFeed | CountFeed
