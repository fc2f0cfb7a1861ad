"""What sockets without a valid credential cost the drivers: acks alone, and under each kind of attack.

Each case is on two instances behind the balancer, in one run: no attack; ``sockets`` connections that repeat
a connect with a bad token, which no store is asked about; as many with a made-up share link, which has to be
looked up. Drivers send positions meanwhile; the attackers come from another address.
"""

import threading
import urllib.request
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final

from loadtests.bench.load.attacker import Attack, Attacker, Kind, Report, attacking
from loadtests.bench.load.positions import LoadResult, LoadSpec
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.measurement import run_load
from loadtests.bench.measure.rounds import OURS, Result, Say
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers.system import Engines, Target, engines, migrate, wayguard

KEY: Final = "ack_p50_ms"
SHOWN: Final = ("ack_p50_ms", "ack_p99_ms", "points_per_s", "sockets", "tries_per_s", "postgres_up")
ATTACKER: Final = "127.0.0.2"
ALONE: Final = "no attack"
CASES: Final[dict[str, Kind | None]] = {ALONE: None, "bad token": "token", "made-up link": "link"}


@dataclass(frozen=True)
class Options:
    """``sockets`` attack, ``drivers`` send ``rate_per_s`` positions in all."""

    rounds: int
    sockets: int
    drivers: int
    rate_per_s: float
    warm_s: float
    seconds: float


def run(options: Options, say: Say) -> list[Result]:
    """Every case in every round, each round on processes that have just been started."""
    made = []
    for round_ in range(1, options.rounds + 1):
        with engines() as on:
            migrate(on)
            with wayguard(on, 2, balancer=True) as target:
                for case, kind in CASES.items():
                    made.append(_measured(on, target, options, round_, case, kind))
                    say(made[-1])
    return made


def _measured(
    on: Engines, target: Target, options: Options, round_: int, case: str, kind: Kind | None
) -> Result:
    if kind is None:
        return _loaded(on, target, options, round_, case, None, Report())
    port = target.addresses[0][1]
    attack = Attack(kind=kind, port=port, count=options.sockets, source=ATTACKER)
    with attacking(attack) as attacker:
        before = attacker.until_steady(options.sockets)
        return _loaded(on, target, options, round_, case, attacker, before)


def _loaded(
    on: Engines,
    target: Target,
    options: Options,
    round_: int,
    case: str,
    attacker: Attacker | None,
    before: Report,
) -> Result:
    spec = LoadSpec(
        addresses=target.addresses,
        tokens=[
            measure_fleet.token(on, "driver", f"{case}-{round_}-{n}".replace(" ", "-"))
            for n in range(options.drivers)
        ],
        batch=1,
        warm_s=options.warm_s,
        seconds=options.seconds,
        rate_per_s=options.rate_per_s,
        seed=round_,
    )

    def usage(pid: int) -> Usage:
        postgres = [] if on.postgres.pid is None else [on.postgres.pid]
        return Usage({**target.pids, "postgres": postgres, "load client": [pid]}, frozenset({"postgres"}))

    with _Followed(attacker) if attacker is not None else nullcontext() as followed:
        load, cores, _ = run_load("loadtests.bench.load.positions", spec, LoadResult, usage, dict)
    after = before if followed is None else followed.last
    tries = after.refused - before.refused
    return Result(
        case=case,
        target=OURS,
        round=round_,
        figures={
            "ack_p50_ms": round(load.latencies_s.get("p50", 0.0) * 1000, 2),
            "ack_p99_ms": round(load.latencies_s.get("p99", 0.0) * 1000, 2),
            "points_per_s": round(load.points / load.seconds, 1),
            "sockets": float(before.open),
            "tries_per_s": round(tries / (options.warm_s + options.seconds), 1),
            "postgres_up": float(all(_is_up(port) for port in target.metrics_ports)),
        },
        cores={role: round(used, 3) for role, used in cores.items()},
        faults={**load.errors, "no attack took place": int(attacker is not None and tries <= 0)},
    )


class _Followed:
    """Reads the attacker's reports in a thread while the load runs; ``last`` is the newest."""

    def __init__(self, attacker: Attacker) -> None:
        self._attacker = attacker
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stopped = threading.Event()
        self.last = Report()

    def __enter__(self) -> "_Followed":
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.last = self._attacker.report()


def _is_up(port: int) -> bool:
    """Whether the instance on ``port`` takes Postgres for available."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return "\nwayguard_postgres_up 1.0" in answer.read().decode()


def lines(results: list[Result], *, max_ratio: float, ack_p99_ms: float) -> tuple[list[str], bool]:
    """The attack by links as a multiple of that by tokens, of the same round, and whether all is within the
    limits; 0 = no limit.
    """
    said, within = [], True
    by_case = {(one.round, one.case): one for one in results}
    for round_ in sorted({one.round for one in results}):
        token, link = by_case[round_, "bad token"].figures, by_case[round_, "made-up link"].figures
        ratio = link["ack_p50_ms"] / max(token["ack_p50_ms"], 0.01)
        said.append(
            f"round {round_}: under made-up links ack p50 is {ratio:.2f} times that under bad tokens,"
            f" ack p99 {link['ack_p99_ms']:.1f} ms"
        )
        within = within and (not max_ratio or ratio <= max_ratio)
        within = within and (not ack_p99_ms or link["ack_p99_ms"] <= ack_p99_ms)
        within = within and link["postgres_up"] == 1.0
    return said, within
