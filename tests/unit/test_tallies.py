"""The cheap instruments say at a scrape what prometheus-client's own would have said."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from realtime.metrics.counters import Exporter, Labelled, Number, Spread

BOUNDS = (0.001, 0.5, 2.0)
DESCRIBED = ("wg_seen", "what was seen", ("kind",))
KINDS = ("read", "write")

observations = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from([*BOUNDS, 0.0, 0.3, 7.0]) | st.floats(0, 100)),
    max_size=30,
)


def scraped(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    """(sample, kind, le) → value, without when it began, which ours does not tell."""
    return {
        (sample.name, sample.labels["kind"], sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(observations)
def test_a_histogram_is_scraped_as_prometheus_own(seen: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    histogram = Histogram(*DESCRIBED, registry=theirs, buckets=BOUNDS)
    spreads = Labelled(partial(Spread, BOUNDS))
    ours.register(Exporter(DESCRIBED, "histogram", spreads))
    for kind, value in seen:
        histogram.labels(kind).observe(value)
        spreads.labels(kind).observe(value)
    assert scraped(ours) == scraped(theirs)


@given(observations)
def test_a_counter_is_scraped_as_prometheus_own(seen: list[tuple[str, float]]) -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter(*DESCRIBED, registry=theirs)
    numbers = Labelled(Number)
    ours.register(Exporter(DESCRIBED, "counter", numbers))
    for kind, value in seen:
        counter.labels(kind).inc(value)
        numbers.labels(kind).inc(value)
    assert scraped(ours) == scraped(theirs)


def test_a_gauge_goes_up_and_down_and_is_scraped_as_prometheus_own() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    gauge = Gauge(*DESCRIBED, registry=theirs)
    numbers = Labelled(Number)
    ours.register(Exporter(DESCRIBED, "gauge", numbers))
    for child in (gauge.labels("read"), numbers.labels("read")):
        child.set(True)
        child.inc(4)
        child.dec()
    assert scraped(ours) == scraped(theirs) == {("wg_seen", "read", ""): 4.0}


def test_the_same_labels_are_the_same_number() -> None:
    numbers = Labelled(Number)
    assert numbers.labels("read") is numbers.labels("read")
    assert numbers.labels("read") is not numbers.labels("write")


@pytest.mark.parametrize(("value", "bucket"), [(0.5, 1), (0.5000001, 2), (2.0, 2), (2.1, 3), (-1.0, 0)])
def test_what_equals_an_upper_end_is_inside_its_bucket(value: float, bucket: int) -> None:
    spread = Spread(BOUNDS)
    spread.observe(value)
    buckets, total = spread.read()
    assert [count for _, count in buckets] == [0] * bucket + [1] * (4 - bucket)
    assert total == value
