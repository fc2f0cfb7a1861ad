"""The catalogue of metrics: each is made with its name and meaning, and scraped from one registry.

Counters that have a closed set of label values start at 0, so that a rate is right from the first event.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from realtime.metrics.counters import Exporter, Labelled, Number, Spread

Kind = Literal["counter", "gauge", "histogram"]
Labels = dict[str, Iterable[str] | None]

LATENCY_BUCKETS_S: Final = (
    *(0.001, 0.002, 0.004, 0.006, 0.01, 0.015, 0.025, 0.04, 0.06),
    *(0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0, 6.0, 10.0),
)

REGISTRY: Final = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)


@dataclass(frozen=True, slots=True)
class Described:
    """One row of the table in docs/OPERATIONS.md. ``name`` is what is scraped, ``_total`` included."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str


CATALOGUE: Final[list[Described]] = []
"""Every metric, in the order in which they were made."""


def counter(name: str, meaning: str) -> Number:
    return _numbers(name, "counter", meaning, {}).labels()


def counters(name: str, meaning: str, **labels: Iterable[str] | None) -> Labelled[Number]:
    """A counter with labels: each with its closed set of values, or None when that is known only later."""
    return _numbers(name, "counter", meaning, labels)


def gauge(name: str, meaning: str) -> Number:
    return _numbers(name, "gauge", meaning, {}).labels()


def gauges(name: str, meaning: str, **labels: Iterable[str] | None) -> Labelled[Number]:
    return _numbers(name, "gauge", meaning, labels)


def histogram(name: str, meaning: str, bounds: tuple[float, ...] = LATENCY_BUCKETS_S) -> Spread:
    return histograms(name, meaning, bounds).labels()


def histograms(
    name: str, meaning: str, bounds: tuple[float, ...] = LATENCY_BUCKETS_S, **labels: Iterable[str] | None
) -> Labelled[Spread]:
    metric = Labelled(partial(Spread, bounds))
    _export(name, "histogram", meaning, labels, metric)
    return metric


def _numbers(name: str, kind: Kind, meaning: str, labels: Labels) -> Labelled[Number]:
    metric = Labelled(Number)
    _export(name, kind, meaning, labels, metric)
    return metric


def _export(
    name: str,
    kind: Kind,
    meaning: str,
    labels: Labels,
    metric: Labelled[Number] | Labelled[Spread],
) -> None:
    names = tuple(labels)
    CATALOGUE.append(Described(name, kind, names, meaning))
    closed = [values for values in labels.values() if values is not None]
    if len(closed) == len(labels):
        for combination in product(*closed):
            metric.labels(*combination)
    REGISTRY.register(Exporter((name, meaning, names), kind, metric))


def exposition() -> tuple[bytes, str]:
    """What ``/metrics`` answers: the body and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
