"""``durable``: positions accepted, committed and acknowledged a second, with everything on one machine.

Each round measures, for singles and for batches of ten: this project with all drivers sending as fast as
they are acknowledged; Postgres alone, with transactions of the size that gave; stock python-socketio with
asyncpg; then both servers at the same moderate load, and this project at half of its own best. Rounds are
interleaved, every other one in the opposite order, and compared by medians.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from loadtests.bench.measure import measurement
from loadtests.bench.measure.measurement import Measurement, Shape
from loadtests.bench.servers import system

BATCHES: Final = (1, 10)
MODERATE: Final = 0.5
"""The share of the best that a moderate load is."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    rounds: int
    shape: Shape
    instances: int
    balancer: bool
    pool: int
    peer: bool
    profile: Path | None


def run(options: Options, say: Callable[[Measurement], None]) -> list[Measurement]:
    """All measurements, each told to ``say`` as it is made."""
    made: list[Measurement] = []
    with ExitStack() as stack:
        on = stack.enter_context(system.engines())
        system.migrate(on)
        program: tuple[str, ...] = system.SERVE
        if options.profile is not None:
            program = ("-m", "loadtests.bench.servers.profile_run", str(options.profile))
        ours = stack.enter_context(
            system.wayguard(on, options.instances, balancer=options.balancer, program=program)
        )
        peer = stack.enter_context(system.stock(on, options.pool)) if options.peer else None
        for round_ in range(1, options.rounds + 1):
            for batch in BATCHES:
                for one in _round(on, ours, peer, options, batch, round_, made):
                    made.append(one)
                    say(one)
    return made


def _round(
    on: system.Engines,
    ours: system.Target,
    peer: system.Target | None,
    options: Options,
    batch: int,
    round_: int,
    made: list[Measurement],
) -> Iterator[Measurement]:
    shape = options.shape

    def best(target: system.Target, case: str) -> Measurement:
        sampled = options.profile is not None and target is ours
        return measurement.loaded(on, target, case, shape, batch=batch, round_=round_, sampled=sampled)

    def at(target: system.Target, case: str, rate_per_s: float) -> Measurement:
        return measurement.loaded(on, target, case, shape, batch=batch, round_=round_, rate_per_s=rate_per_s)

    targets = [("wayguard", ours)] + ([("stock", peer)] if peer else [])
    for case, target in targets if round_ % 2 else reversed(targets):
        yield (found := best(target, case))
        if case == "wayguard":
            points = max(batch, round(found.commit["points_mean"]))
            yield measurement.ceiling(
                on, shape, batch=batch, round_=round_, points=points, connections=options.instances
            )
    # The same rates in every round, so that latencies can be compared: half of the first round's best.
    first = {one.case: one.points_per_s for one in made if one.round == 1 and one.batch == batch}
    if peer:
        moderate = round(MODERATE * first["stock"])
        for case, target in targets if round_ % 2 else reversed(targets):
            yield at(target, f"{case}, same load", moderate)
    yield at(ours, "wayguard, half load", round(MODERATE * first["wayguard"]))


def is_sound(made: list[Measurement]) -> bool:
    """Whether nothing that was acknowledged is missing and nobody was refused or cut off."""
    return not any(one.lost_points or one.errors for one in made)


@dataclass(frozen=True)
class Summary:
    """One case of one batch size over its rounds: (median, least, most) of each figure."""

    case: str
    batch: int
    points_per_s: tuple[float, float, float]
    p50_ms: tuple[float, float, float]
    p99_ms: tuple[float, float, float]
    cores: dict[str, float]
    us_per_point: dict[str, float]
    commit: dict[str, float]


def summaries(made: list[Measurement]) -> list[Summary]:
    """By batch size and case, in the order in which they were first measured."""
    found = []
    for batch in BATCHES:
        for case in dict.fromkeys(one.case for one in made if one.batch == batch):
            same = [one for one in made if (one.batch, one.case) == (batch, case)]
            found.append(
                Summary(
                    case,
                    batch,
                    _spread([one.points_per_s for one in same]),
                    _spread([one.latencies_ms.get("p50", 0.0) for one in same]),
                    _spread([one.latencies_ms.get("p99", 0.0) for one in same]),
                    _medians([one.cores for one in same]),
                    _medians([one.us_per_point for one in same]),
                    _medians([one.commit for one in same]),
                )
            )
    return found


def ratios(made: list[Measurement]) -> dict[str, float]:
    """How many times the peer's points a second, and what share of Postgres' own: medians over the rounds.

    Each ratio is taken within one round, where the machine was the same for both.
    """
    found = {}
    for batch in BATCHES:
        by = {(one.case, one.round): one.points_per_s for one in made if one.batch == batch}
        for other, name in (("stock", "times stock"), ("ceiling", "of the ceiling")):
            pairs = [
                (by["wayguard", round_], points_per_s)
                for (case, round_), points_per_s in by.items()
                if case == other and points_per_s
            ]
            if pairs:
                found[f"batch {batch}: {name}"] = round(median(ours / theirs for ours, theirs in pairs), 2)
    return found


def _spread(values: list[float]) -> tuple[float, float, float]:
    return median(values), min(values), max(values)


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(median(row.get(name, 0.0) for row in rows), 3) for name in names}
