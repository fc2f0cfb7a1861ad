"""Conflated state: of many fragments with one key only the newest matters. No I/O, no clock.

A board belongs to one bus channel. A *kind* is an event name; a *key* is what its fragment replaces. Each
change gets a version, so that whoever was away can be given exactly what changed meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from realtime.bus.bus import BusItem

Slot = tuple[int, int, bytes]
"""The newest of one (kind, key): its order, the version at which it came, its fragment. One is made for
every position that comes in, and a plain tuple is made four times as fast as a named one."""
_NOBODY: Mapping[str, Slot] = {}
Supersedes = Callable[[int, bytes, int, bytes], bool]
"""Whether what is offered takes the place of what is known: known order and fragment, offered order and
fragment."""


def is_of_higher_order(known_order: int, known: bytes, order: int, fragment: bytes) -> bool:
    """The rule of kinds that have none of their own."""
    return order > known_order


class LatestState:
    """The newest fragment a (kind, key). A late item never overwrites a newer one.

    ``rules``: by kind, which of two fragments is the newer; `is_of_higher_order` for all others.
    """

    def __init__(self, rules: Mapping[str, Supersedes] | None = None) -> None:
        self.version = 0
        self._slots: dict[str, dict[str, Slot]] = {}
        self._rules = rules or {}

    def __repr__(self) -> str:
        return f"Board(version={self.version}, { {kind: len(v) for kind, v in self._slots.items()} })"

    def apply(self, kind: str, items: Sequence[BusItem]) -> Sequence[BusItem]:
        """Take what is strictly newer than what is known; returns those taken."""
        rule = self._rules.get(kind)
        slots = self._slots.get(kind)
        if slots is None:
            slots = self._slots[kind] = {}
        version = self.version
        late: set[int] = set()
        for index, (key, order, fragment) in enumerate(items):
            known = slots.get(key)
            if known is not None and (
                known[0] >= order if rule is None else not rule(known[0], known[2], order, fragment)
            ):
                late.add(index)
                continue
            version += 1
            slots[key] = (order, version, fragment)
        self.version = version
        if not late:  # as nearly always: nothing is copied
            return items
        return [item for index, item in enumerate(items) if index not in late]

    def rule(self, kind: str) -> Supersedes:
        """Which of two fragments of ``kind`` is the newer."""
        return self._rules.get(kind, is_of_higher_order)

    def slots(self, kind: str) -> Mapping[str, Slot]:
        """Everything of ``kind``, by key; a live view."""
        return self._slots.get(kind, _NOBODY)

    @property
    def kinds(self) -> Iterable[str]:
        """Every kind there is."""
        return self._slots.keys()

    def since(self, version: int, key: str | None = None) -> Iterator[tuple[str, list[bytes]]]:
        """(kind, fragments changed after ``version``), of one key when ``key`` is given."""
        for kind, slots in self._slots.items():
            if key is None:
                fragments = [fragment for _, at, fragment in slots.values() if at > version]
            else:
                slot = slots.get(key)
                fragments = [slot[2]] if slot is not None and slot[1] > version else []
            if fragments:
                yield kind, fragments

    def snapshot(self, kind: str, key: str | None = None) -> list[bytes]:
        """Every fragment of ``kind``, of one key when ``key`` is given."""
        slots = self.slots(kind)
        if key is None:
            return [fragment for _, _, fragment in slots.values()]
        return [slots[key][2]] if key in slots else []
