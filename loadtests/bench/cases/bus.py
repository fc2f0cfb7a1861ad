"""``bus``: drivers on one instance, viewers on another, Redis between them; and what others' traffic costs.

The instance of the viewers has the server's core to itself; that of the drivers, Redis and the load client
share the other. `local` is the same with the drivers on the viewers' instance too. `unwatched` floods the
first instance, where the viewers are then, and looks at the second, which nobody watches; `idle` looks at
it with no traffic at all. The peers use python-socketio's Redis manager and @socket.io/redis-adapter.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.measure_fleet import Crowd
from loadtests.bench.measure.rounds import Result, Say, in_turn
from loadtests.bench.servers import system
from loadtests.bench.servers import targets as servers
from loadtests.bench.servers.system import Cores, Engines, Target

KEY: Final = "positions_per_s"
SHOWN: Final = ("positions_per_s", "view_p50_ms", "view_p99_ms", "second_instance_cores")
PLACES: Final = {"local": (1, 1), "through Redis": (0, 1), "unwatched": (0, 0), "idle": None}
"""Where the drivers and the viewers are: 0 = the first instance, 1 = the second."""


@dataclass(frozen=True)
class Options:
    """The command line."""

    rounds: int
    seconds: float
    warm_s: float
    viewers: int
    in_flight: int
    tick_ms: int
    drivers: int
    rate_per_s: float
    peers: bool = True


def run(options: Options, say: Say) -> list[Result]:
    """All results, each told to ``say`` as it is made."""
    made: list[Result] = []
    cores = Cores()
    with ExitStack() as stack, cores.on(cores.load):
        on = stack.enter_context(system.engines(redis_port=0))
        system.migrate(on)
        for tick_ms in (0, options.tick_ms):
            with ExitStack() as part:
                targets = _targets(part, on, options, tick_ms)
                for place in PLACES:
                    for round_, target in in_turn(options.rounds, targets):
                        made.append(_measured(on, target, place, tick_ms, options, round_))
                        say(made[-1])
        servers.assert_nothing_stored(on)
    return made


def _targets(stack: ExitStack, on: Engines, options: Options, tick_ms: int) -> list[Target]:
    cores = Cores()
    two = (cores.load, cores.server)
    targets = [servers.ours(stack, on, {"FANOUT_TICK_MS": str(tick_ms)}, cores=two)]
    if options.peers:
        tick = {"TICK_MS": str(tick_ms), "REDIS_URL": on.redis.url}
        targets += [servers.node(stack, on, tick, two), servers.stock(stack, on, tick, two)]
    return targets


def _measured(on: Engines, target: Target, place: str, tick_ms: int, options: Options, round_: int) -> Result:
    where = PLACES[place]
    rated = tick_ms > 0 or place == "unwatched"
    crowd = Crowd(
        warm_s=options.warm_s,
        seconds=options.seconds,
        drivers=(options.drivers if rated else options.in_flight) if where else 0,
        viewers=options.viewers if where and place != "unwatched" else int(where is not None),
        rate_per_s=options.rate_per_s if rated else 0.0,
    )
    first, second = where or (0, 0)
    how = f"gathered for {tick_ms} ms" if tick_ms else "at once"
    one, _ = measure_fleet.measure(
        on,
        target,
        f"{how}, {place}",
        crowd,
        round_,
        driver_addresses=[target.addresses[first]],
        viewer_addresses=[target.addresses[second]],
    )
    one.figures["second_instance_cores"] = one.cores.get("server 2", 0.0)
    return one
