"""Conflated state: of many fragments with one key only the newest matters. No I/O, no clock.

A board belongs to one bus channel. A *kind* is an event name; a *key* is what its fragment replaces. Each
change gets a version, so that whoever was away can be given exactly what changed meanwhile.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from realtime.fanout.bus import Item


class Slot(NamedTuple):
    """The newest fragment of one (kind, key)."""

    order: int
    version: int
    fragment: bytes


class Board:
    """The newest fragment a (kind, key). A late item never overwrites a newer one."""

    def __init__(self) -> None:
        self.version = 0
        self._slots: dict[str, dict[str, Slot]] = {}

    def __repr__(self) -> str:
        return f"Board(version={self.version}, { {kind: len(v) for kind, v in self._slots.items()} })"

    def apply(self, kind: str, items: Iterable[Item]) -> list[Item]:
        """Take what is strictly newer than what is known; returns those taken."""
        slots = self._slots.setdefault(kind, {})
        taken = []
        for item in items:
            known = slots.get(item.key)
            if known is not None and known.order >= item.order:
                continue
            self.version += 1
            slots[item.key] = Slot(item.order, self.version, item.fragment)
            taken.append(item)
        return taken

    def since(self, version: int, key: str | None = None) -> Iterator[tuple[str, list[bytes]]]:
        """(kind, fragments changed after ``version``), of one key when ``key`` is given."""
        for kind, slots in self._slots.items():
            if key is None:
                fragments = [slot.fragment for slot in slots.values() if slot.version > version]
            else:
                slot = slots.get(key)
                fragments = [slot.fragment] if slot is not None and slot.version > version else []
            if fragments:
                yield kind, fragments

    def snapshot(self, kind: str, key: str | None = None) -> list[bytes]:
        """Every fragment of ``kind``, of one key when ``key`` is given."""
        slots = self._slots.get(kind, {})
        if key is None:
            return [slot.fragment for slot in slots.values()]
        return [slots[key].fragment] if key in slots else []
