"""The benchmarks run, say what they should, and do not overlook a loss."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from loadtests.bench.cases import durable
from loadtests.bench.measure import audit, profile_report, scrape
from loadtests.bench.measure.measurement import Measurement

ROOT = Path(__file__).parents[2]
JOURNEYS = ["0190a000-0000-7000-8000-000000000001", "0190a000-0000-7000-8000-000000000002"]


def measured(case: str, round_: int, points_per_s: float, **more: Any) -> Measurement:
    return Measurement(
        case=case,
        batch=1,
        round=round_,
        rate_per_s=0,
        points_per_s=points_per_s,
        latencies_ms={"p50": 1.0, "p99": 2.0},
        cores={"postgres": 0.5},
        us_per_point={},
        **more,
    )


@pytest.mark.long
def test_durable_measures_all_cases_and_samples_the_instance(tmp_path: Path) -> None:
    report, samples = tmp_path / "durable.json", tmp_path / "samples"
    command = [sys.executable, "-m", "loadtests.bench", "durable", "--rounds", "1", "--seconds", "0.5"]
    command += ["--warm", "0.2", "--drivers", "8", "--balancer", "--pool", "4"]
    command += ["--json", str(report), "--samples", str(samples)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    cases = {(one["batch"], one["case"]) for one in found["measurements"]}
    assert cases == {
        (batch, case)
        for batch in (1, 10)
        for case in (
            *("wayguard", "ceiling", "stock"),
            *("wayguard, same load", "stock, same load", "wayguard, half load"),
        )
    }
    for one in found["measurements"]:
        assert one["points_per_s"] > 0
        assert one["latencies_ms"]["p50"] <= one["latencies_ms"]["p99"]
        assert one["lost_points"] == 0
        assert "postgres" in one["cores"]
        assert "load client" in one["cores"]
        assert one["commit"] or "stock" in one["case"]
    assert set(found["ratios"]) == {
        f"batch {batch}: {name}" for batch in (1, 10) for name in ("times stock", "of the ceiling")
    }
    stacks = profile_report.of_cases(samples, ["batch 1", "batch 10"])
    for sampled in stacks.values():
        assert any("realtime/" in function for function in profile_report.anywhere(sampled))


@pytest.mark.parametrize("loss", ["none", "a row", "a journey"])
async def test_the_audit_finds_rows_that_are_gone(empty_database_url: str, loss: str) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        await connection.execute("CREATE TABLE journey_points (journey_id uuid, seq int)")
        for journey in JOURNEYS:
            await connection.execute(
                "INSERT INTO journey_points SELECT $1::uuid, generate_series(1, 5)", journey
            )
        if loss == "a row":
            await connection.execute(
                "DELETE FROM journey_points WHERE journey_id = $1 AND seq = 3", JOURNEYS[0]
            )
        elif loss == "a journey":
            await connection.execute("DELETE FROM journey_points WHERE journey_id = $1", JOURNEYS[1])
    finally:
        await connection.close()
    through = dict.fromkeys(JOURNEYS, 4)
    found = audit.missing(through, await asyncio.to_thread(audit.stored_seqs, empty_database_url, through))
    expected = {"none": {}, "a row": {JOURNEYS[0]: [3]}, "a journey": {JOURNEYS[1]: [1, 2, 3, 4]}}
    assert found == expected[loss]


def test_the_audit_finds_a_row_stored_twice() -> None:
    assert audit.missing({"j": 2}, {"j": [1, 2, 2]}) == {"j": [2]}


@pytest.mark.parametrize("fault", [{"lost_points": 1}, {"errors": {"lost: reset": 1}}])
def test_a_loss_or_an_error_makes_a_run_unsound(fault: dict[str, Any]) -> None:
    fine = measured("wayguard", 1, 100.0)
    assert durable.is_sound([fine])
    assert not durable.is_sound([fine, measured("stock", 1, 100.0, **fault)])


def test_ratios_compare_within_a_round_and_take_the_median() -> None:
    made = [
        *(measured("wayguard", 1, 100.0), measured("stock", 1, 50.0)),
        *(measured("wayguard", 2, 30.0), measured("stock", 2, 10.0)),
        *(measured("wayguard", 3, 90.0), measured("stock", 3, 10.0)),
    ]
    assert durable.ratios(made) == {"batch 1: times stock": 3.0}
    (ours, theirs) = durable.summaries(made)
    assert ours.points_per_s == (90.0, 30.0, 100.0)
    assert theirs.points_per_s == (10.0, 10.0, 50.0)


def test_a_histogram_s_quantile_lies_in_its_bucket() -> None:
    before = scrape.Histogram(2, 1.0, {1.0: 2, 2.0: 2, float("inf"): 2})
    after = scrape.Histogram(12, 16.0, {1.0: 2, 2.0: 12, float("inf"): 12})
    during = after.minus(before)
    assert during.mean == 1.5
    assert during.quantile(0.5) == 1.5
    assert scrape.Histogram().quantile(0.5) == 0.0
    assert scrape.Histogram(1, 9.0, {1.0: 0, float("inf"): 1}).quantile(0.99) == 1.0
