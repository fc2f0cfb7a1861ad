"""What of the mirror differs from what is to be there. Pure; the newest value of a path is the only one.

A path is *dirty* from the moment it is to change until a write of its newest value was confirmed. Nothing is
queued: however long the other side is away, a path waits once.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from realtime.mirror.nodes import Nodes

_UNSURE: Final = b"?"
"""Something is there, and nobody knows what."""
_WRAPPING_BYTES: Final = 6

Chunk = dict[str, dict[str, Any] | None]
"""Values by path for one multi-path update; None removes."""


class MirrorPlan:
    """``repr`` says how much there is and how much of it waits."""

    def __init__(self) -> None:
        self._wanted: dict[str, bytes] = {}
        self._there: dict[str, bytes] = {}
        self._dirty: dict[str, None] = {}
        self._groups: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        return f"Plan(nodes={len(self._wanted)}, waiting={len(self._dirty)})"

    @property
    def waiting(self) -> int:
        """Paths that differ."""
        return len(self._dirty)

    @property
    def nodes(self) -> int:
        """Paths that are to be there."""
        return len(self._wanted)

    @property
    def groups(self) -> list[str]:
        """Groups that have a path."""
        return [group for group, paths in self._groups.items() if paths]

    def want(self, group: str, nodes: Nodes) -> None:
        """``nodes`` is all of ``group`` (say, one vendor's drivers) that is to be there from now on."""
        before = self._groups.get(group, set())
        for path in before:
            if path not in nodes:
                del self._wanted[path]
                self._look_at(path)
        for path, encoded in nodes.items():
            if self._wanted.get(path) != encoded:
                self._wanted[path] = encoded
                self._look_at(path)
        self._groups[group] = set(nodes)

    def found(self, paths: Iterable[str]) -> None:
        """``paths`` is all that is there; what it holds is not known. Everything is written again."""
        self._there = dict.fromkeys(paths, _UNSURE)
        self._dirty = {}
        for path in (*self._wanted, *self._there):
            self._look_at(path)

    def chunk(self, max_paths: int, max_bytes: int) -> Chunk:
        """The next update: what has waited longest, within both bounds (at least one path when any waits)."""
        chunk: Chunk = {}
        size = 0
        for path in self._dirty:
            encoded = self._wanted.get(path, b"null")
            size += len(path) + len(encoded) + _WRAPPING_BYTES
            if chunk and (len(chunk) >= max_paths or size > max_bytes):
                break
            chunk[path] = msgspec.json.decode(encoded)
        return chunk

    def written(self, chunk: Chunk) -> None:
        """``chunk`` is there for sure."""
        for path, value in chunk.items():
            if value is None:
                self._there.pop(path, None)
            else:
                self._there[path] = msgspec.json.encode(value)
            self._look_at(path)

    def lost(self, chunk: Chunk) -> None:
        """``chunk`` may be there, or not."""
        for path in chunk:
            self._there[path] = _UNSURE
            self._dirty.pop(path, None)  # to the end: one that is never taken holds up no other
            self._look_at(path)

    def _look_at(self, path: str) -> None:
        if self._wanted.get(path) == self._there.get(path):
            self._dirty.pop(path, None)
        else:
            self._dirty.setdefault(path)
