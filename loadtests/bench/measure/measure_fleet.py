"""One measurement by the load process of `loadtests.bench.load.fleet` against a target."""

import time
from itertools import count
from typing import Any, Final

import jwt
import msgspec

from loadtests.bench.load.fleet import FleetResult, FleetSpec
from loadtests.bench.measure.measurement import run_load
from loadtests.bench.measure.rounds import Result
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers.system import Cores, Engines, Target

TENANT: Final = "bench"
VENDOR: Final = "north"
_fleet = count(1)


class Crowd(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes part in a case, and for how long it is measured."""

    warm_s: float
    seconds: float
    drivers: int = 0
    viewers: int = 0
    batch: int = 1
    rate_per_s: float = 0.0
    stalled: int = 0


def token(on: Engines, role: str, name: str) -> str:
    """A token of its own for ``name``, so that limits by principal see as many as there are."""
    now_s = int(time.time())
    claims = {
        "sub": name,
        "role": role,
        "tenant": TENANT,
        "vendors": [VENDOR],
        "jti": name,
        "aud": "wayguard",
        "iss": "wayguard",
        "iat": now_s,
        "exp": now_s + 86_400,
    }
    if role == "driver":
        claims["driver"] = name
    return jwt.encode(claims, on.secret, algorithm="HS256")


def measure(
    on: Engines,
    target: Target,
    case: str,
    crowd: Crowd,
    round_: int,
    *,
    driver_addresses: list[tuple[str, int]] | None = None,
    viewer_addresses: list[tuple[str, int]] | None = None,
    look: Any = dict,
) -> tuple[Result, tuple[Any, Any]]:
    """``crowd`` against ``target``, and what ``look`` saw at both ends of the window."""
    number = next(_fleet)
    drivers = {f"b{number}-{n:04d}": "" for n in range(crowd.drivers)}
    spec = FleetSpec(
        driver_addresses=driver_addresses or target.addresses,
        viewer_addresses=viewer_addresses or target.addresses,
        drivers={name: token(on, "driver", name) for name in drivers},
        viewers=[token(on, "dispatcher", f"v{number}-{n}") for n in range(crowd.viewers)],
        vendor=VENDOR,
        **{name: getattr(crowd, name) for name in ("batch", "warm_s", "seconds", "rate_per_s", "stalled")},
    )
    cores = Cores()
    with cores.on(cores.load):
        result, used, looks = run_load(
            "loadtests.bench.load.fleet", spec, FleetResult, lambda pid: usage(on, target, pid), look
        )
    return _result(case, target, round_, result, used), looks


def usage(on: Engines, target: Target, load_pid: int) -> Usage:
    """Who uses the processors, by role; the instances each by its number where there are several."""
    instances = target.pids["instances"]
    roles = {"server" if len(instances) == 1 else f"server {n}": [pid] for n, pid in enumerate(instances, 1)}
    roles |= {role: pids for role, pids in target.pids.items() if role != "instances"}
    roles["postgres"] = [] if on.postgres.pid is None else [on.postgres.pid]
    roles["load client"] = [load_pid]
    return Usage(roles, frozenset({"postgres"}))


def _result(case: str, target: Target, round_: int, result: FleetResult, used: dict[str, float]) -> Result:
    figures = {
        "points_per_s": result.points / result.seconds,
        "positions_per_s": result.positions / result.seconds,
        "frames_per_s": result.frames / result.seconds,
        "conflated": result.conflated,
        "skipped": result.skipped,
        "not_sent": result.not_sent,
    }
    figures |= {f"ack_{name}_ms": value * 1000 for name, value in result.ack_s.items()}
    figures |= {f"view_{name}_ms": value * 1000 for name, value in result.view_s.items()}
    figures |= {f"{name}_connect_s": value for name, value in result.connect_s.items()}
    return Result(
        case=case,
        target=target.name,
        round=round_,
        figures={name: round(value, 3) for name, value in figures.items()},
        cores={role: round(value, 3) for role, value in used.items()},
        faults={"lost": result.lost, "duplicates": result.duplicates, **result.errors},
    )
