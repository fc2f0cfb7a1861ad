"""``slow``: viewers that stop reading beside as many that read: memory, latency, when they are gone.

Positions are gathered for a tick and sent at a fixed rate; `alone` has only viewers that read, in `with
stalled` as many more stop reading when the measurement begins, with a small buffer of their own. Memory is
the server's growth from then on at its worst; they are gone once the server has closed as many descriptors
as there are of them.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.measure_fleet import Crowd
from loadtests.bench.measure.memory import Held, Watched, held
from loadtests.bench.measure.rounds import Result, Say, in_turn
from loadtests.bench.servers import system
from loadtests.bench.servers import targets as servers
from loadtests.bench.servers.system import Cores, Engines, Target

KEY: Final = "view_p99_ms"
SHOWN: Final = (
    "view_p50_ms",
    "view_p99_ms",
    "p99_times_alone",
    "memory_mib",
    "gone_s",
    "still_there",
    "positions_per_s",
)


@dataclass(frozen=True)
class Options:
    """The command line. ``seconds`` is that of the stalled case: long enough for them to be closed."""

    rounds: int
    seconds: float
    warm_s: float
    viewers: int
    stalled: int
    tick_ms: int
    drivers: int
    rate_per_s: float
    stall_s: float = 15.0
    peers: bool = True


def run(options: Options, say: Say) -> list[Result]:
    """All results, each told to ``say`` as it is made."""
    made: list[Result] = []
    cores = Cores()
    with ExitStack() as stack, cores.on(cores.load):
        on = stack.enter_context(system.engines())
        system.migrate(on)
        tick = {"TICK_MS": str(options.tick_ms)}
        ours = {"FANOUT_TICK_MS": str(options.tick_ms), "VIEWER_STALL_S": str(options.stall_s)}
        targets = [servers.ours(stack, on, ours)]
        if options.peers:
            targets += [servers.node(stack, on, tick), servers.stock(stack, on, tick)]
        for round_, target in in_turn(options.rounds, targets):
            alone = _measured(on, target, options, 0, round_)
            say(alone)
            beside = _measured(on, target, options, options.stalled, round_)
            if p99_ms := alone.figures.get(KEY):
                beside.figures["p99_times_alone"] = round(beside.figures.get(KEY, 0.0) / p99_ms, 3)
            say(beside)
            made += alone, beside
        servers.assert_nothing_stored(on)
    return made


def _measured(on: Engines, target: Target, options: Options, stalled: int, round_: int) -> Result:
    pid = target.pids["instances"][0]
    crowd = Crowd(
        warm_s=options.warm_s,
        seconds=options.seconds,
        drivers=options.drivers,
        viewers=options.viewers + stalled,
        rate_per_s=options.rate_per_s,
        stalled=stalled,
    )
    case = f"{stalled} stalled" if stalled else "alone"
    with Watched(pid) as watched:
        one, (begin, end) = measure_fleet.measure(on, target, case, crowd, round_, look=lambda: held(pid))
    one.figures |= _told(begin, end, watched.seen, stalled)
    return one


def _told(begin: Held, end: Held, seen: list[Held], stalled: int) -> dict[str, float]:
    during = [*(one for one in seen if begin.at_s <= one.at_s <= end.at_s), end]
    figures = {"memory_mib": round((max(one.pss_kib for one in during) - begin.pss_kib) / 1024, 1)}
    if stalled:
        gone = next((one for one in during if one.descriptors <= begin.descriptors - stalled), None)
        figures["still_there"] = max(0, end.descriptors - begin.descriptors + stalled)
        if gone is not None:
            figures["gone_s"] = round(gone.at_s - begin.at_s, 2)
    return figures
