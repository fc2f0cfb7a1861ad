"""``fanout``: positions that reach viewers, a core for the server and a core for the load.

`at once`: one frame a position to every viewer of a vendor. A few drivers send, each its next position when
everybody has its last, so the server's core is what limits. `gathered`: many drivers send at a fixed rate
and the positions of a tick reach each viewer in one event; the peers gather in their own application code.
Ours is the whole of Wayguard, with the one switch that no point is stored.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from loadtests.bench.load.frame_generator import QUIET_S
from loadtests.bench.measure import measure_fleet, profile_report
from loadtests.bench.measure.measure_fleet import Crowd
from loadtests.bench.measure.rounds import Result, Say, in_turn
from loadtests.bench.servers import system
from loadtests.bench.servers import targets as servers
from loadtests.bench.servers.system import Cores, Engines, Target

KEY: Final = "positions_per_s"
SHOWN: Final = ("positions_per_s", "frames_per_s", "view_p50_ms", "view_p99_ms", "ack_p50_ms")


@dataclass(frozen=True)
class Options:
    """The command line. ``in_flight``: drivers of the cases at once, each with one position on its way."""

    rounds: int
    seconds: float
    warm_s: float
    viewers: tuple[int, ...]
    in_flight: int
    tick_ms: int
    drivers: int
    rate_per_s: float
    ticked_viewers: int
    peers: bool = True
    engine: bool = False
    balancer: bool = False
    samples: Path | None = None


def run(options: Options, say: Say) -> list[Result]:
    """All results, each told to ``say`` as it is made."""
    cores = Cores()
    made: list[Result] = []
    with ExitStack() as stack, cores.on(cores.load):
        on = stack.enter_context(system.engines())
        system.migrate(on)
        for tick_ms, cases in ((0, _at_once), (options.tick_ms, _gathered)):
            with ExitStack() as part:
                targets = _targets(part, on, options, tick_ms)
                for one in cases(on, targets, options):
                    made.append(one)
                    say(one)
        servers.assert_nothing_stored(on)
    return made


def _targets(stack: ExitStack, on: Engines, options: Options, tick_ms: int) -> list[Target]:
    settings, tick = {"FANOUT_TICK_MS": str(tick_ms)}, {"TICK_MS": str(tick_ms)}
    targets = [servers.ours(stack, on, settings, options.samples)]
    if options.peers:
        targets += [servers.node(stack, on, tick), servers.stock(stack, on, tick)]
        targets.append(servers.tuned_stock(stack, on, tick))
    if options.engine:
        targets.append(servers.engine(stack, on, tick))
    if options.balancer:
        targets.append(servers.ours(stack, on, settings, balancer=True))
    if tick_ms == 0:
        targets.append(servers.ceiling(stack, on))
    return targets


def _at_once(on: Engines, targets: list[Target], options: Options) -> Iterator[Result]:
    for viewers in options.viewers:
        for round_, target in in_turn(options.rounds, targets):
            alone = target.name == servers.CEILING
            crowd = Crowd(
                warm_s=max(options.warm_s, 2 * QUIET_S) if alone else options.warm_s,
                seconds=options.seconds,
                drivers=0 if alone else options.in_flight,
                viewers=viewers,
            )
            yield _measured(on, target, f"at once, {viewers:,} viewers", crowd, round_, options)


def _gathered(on: Engines, targets: list[Target], options: Options) -> Iterator[Result]:
    crowd = Crowd(
        warm_s=options.warm_s,
        seconds=options.seconds,
        drivers=options.drivers,
        viewers=options.ticked_viewers,
        rate_per_s=options.rate_per_s,
    )
    case = (
        f"gathered for {options.tick_ms} ms, {crowd.drivers:,} drivers at {crowd.rate_per_s:g}/s, "
        f"{crowd.viewers:,} viewers"
    )
    for round_, target in in_turn(options.rounds, targets):
        yield _measured(on, target, case, crowd, round_, options)


def _measured(on: Engines, target: Target, case: str, crowd: Crowd, round_: int, options: Options) -> Result:
    look = profile_report.switch(target) if options.samples and target.name == "wayguard" else dict
    return measure_fleet.measure(on, target, case, crowd, round_, look=look)[0]
