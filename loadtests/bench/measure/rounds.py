"""What the side-by-side benchmarks share: targets in turn, medians, ratios, soundness."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import median
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")
OURS: Final = "wayguard"
CLIENT_BUSY: Final = 0.85
SERVER_BUSY: Final = 0.9
"""A load client busier than the one, at a server less busy than the other, is what limits."""


class Result(msgspec.Struct, kw_only=True):
    """What one target gave in one case of one round. ``cores``: CPU seconds a second by role.

    ``figures`` are named with their units; ``faults`` are what must not be: lost, duplicates, errors.
    """

    case: str
    target: str
    round: int
    figures: dict[str, float]
    cores: dict[str, float] = {}
    faults: dict[str, int] = {}

    @property
    def is_limited_by_client(self) -> bool:
        """Whether the load client was busy and the server was not.

        A busy client alone says little: it looks as often as it can, and the fewer looks it gets, the more
        frames it counts in each. What it can count at most is measured beside it.
        """
        server = max((used for role, used in self.cores.items() if role.startswith("server")), default=1.0)
        return self.cores.get("load client", 0.0) > CLIENT_BUSY and server < SERVER_BUSY


class Summary(msgspec.Struct):
    """One target in one case over its rounds: (median, least, most) of each figure."""

    case: str
    target: str
    figures: dict[str, tuple[float, float, float]]
    cores: dict[str, float]
    client_limited: bool


def in_turn(rounds: int, targets: Sequence[T]) -> Iterator[tuple[int, T]]:
    """(round, target): every other round in opposite order, so that a drift hits all alike."""
    for round_ in range(1, rounds + 1):
        for target in targets if round_ % 2 else reversed(targets):
            yield round_, target


def summaries(results: Sequence[Result]) -> list[Summary]:
    """By case and target, in the order in which they were first measured."""
    found = []
    for case, target in dict.fromkeys((one.case, one.target) for one in results):
        same = [one for one in results if (one.case, one.target) == (case, target)]
        figures = {
            name: spread([one.figures[name] for one in same if name in one.figures])
            for name in dict.fromkeys(name for one in same for name in one.figures)
        }
        roles = dict.fromkeys(role for one in same for role in one.cores)
        cores = {role: median([one.cores.get(role, 0.0) for one in same]) for role in roles}
        limited = sum(one.is_limited_by_client for one in same) * 2 > len(same)
        found.append(Summary(case, target, figures, cores, limited))
    return found


def spread(values: Iterable[float]) -> tuple[float, float, float]:
    """Median, least, most."""
    ordered = sorted(values)
    return median(ordered), ordered[0], ordered[-1]


def ratios(results: Sequence[Result], key: str, ours: str = OURS) -> dict[str, tuple[float, float, float]]:
    """``case: ours / other`` → how many times the other's ``key``: median, least, most over the rounds.

    Each is taken within one round, where the machine was the same for both.
    """
    by = {(one.case, one.target, one.round): one.figures.get(key, 0.0) for one in results}
    pairs: dict[str, list[float]] = {}
    for (case, target, round_), value in by.items():
        own = by.get((case, ours, round_))
        if target != ours and own is not None and value > 0:
            pairs.setdefault(f"{case}: {ours} / {target}", []).append(own / value)
    return {name: spread(found) for name, found in pairs.items()}


def is_sound(results: Iterable[Result]) -> bool:
    """Whether nothing was lost, doubled, refused or cut off, on anybody's server."""
    return not any(count for one in results for count in one.faults.values())


Say = Callable[[Result], None]
"""Who is told of each result as it is made."""
