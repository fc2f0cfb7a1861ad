"""Histograms of an instance's ``/metrics``, and what was added to them between two looks."""

import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_S = 10.0


@dataclass(slots=True)
class Histogram:
    """``buckets``: upper bound → how many were at most that."""

    count: float = 0.0
    total: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """The mean; 0 without values."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float:
        """About the value below which ``share`` of them are; within a bucket evenly spread."""
        below, low = 0.0, 0.0
        for bound, up_to in sorted(self.buckets.items()):
            if up_to >= share * self.count and up_to > below:
                if bound == float("inf"):
                    return low
                return low + (bound - low) * (share * self.count - below) / (up_to - below)
            below, low = up_to, bound
        return low

    def minus(self, before: "Histogram") -> "Histogram":
        """What came after ``before``."""
        buckets = {bound: n - before.buckets.get(bound, 0.0) for bound, n in self.buckets.items()}
        return Histogram(self.count - before.count, self.total - before.total, buckets)


def histograms(ports: Iterable[int], names: Iterable[str]) -> dict[str, Histogram]:
    """The histograms ``names`` of the instances on ``ports``, added up. Raises OSError."""
    found: dict[str, Histogram] = defaultdict(Histogram)
    wanted = set(names)
    for port in ports:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            if family.name in wanted:
                for sample in family.samples:
                    _add(found[family.name], sample.name.removeprefix(family.name), sample)
    return dict(found)


def _add(histogram: Histogram, kind: str, sample: object) -> None:
    value: float = sample.value  # type: ignore[attr-defined]
    if kind == "_count":
        histogram.count += value
    elif kind == "_sum":
        histogram.total += value
    elif kind == "_bucket":
        bound = float(sample.labels["le"])  # type: ignore[attr-defined]
        histogram.buckets[bound] = histogram.buckets.get(bound, 0.0) + value
