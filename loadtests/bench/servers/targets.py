"""The servers that are measured side by side, each process on the server's core unless said otherwise."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from loadtests.bench.measure.rounds import OURS
from loadtests.bench.servers import nodejs, system
from loadtests.bench.servers.system import Cores, Engines, Target

NODE: Final = "node socket.io"
STOCK: Final = "stock python-socketio"
TUNED: Final = "stock, gc tuned"
ENGINE: Final = "our engine alone"
BALANCED: Final = "wayguard behind HAProxy"
CEILING: Final = "load client alone"
UNDURABLE: Final = ("-m", "loadtests.bench.servers.without_storage")
_LIVE: Final = (sys.executable, "-m", "loadtests.peers.live")
_BLASTER: Final = (sys.executable, "-m", "loadtests.bench.load.frame_generator")
_SETTINGS: Final = {"DRIVER_POINTS_PER_S": "100000"}
"""A rate no phone has: the limit is checked, and never met."""
Where = Sequence[int | None]


def here() -> Where:
    """One process, on the server's core."""
    return (Cores().server,)


def ours(
    stack: ExitStack,
    on: Engines,
    settings: Mapping[str, str],
    samples: Path | None = None,
    cores: Where | None = None,
    *,
    balancer: bool = False,
) -> Target:
    """Wayguard with a worker, as it is served, but for the points that are not stored."""
    program = UNDURABLE if samples is None else (*UNDURABLE, str(samples))
    cores = cores or here()
    target = stack.enter_context(
        system.wayguard(
            on,
            len(cores),
            balancer=balancer,
            program=program,
            settings={**_SETTINGS, **settings},
            cores=cores,
        )
    )
    target.name = BALANCED if balancer else OURS
    return target


def node(stack: ExitStack, on: Engines, settings: Mapping[str, str], cores: Where | None = None) -> Target:
    """Node's socket.io: `loadtests/peers/node/server.mjs`."""
    return stack.enter_context(system.peer(on, NODE, nodejs.server(), settings, cores or here()))


def stock(stack: ExitStack, on: Engines, settings: Mapping[str, str], cores: Where | None = None) -> Target:
    """Stock python-socketio: `loadtests.peers.live`."""
    return stack.enter_context(system.peer(on, STOCK, _LIVE, settings, cores or here()))


def tuned_stock(stack: ExitStack, on: Engines, settings: Mapping[str, str]) -> Target:
    """The same with a garbage collector that seldom looks at everything."""
    return stack.enter_context(system.peer(on, TUNED, _LIVE, {**settings, "GC": "rare"}, here()))


def engine(stack: ExitStack, on: Engines, settings: Mapping[str, str]) -> Target:
    """The same handlers on our own engine, without the product."""
    return stack.enter_context(system.peer(on, ENGINE, _LIVE, {**settings, "ENGINE": "fanout"}, here()))


def ceiling(stack: ExitStack, on: Engines) -> Target:
    """What shows the most that the load client can count."""
    return stack.enter_context(system.peer(on, CEILING, _BLASTER, {}, here()))


def assert_nothing_stored(on: Engines) -> None:
    """Raises RuntimeError when a point reached the database: then it was measured too."""
    stored = on.ask("SELECT count(*) FROM journey_points", database="wayguard")
    if stored:
        raise RuntimeError(f"{stored} points were stored by an instance that was to store none")
