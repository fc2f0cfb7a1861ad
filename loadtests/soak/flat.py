"""Whether what was sampled is flat: the trend of each series, and what is left after everybody went. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import attrgetter
from statistics import median
from typing import Final

from loadtests.soak.sample import Sample

Series = Sequence[tuple[float, float]]
"""``(at_s, value)``, in order."""

THINNED: Final = 300
MEMORY_KIB: Final = 2_048
MEMORY_SHARE: Final = 0.03
"""How much a heap may grow in all, however long it is looked at: a longer soak is a stricter one. It moves by
arenas of 256 KiB to 1 MiB, once by what the restart of Redis makes the instance do at once, and for its first
quarter of an hour by the journeys it knows: they are forgotten 15 minutes after their last use. PSS is only
shown: it jumps when a neighbour that has the same libraries in memory starts or ends.
"""
BESIDES: Final = 6
"""Descriptors, tasks and threads come and go with pools, thread pools and answers under way."""
_RSS: Final = attrgetter("rss_kib")
_ANONYMOUS: Final = attrgetter("anonymous_kib")
_DESCRIPTORS: Final = attrgetter("descriptors_besides")


@dataclass(frozen=True)
class Trend:
    """One series of one process. ``growth`` is what its slope makes of the measured time."""

    process: str
    name: str
    start: float
    median: float
    end: float
    slope_per_h: float
    growth: float
    allowed: float | None

    @property
    def is_flat(self) -> bool:
        """Whether it grew no more than it may; a series that is only shown always is."""
        return self.allowed is None or self.growth <= self.allowed


def slope(series: Series) -> float:
    """Theil and Sen's: the median slope of all pairs, per second; 0 of fewer than two moments.

    Up to 29 % of the values may be anything.
    """
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(_thinned(series), 2) if t > s]
    return median(slopes) if slopes else 0.0


def trend(process: str, name: str, series: Series, allowed: float | None) -> Trend:
    """Of a series that is not empty; ``start`` and ``end`` are the medians of its first and last fifth."""
    values = [value for _, value in series]
    fifth = max(1, len(values) // 5)
    per_s = slope(series)
    return Trend(
        process,
        name,
        start=median(values[:fifth]),
        median=median(values),
        end=median(values[-fifth:]),
        slope_per_h=per_s * 3_600,
        growth=per_s * (series[-1][0] - series[0][0]),
        allowed=allowed,
    )


def trends(process: str, samples: Sequence[Sample]) -> list[Trend]:
    """All series of one process, after its warm-up."""
    shown: dict[str, tuple[Callable[[Sample], float], float | None]] = {
        "rss_kib": (_RSS, _memory(samples, _RSS)),
        "anonymous_kib": (_ANONYMOUS, _memory(samples, _ANONYMOUS)),
        "pss_kib": (lambda one: one.pss_kib, None),
        "descriptors": (lambda one: one.descriptors, None),
        "besides clients": (_DESCRIPTORS, BESIDES),
        "threads": (lambda one: one.threads, BESIDES),
    }
    if any(one.tasks for one in samples):
        shown |= {
            "tasks": (lambda one: one.tasks, BESIDES),
            "connections": (lambda one: one.connections, None),
            "feeds": (lambda one: one.feeds, None),
            "viewers": (lambda one: one.viewers, None),
        }
    return [
        trend(process, name, [(one.at_s, value(one)) for one in samples], allowed)
        for name, (value, allowed) in shown.items()
    ]


def leftovers(process: str, before: Sample, busy: Sequence[Sample], after: Sample) -> list[str]:
    """What everybody left behind: one line a fault.

    ``before``: the idle process before they came. ``busy``: while they were there; what it had open at last
    besides its clients are pools, which stay. (That those do not grow is for the trend to say.)
    """
    faults = [
        f"{process}: {value:.0f} {name} when everybody had left"
        for name in ("connections", "feeds", "viewers")
        if (value := getattr(after, name))
    ]
    besides = [_DESCRIPTORS(one) for one in busy[-max(1, len(busy) // 5) :]]
    pools = max(before.descriptors, median(besides or [0.0]))
    for name, was in (("descriptors", pools), ("tasks", before.tasks), ("threads", before.threads)):
        if (grown := getattr(after, name) - was) > BESIDES:
            faults.append(f"{process}: {grown:.0f} {name} more than before")
    return faults


def faults_of(found: Sequence[Trend]) -> list[str]:
    """One line for each series that is not flat."""
    return [
        f"{one.process}: {one.name} grew by {one.growth:,.0f} (allowed {one.allowed:,.0f})"
        for one in found
        if not one.is_flat and one.allowed is not None
    ]


def table(found: Sequence[Trend]) -> list[str]:
    """A Markdown table, memory in MiB."""
    lines = [
        "| process | series | start | median | end | slope/h | growth | allowed |",
        "|---|---|" + "---:|" * 6,
    ]
    for one in found:
        unit = 1024 if one.name.endswith("_kib") else 1
        numbers = [one.start, one.median, one.end, one.slope_per_h, one.growth]
        cells = [f"{value / unit:,.1f}" for value in numbers]
        cells.append("–" if one.allowed is None else f"{one.allowed / unit:,.1f}")
        name = one.name.replace("_kib", ", MiB")
        lines.append(f"| {one.process} | {name} | " + " | ".join(cells) + " |")
    return lines


def by_process(samples: Mapping[str, Sequence[Sample]]) -> list[Trend]:
    """The trends of all processes."""
    return [one for process, taken in samples.items() for one in trends(process, taken)]


def _memory(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    return MEMORY_KIB + MEMORY_SHARE * median(map(value, samples))


def _thinned(series: Series) -> Series:
    """At most so many moments, each the median of its neighbours: all pairs of a night are too many."""
    size = -(-len(series) // THINNED)
    if size <= 1:
        return series
    groups = [series[at : at + size] for at in range(0, len(series), size)]
    return [(median(t for t, _ in group), median(v for _, v in group)) for group in groups]
