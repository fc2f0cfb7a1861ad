"""Which cell each key of a board is in, and what a tick moved from cell to cell. No I/O, no clock.

What a place and a cell are is the business of the `Space` that is given; here they are only compared. A
board has a grid a *level* (how big the cells are) that somebody watches, and none when nobody does.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from realtime.bus.bus import BusItem
from realtime.fanout.feeds.latest import LatestState


class Space(Protocol):
    """Where fragments are. Never raises."""

    def place(self, fragment: bytes) -> Any:
        """Where the thing of ``fragment`` is; None when it says nothing about that."""

    def cell(self, place: Any, level: int) -> int:
        """The cell of ``level`` in which ``place`` lies."""

    def label(self, cell: int) -> bytes:
        """What says to people which cell it is: ready JSON values with commas between them."""


class Region(NamedTuple):
    """What somebody looks at: cells of one level."""

    level: int
    cells: frozenset[int]


class Moves(NamedTuple):
    """What one tick did to a grid: (key, fragment) by the cell it is in now, keys by the cell they were in
    and are not any more, and for each key that changed its cell the one before (None: it is new).
    """

    now: dict[int, list[tuple[str, bytes]]]
    left: dict[int, list[str]]
    before: dict[str, int | None]

    def touched(self, cells: Collection[int]) -> set[int]:
        """Those of ``cells`` in which something happened."""
        return (self.now.keys() | self.left.keys()).intersection(cells)


class Grid:
    """The keys of one kind of a board by cell, as of the last `advance`."""

    def __init__(self, board: LatestState, kind: str, level: int, space: Space) -> None:
        self.board = board
        self.version = board.version
        self._level = level
        self._space = space
        self._cells: dict[int, set[str]] = {}
        self._cell_of: dict[str, int] = {}
        for key, (_, _, fragment) in board.slots(kind).items():
            place = space.place(fragment)
            if place is not None:
                self._put(key, space.cell(place, level))

    def __repr__(self) -> str:
        return f"Grid(level={self._level}, keys={len(self._cell_of)}, cells={len(self._cells)})"

    def advance(self, moved: Iterable[tuple[str, Any, bytes]]) -> Moves:
        """Take the newest (key, place, fragment) of everything that has moved."""
        moves = Moves({}, {}, {})
        for key, place, fragment in moved:
            cell = self._space.cell(place, self._level)
            before = self._cell_of.get(key)
            if before != cell:
                moves.before[key] = before
                if before is not None:
                    moves.left.setdefault(before, []).append(key)
                self._put(key, cell)
            moves.now.setdefault(cell, []).append((key, fragment))
        self.version = self.board.version
        return moves

    def _put(self, key: str, cell: int) -> None:
        before = self._cell_of.get(key)
        if before is not None:
            keys = self._cells[before]
            keys.discard(key)
            if not keys:
                del self._cells[before]
        self._cell_of[key] = cell
        self._cells.setdefault(cell, set()).add(key)

    def cell_of(self, key: str) -> int | None:
        """The cell in which ``key`` is; None when it is nowhere."""
        return self._cell_of.get(key)

    def keys(self, cells: Iterable[int]) -> Iterator[str]:
        """The keys in ``cells``."""
        for cell in cells:
            yield from self._cells.get(cell, ())

    def count(self, cell: int) -> int:
        """How many keys are in ``cell``."""
        keys = self._cells.get(cell)
        return len(keys) if keys else 0


class Chart:
    """The grids of one board, and what has moved since they were last advanced."""

    def __init__(self, board: LatestState, kind: str, space: Space) -> None:
        self.board = board
        self.grids: dict[int, Grid] = {}
        self._kind = kind
        self._space = space
        self._moved: dict[str, bytes] = {}
        self._oldest_ms: int | None = None

    def grid(self, level: int) -> Grid:
        """The grid of ``level``, made when there is none."""
        grid = self.grids.get(level)
        if grid is None:
            grid = self.grids[level] = Grid(self.board, self._kind, level, self._space)
        return grid

    def take(self, items: Sequence[BusItem], at_ms: int) -> None:
        """Things that have moved, as the board has just accepted them; the oldest arrived at ``at_ms``."""
        moved = self._moved
        for key, _, fragment in items:
            moved[key] = fragment
        if self._oldest_ms is None or at_ms < self._oldest_ms:
            self._oldest_ms = at_ms

    def advance(self) -> tuple[Mapping[int, Moves], int | None]:
        """Bring the grids up to date: the moves by level, and when the oldest of them arrived."""
        moved, self._moved = self._moved, {}
        oldest_ms, self._oldest_ms = self._oldest_ms, None
        placed = []
        for key, fragment in moved.items():
            place = self._space.place(fragment)
            if place is not None:
                placed.append((key, place, fragment))
        return {level: grid.advance(placed) for level, grid in self.grids.items()}, oldest_ms
