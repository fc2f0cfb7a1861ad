"""``ingest``: positions accepted and acknowledged a second, the database left out, a core for each side.

500 drivers, singles and batches of ten, each sending its next batch when its last was acknowledged. Ours is
the whole of Wayguard, tokens, checks, logs and metrics, with the one switch that no point is stored. A
peer's handler checks the ranges and acknowledges; it keeps nothing.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.bench.measure import measure_fleet, profile_report
from loadtests.bench.measure.measure_fleet import Crowd
from loadtests.bench.measure.rounds import Result, Say, in_turn
from loadtests.bench.servers import system
from loadtests.bench.servers import targets as servers
from loadtests.bench.servers.system import Cores, Target

BATCHES: Final = (1, 10)
KEY: Final = "points_per_s"
SHOWN: Final = ("points_per_s", "ack_p50_ms", "ack_p99_ms")


@dataclass(frozen=True)
class Options:
    """The command line."""

    rounds: int
    seconds: float
    warm_s: float
    drivers: int
    peers: bool = True
    samples: Path | None = None


def run(options: Options, say: Say) -> list[Result]:
    """All results, each told to ``say`` as it is made."""
    made: list[Result] = []
    cores = Cores()
    with ExitStack() as stack, cores.on(cores.load):
        on = stack.enter_context(system.engines())
        system.migrate(on)
        targets: Sequence[Target] = [servers.ours(stack, on, {}, options.samples)]
        if options.peers:
            targets = [*targets, servers.node(stack, on, {}), servers.stock(stack, on, {})]
        for batch in BATCHES:
            crowd = Crowd(
                warm_s=options.warm_s, seconds=options.seconds, drivers=options.drivers, batch=batch
            )
            for round_, target in in_turn(options.rounds, targets):
                look = profile_report.switch(target) if options.samples and target is targets[0] else dict
                made.append(measure_fleet.measure(on, target, _case(batch), crowd, round_, look=look)[0])
                say(made[-1])
        servers.assert_nothing_stored(on)
    return made


def _case(batch: int) -> str:
    return "singles" if batch == 1 else f"batches of {batch}"
