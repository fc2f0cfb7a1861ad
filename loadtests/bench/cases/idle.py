"""``idle``: clients that connect, are authenticated and stay: connections a second, memory a client.

Each has a token of its own and a websocket to ``/watch``; nobody watches anything. The first thousand come
before the clock starts, so that memory a client is that of the ones beyond, and so is the rate. They are
held with the heartbeats of the protocol, looked at again, and then all leave at once. Memory is the
server's PSS.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from loadtests.bench.load.idle_clients import CrowdSpec, raise_open_files_limit
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.memory import held
from loadtests.bench.measure.rounds import Result, Say, in_turn
from loadtests.bench.measure.usage import Usage
from loadtests.bench.servers import system, targets
from loadtests.bench.servers.system import Cores, Engines, Target

KEY: Final = "connects_per_s"
SHOWN: Final = (
    *("connects_per_s", "kib_a_client", "kib_a_client_of_all", "kib_a_client_held", "rss_kib_a_client"),
    *("us_a_connect", "us_a_goodbye", "mib_kept_after"),
)
FIRST: Final = 1_000
GONE_TIMEOUT_S: Final = 30.0
Make = Callable[[ExitStack, Engines, Mapping[str, str]], Target]


@dataclass(frozen=True)
class Options:
    """The command line."""

    rounds: int
    clients: int
    hold_s: float
    peers: bool = True


def run(options: Options, say: Say) -> list[Result]:
    """All results, each told to ``say`` as it is made. Each server is started anew for each round."""
    made: list[Result] = []
    cores = Cores()
    raise_open_files_limit()
    makers: list[Make] = [targets.ours]
    if options.peers:
        makers += [targets.node, targets.stock]
    with ExitStack() as stack, cores.on(cores.load):
        on = stack.enter_context(system.engines())
        system.migrate(on)
        for round_, make in in_turn(options.rounds, makers):
            with ExitStack() as part:
                made.append(_measured(on, make(part, on, {}), options, round_))
            say(made[-1])
    return made


class _Crowd:
    """The load process, step by step."""

    def __init__(self, spec: CrowdSpec) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "loadtests.bench.load.idle_clients"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._write(msgspec.json.encode(spec))

    def step(self) -> dict[str, Any]:
        """What it says next; it goes on when ``go_on`` is called. Raises RuntimeError when it has ended."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load process ended early; its words are above")
        found: dict[str, Any] = msgspec.json.decode(line)
        return found

    def go_on(self) -> None:
        """Let it take its next step."""
        self._write(b"")

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()


def _measured(on: Engines, target: Target, options: Options, round_: int) -> Result:
    first = min(FIRST, options.clients // 2)
    more = options.clients - first
    tokens = [measure_fleet.token(on, "dispatcher", f"i{round_}-{n}") for n in range(options.clients)]
    pid = target.pids["instances"][0]
    before = held(pid)
    crowd = _Crowd(CrowdSpec(target.addresses[0], tokens, first, options.hold_s))
    try:
        crowd.step()
        thousand, connecting = held(pid), measure_fleet.usage(on, target, crowd.process.pid)
        crowd.go_on()
        connect_s = crowd.step()["connect_s"]
        used, all_in = connecting(), held(pid)
        crowd.go_on()
        said = crowd.step()
        after_hold, leaving = held(pid), Usage({"server": [pid]}, frozenset())
        crowd.go_on()
        crowd.step()
        _until_gone(pid, after_hold.descriptors - options.clients)
        goodbye_s, kept = leaving()["server"], held(pid)
        crowd.go_on()
    finally:
        crowd.process.kill()
        crowd.process.wait()
    figures = {
        "connects_per_s": more / connect_s,
        "kib_a_client": (all_in.pss_kib - thousand.pss_kib) / more,
        "kib_a_client_of_all": (all_in.pss_kib - before.pss_kib) / options.clients,
        "kib_a_client_held": (after_hold.pss_kib - thousand.pss_kib) / more,
        "rss_kib_a_client": (all_in.rss_kib - thousand.rss_kib) / more,
        "us_a_connect": used["server"] / more * 1e6,
        "us_a_goodbye": goodbye_s / options.clients * 1e6,
        "mib_kept_after": (kept.pss_kib - before.pss_kib) / 1024,
    }
    return Result(
        case=f"{options.clients:,} clients",
        target=target.name,
        round=round_,
        figures={name: round(value, 3) for name, value in figures.items()},
        cores={role: round(seconds / connect_s, 3) for role, seconds in used.items()},
        faults={"left": said["left"], **said["errors"]},
    )


def _until_gone(pid: int, descriptors: int) -> None:
    """Raises RuntimeError when the server still has the clients' sockets after 30 s."""
    deadline_s = time.perf_counter() + GONE_TIMEOUT_S
    while (now := held(pid)).descriptors > descriptors:
        if time.perf_counter() > deadline_s:
            raise RuntimeError(f"{now.descriptors - descriptors} clients that left are still held")
        time.sleep(0.1)
    time.sleep(0.2)
