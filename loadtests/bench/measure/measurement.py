"""One measurement: a load process against a target, with what everybody used meanwhile."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import count, cycle
from typing import Any, Final, TypeVar

import msgspec

from loadtests.bench.load.positions import LoadResult, LoadSpec
from loadtests.bench.measure import audit, scrape
from loadtests.bench.measure.postgres_baseline import CeilingResult, CeilingSpec
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers.system import Engines, Target
from realtime.auth.tokens import mint

TENANT: Final = "bench"
VENDOR: Final = "north"
COMMIT_SECONDS: Final = "wayguard_commit_seconds"
COMMIT_POINTS: Final = "wayguard_commit_points"
FIX_TO_ACK: Final = "wayguard_fix_to_ack_seconds"
END_TIMEOUT_S: Final = 60.0

R = TypeVar("R")
_fleet = count(1)


class Measurement(msgspec.Struct, kw_only=True):
    """What one case gave in one round. ``cores``: CPU seconds a second by role."""

    case: str
    batch: int
    round: int
    rate_per_s: float
    points_per_s: float
    latencies_ms: dict[str, float]
    cores: dict[str, float]
    us_per_point: dict[str, float]
    commit: dict[str, float] = {}
    errors: dict[str, int] = {}
    lost_points: int = 0
    behind_ms: float = 0.0


class Shape(msgspec.Struct, frozen=True):
    """What all cases have in common."""

    drivers: int
    warm_s: float
    seconds: float


def loaded(
    on: Engines,
    target: Target,
    case: str,
    shape: Shape,
    *,
    batch: int,
    round_: int,
    rate_per_s: float = 0.0,
    sampled: bool = False,
) -> Measurement:
    """Drivers against ``target``: as many points as it takes, or ``rate_per_s`` of them."""
    fleet = next(_fleet)
    spec = LoadSpec(
        addresses=target.addresses,
        tokens=[
            mint(on.settings, role="driver", tenant=TENANT, vendors=[VENDOR], driver=f"b{fleet}-{n}")
            for n in range(shape.drivers)
        ],
        batch=batch,
        warm_s=shape.warm_s,
        seconds=shape.seconds,
        rate_per_s=rate_per_s,
        seed=fleet,
    )
    switches = cycle((signal.SIGUSR1, signal.SIGUSR2))

    def look() -> dict[str, scrape.Histogram]:
        if sampled:
            number = next(switches)
            for pid in target.pids["instances"]:
                os.kill(pid, number)
        return scrape.histograms(target.metrics_ports, names)

    names = (COMMIT_SECONDS, COMMIT_POINTS, FIX_TO_ACK)
    on.admin("CHECKPOINT")  # so that none falls into one case and not into the other
    result, cores, (before, after) = run_load(
        "loadtests.bench.load.positions",
        spec,
        LoadResult,
        lambda load_pid: _usage(on, target, load_pid),
        look,
    )
    lost = audit.missing(result.through, audit.stored_seqs(target.database_url, result.through))
    points_per_s = result.points / result.seconds
    return Measurement(
        case=case,
        batch=batch,
        round=round_,
        rate_per_s=rate_per_s,
        points_per_s=points_per_s,
        latencies_ms=_ms(result.latencies_s),
        cores=_rounded(cores),
        us_per_point=_us_per_point(cores, points_per_s),
        commit=_commit(before, after, result.seconds),
        errors=result.errors,
        lost_points=sum(map(len, lost.values())),
        behind_ms=round(result.behind_s * 1000, 1),
    )


def ceiling(
    on: Engines, shape: Shape, *, batch: int, round_: int, points: int, connections: int
) -> Measurement:
    """Postgres alone, in transactions of ``points``."""
    spec = CeilingSpec(
        database_url=on.postgres.url,
        points=points,
        batch=batch,
        connections=connections,
        warm_s=min(1.0, shape.warm_s),
        seconds=shape.seconds,
    )
    on.admin("CHECKPOINT")
    result, cores, _ = run_load(
        "loadtests.bench.measure.postgres_baseline",
        spec,
        CeilingResult,
        lambda pid: Usage({"load client": [pid], "postgres": _pid(on)}, frozenset({"postgres"})),
        dict,
    )
    points_per_s = result.points / result.seconds
    return Measurement(
        case="ceiling",
        batch=batch,
        round=round_,
        rate_per_s=0.0,
        points_per_s=points_per_s,
        latencies_ms=_ms(result.latencies_s),
        cores=_rounded(cores),
        us_per_point=_us_per_point(cores, points_per_s),
        commit={"points_mean": points},
    )


def _usage(on: Engines, target: Target, load_pid: int) -> Usage:
    roles = {**target.pids, "postgres": _pid(on), "load client": [load_pid]}
    return Usage(roles, frozenset({"postgres"}))


def _pid(on: Engines) -> list[int]:
    return [] if on.postgres.pid is None else [on.postgres.pid]


def run_load(
    module: str,
    spec: Any,
    kind: type[R],
    usage_of: Callable[[int], Usage],
    look: Callable[[], dict[str, Any]],
) -> tuple[R, dict[str, float], tuple[dict[str, Any], dict[str, Any]]]:
    """Run ``module`` on ``spec``: its result, the cores by role and ``look`` at both ends of the window."""
    with subprocess.Popen(
        [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(spec) + b"\n")
            child.stdin.flush()
            _expect(child.stdout.readline(), b"measuring", module)
            before, usage = look(), usage_of(child.pid)
            _expect(child.stdout.readline(), b"measured", module)
            used, after = usage(), look()
            child.stdin.close()
            result = msgspec.json.decode(child.stdout.read(), type=kind)
            child.wait(END_TIMEOUT_S)
        finally:
            child.kill()
    seconds: float = result.seconds  # type: ignore[attr-defined]
    return result, {role: used_s / seconds for role, used_s in used.items()}, (before, after)


def _expect(line: bytes, word: bytes, module: str) -> None:
    if line.strip() != word:
        raise RuntimeError(f"{module} ended early; its words are above")


def _commit(
    before: Mapping[str, scrape.Histogram], after: Mapping[str, scrape.Histogram], seconds: float
) -> dict[str, float]:
    """What the committer's histograms say of the window; empty for a target without them."""
    if not after:
        return {}
    during = {name: histogram.minus(before[name]) for name, histogram in after.items()}
    took, points, ack = during[COMMIT_SECONDS], during[COMMIT_POINTS], during[FIX_TO_ACK]
    return _rounded(
        {
            "commits_per_s": took.count / seconds,
            "points_mean": points.mean,
            "p50_ms": took.quantile(0.5) * 1000,
            "p99_ms": took.quantile(0.99) * 1000,
            "mean_ms": took.mean * 1000,
            "share_of_time": took.total / seconds,
            "fix_to_ack_p50_ms": ack.quantile(0.5) * 1000,
            "fix_to_ack_p99_ms": ack.quantile(0.99) * 1000,
        }
    )


def _ms(latencies_s: Mapping[str, float]) -> dict[str, float]:
    return _rounded({name: value * 1000 for name, value in latencies_s.items()})


def _us_per_point(cores: Mapping[str, float], points_per_s: float) -> dict[str, float]:
    if not points_per_s:
        return {}
    return {role: round(used / points_per_s * 1e6, 1) for role, used in cores.items() if role != "elsewhere"}


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(number, 3) for name, number in numbers.items()}
