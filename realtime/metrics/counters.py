"""Instruments that cost an addition, for whatever is counted on every message; they are read when scraped.

prometheus-client's own take a lock, a check and a search by label each time: 1.5 µs, several times a message.
These belong to one thread, the event loop's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from math import inf
from typing import Final, Generic, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString


class Number:
    """One value: a counter that only rises, or a gauge."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add ``amount``."""
        self.value += amount

    def dec(self, amount: float = 1) -> None:
        """Take ``amount`` away; for gauges."""
        self.value -= amount

    def set(self, value: float) -> None:
        """Be ``value``; for gauges."""
        self.value = value


class Spread:
    """How many observations fell into each bucket. ``bounds``: the buckets' upper ends, rising."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds: Final = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count ``value``; what equals an upper end is inside its bucket."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """``(upper end, observations up to it)`` of every bucket, and the sum of all values."""
        ends = map(floatToGoString, (*self._bounds, inf))
        return list(zip(ends, accumulate(self._counts), strict=True)), self._sum


_T = TypeVar("_T", Number, Spread)


class Labelled(Generic[_T]):
    """One metric: a `Number` or a `Spread` for each combination of label values."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make: Callable[[], _T] = make
        self._children: dict[tuple[str, ...], _T] = {}

    def labels(self, *values: str) -> _T:
        """The one with these label values, made when it is first asked for."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._make()
        return child

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], _T]]:
        return iter(self._children.items())


class Exporter:
    """Tells prometheus-client of one metric. ``kind``: counter, gauge or histogram."""

    def __init__(
        self,
        described: tuple[str, str, tuple[str, ...]],
        kind: str,
        children: Labelled[Number] | Labelled[Spread],
    ) -> None:
        self._described: Final = described
        self._kind: Final = kind
        self._children: Final = children

    def collect(self) -> Iterator[Metric]:
        """What a scrape finds now."""
        name, meaning, labels = self._described
        if self._kind == "histogram":
            histogram = HistogramMetricFamily(name, meaning, labels=labels)
            for values, child in self._children:
                assert isinstance(child, Spread)
                buckets, total = child.read()
                histogram.add_metric(values, buckets, total)
            yield histogram
            return
        family = CounterMetricFamily if self._kind == "counter" else GaugeMetricFamily
        numbers = family(name, meaning, labels=labels)
        for values, child in self._children:
            assert isinstance(child, Number)
            numbers.add_metric(values, child.value)
        yield numbers
