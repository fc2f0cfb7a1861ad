"""The registry and its page in docs/OPERATIONS.md."""

from itertools import pairwise
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from realtime.metrics import instruments, registry
from realtime.protocol import Code

DOCS = Path(__file__).parents[2] / "docs" / "OPERATIONS.md"
FORBIDDEN = {"tenant", "vendor", "driver", "journey", "sid", "id", "user", "address", "jti", "share", "path"}


def table() -> str:
    """The table that docs/OPERATIONS.md has to hold, made from the registry's catalogue."""
    rows = ["| metric | type | labels | what it is |", "|---|---|---|---|"]
    for row in registry.CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in row.labels) or "–"
        rows.append(f"| `{row.name}` | {row.kind} | {labels} | {row.meaning} |")
    return "\n".join(rows)


def test_the_documented_table_is_the_registry() -> None:
    assert table() in DOCS.read_text(), f"docs/OPERATIONS.md must hold exactly:\n\n{table()}"


def test_everything_scraped_parses_and_every_metric_is_there() -> None:
    body, content_type = registry.exposition()
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert content_type.startswith("text/plain")
    for row in registry.CATALOGUE:
        assert families[row.name.removesuffix("_total")].type == row.kind, row.name


def test_no_label_names_something_unbounded() -> None:
    for row in registry.CATALOGUE:
        assert row.name.startswith("wayguard_")
        assert not FORBIDDEN & set(row.labels), row.name


def test_a_counter_with_a_closed_set_of_labels_starts_at_zero() -> None:
    text = registry.exposition()[0].decode()
    for code in Code:
        assert f'wayguard_acks_total{{event="positions",outcome="{code}"}} ' in text
    assert 'wayguard_bus_dropped_total{reason="redis_away"} ' in text
    assert "_created" not in text


def test_latency_buckets_cover_a_millisecond_to_ten_seconds() -> None:
    buckets = registry.LATENCY_BUCKETS_S
    assert buckets[0] == 0.001
    assert buckets[-1] == 10.0
    assert all(low < high <= low * 2.5 for low, high in pairwise(buckets))


def test_the_label_values_on_the_page_are_the_ones_in_use() -> None:
    text = DOCS.read_text()
    for values in (
        instruments.NAMESPACES,
        instruments.TRANSPORTS,
        instruments.FEED_KINDS,
        instruments.EVENTS,
        instruments.VOID_REASONS,
        instruments.DROP_REASONS,
        instruments.REFILL_REASONS,
        instruments.POOLS,
        instruments.POOL_STATES,
    ):
        assert [value for value in values if f"`{value}`" not in text] == []
