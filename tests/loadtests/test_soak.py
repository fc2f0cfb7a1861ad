"""The soak runs, and its verdict tells a leak from noise."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from loadtests.soak import flat, sample
from loadtests.soak.sample import Sample

ROOT = Path(__file__).parents[2]


def taken(at_s: float = 0.0, **more: float) -> Sample:
    held = {"rss_kib": 90_000, "pss_kib": 66_000, "anonymous_kib": 50_000, "descriptors": 190, "threads": 1}
    told = {"connections": 150, "feeds": 60, "viewers": 70, "tasks": 20}
    return Sample(at_s=at_s, **{**held, **told, **more})


def a_run(grow: str = "", by: float = 0.0, noise: float = 0.0) -> list[Sample]:
    """Eight minutes, a sample each 10 s; ``grow`` is ``by`` larger at the end."""
    rng = Random(7)
    samples = []
    for n in range(49):
        more = dict.fromkeys(("rss_kib", "anonymous_kib"), 50_000 + rng.uniform(-noise, noise) * 1_000)
        more |= {"descriptors": 190 + rng.uniform(-noise, noise), "tasks": 20 + rng.uniform(-noise, noise)}
        more["threads"] = 3.0
        if grow:
            more[grow] += by * n / 48
        samples.append(taken(n * 10.0, **more))
    return samples


def faults(samples: list[Sample]) -> list[str]:
    return flat.faults_of(flat.by_process({"instance 1": samples}))


@pytest.mark.long
def test_a_soak_of_a_few_seconds_is_flat_and_loses_nothing(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    command = [
        sys.executable,
        "-m",
        "loadtests.soak",
        "--minutes",
        "0.15",
        "--drivers",
        "6",
        "--viewers",
        "6",
    ]
    command += ["--stalled", "1", "--every", "0.5", "--pace", "20", "--json", str(report)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    said = done.stdout + done.stderr
    assert "Redis was restarted" in said, said
    found = json.loads(report.read_text())["outcome"]
    assert found["acknowledged"] > 0
    assert found["lost"] == 0
    assert found["counts"]["stalls"] == 1
    assert found["counts"]["journeys"] > 6
    assert found["counts"]["connects"] > 13
    assert found["counts"]["event positions"] > 0
    assert {"instance 1", "instance 2", "worker"} == set(found["samples"])
    for name in ("instance 1", "instance 2"):
        assert all(one["tasks"] > 5 for one in found["samples"][name])
        assert max(one["connections"] for one in found["samples"][name]) > 0
    assert "| instance 1 | anonymous, MiB |" in said
    # Heaps and pools still fill up in so short a time; nothing may be lost or left behind all the same.
    assert [fault for fault in found["faults"] if "grew by" not in fault] == [], said
    assert done.returncode == (1 if found["faults"] else 0)
    assert said.rstrip().endswith("NOT FLAT" if found["faults"] else "\nFLAT")


@pytest.mark.parametrize("noise", [0.0, 1.0, 5.0])
def test_noise_is_no_leak(noise: float) -> None:
    assert faults(a_run(noise=noise)) == []


@pytest.mark.parametrize(
    ("name", "by"),
    [("rss_kib", 6_000), ("anonymous_kib", 6_000), ("descriptors", 12), ("tasks", 12), ("threads", 8)],
)
def test_a_leak_is_told_through_the_noise(name: str, by: float) -> None:
    (fault,) = faults(a_run(name, by, noise=2.0))
    assert "grew by" in fault
    assert ("besides clients" if name == "descriptors" else name) in fault


@pytest.mark.parametrize(("name", "by"), [("rss_kib", 2_500), ("tasks", 4), ("anonymous_kib", -9_000)])
def test_growth_within_what_is_allowed_and_shrinking_are_flat(name: str, by: float) -> None:
    assert faults(a_run(name, by)) == []


def test_clients_that_move_to_an_instance_are_no_leak_of_descriptors() -> None:
    samples = [taken(n * 10.0, descriptors=190 + n, connections=150 + n) for n in range(49)]
    assert faults(samples) == []


def test_descriptors_that_stay_when_their_clients_go_are_a_leak() -> None:
    samples = [taken(n * 10.0, descriptors=190, connections=150 - n) for n in range(49)]
    assert len(faults(samples)) == 1


def test_the_slope_does_not_see_a_fifth_of_outliers() -> None:
    series = [(float(n), 1e9 if n % 5 == 0 else 2.0 * n) for n in range(50)]
    assert flat.slope(series) == pytest.approx(2.0, rel=0.2)


def test_the_slope_of_a_night_is_that_of_an_hour() -> None:
    assert flat.slope([(10.0 * n, 3.0 * n) for n in range(4_001)]) == pytest.approx(0.3)


def test_a_single_sample_has_no_slope() -> None:
    assert flat.slope([(0.0, 5.0)]) == 0.0
    assert faults([taken()]) == []


def test_what_people_leave_behind_is_told() -> None:
    before, busy = taken(descriptors=20, connections=0, feeds=0, viewers=0), [taken(descriptors=190)]
    gone = {"connections": 0.0, "feeds": 0.0, "viewers": 0.0}
    assert flat.leftovers("w", before, busy, taken(**gone, descriptors=42)) == []
    assert flat.leftovers("w", before, busy, taken(**gone, descriptors=47)) == [
        "w: 7 descriptors more than before"
    ]
    assert flat.leftovers("w", before, busy, taken(**gone, descriptors=20, tasks=30)) == [
        "w: 10 tasks more than before"
    ]
    left = flat.leftovers("w", before, busy, taken(connections=1, feeds=2, viewers=3, descriptors=20))
    assert left == [
        f"w: {what} when everybody had left" for what in ("1 connections", "2 feeds", "3 viewers")
    ]


def test_metrics_are_added_up_over_their_labels() -> None:
    text = (
        "# HELP wayguard_tasks asyncio tasks of this process\nwayguard_tasks 21.0\n"
        'wayguard_connections{namespace="/driver",transport="websocket"} 3.0\n'
        'wayguard_connections{namespace="/watch",transport="polling"} 2.0\n'
        'wayguard_viewers{kind="area"} 4.0\nwayguard_viewers_lagging 9.0\n'
        "wayguard_viewers_stalled_total 5.0\n"
    )
    assert sample.gauges(text) == {"tasks": 21.0, "connections": 5.0, "viewers": 4.0, "stalled": 5.0}
