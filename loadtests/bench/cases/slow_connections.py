"""Whether an SOS gets through while one address holds connections that send one byte every 8 s.

``connections`` POSTs to an answer link come from one address. Presses are sent by HTTP, each on a connection
of its own: before the attack; during it, from another address by the public frontend, and from the attacker's
own address by the safety frontend. HAProxy's limit on open files decides how many connections there are.
"""

import asyncio
import time
from array import array
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import uuid4

import aiohttp

from loadtests.bench.load.attacker import Attack, attacking, needs_descriptors
from loadtests.bench.load.positions import quantiles
from loadtests.bench.measure import measure_fleet
from loadtests.bench.measure.rounds import OURS, Result, Say
from loadtests.bench.servers.system import Engines, Target, engines, migrate, wayguard

KEY: Final = "sos_max_ms"
SHOWN: Final = ("sos_p50_ms", "sos_max_ms", "held", "tried")
ATTACKER: Final = "127.0.0.2"
OTHER: Final = "127.0.0.3"
ALONE: Final = "no attack"
PUBLIC: Final = "public frontend, another address"
SAFETY: Final = "safety frontend, the attacker's address"
PRESS_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Options:
    """``connections`` are tried, ``presses`` are sent in each case."""

    rounds: int
    connections: int
    presses: int


def run(options: Options, say: Say) -> list[Result]:
    """Every round on processes that have just been started. Raises NotEnoughDescriptors."""
    needs_descriptors(options.connections)
    made = []
    for round_ in range(1, options.rounds + 1):
        with engines() as on:
            migrate(on)
            with wayguard(on, 1, balancer=True, connections_per_address=0) as target:
                port = target.addresses[0][1]
                made.append(_pressed(on, options, round_, ALONE, port, OTHER, 0))
                say(made[-1])
                attack = Attack(kind="slow", port=port, count=options.connections, source=ATTACKER)
                with attacking(attack) as attacker:
                    held = attacker.until_steady(options.connections).open
                    for case, at, source in _cases(target):
                        made.append(_pressed(on, options, round_, case, at, source, held))
                        say(made[-1])
    return made


def _cases(target: Target) -> tuple[tuple[str, int, str], ...]:
    return (PUBLIC, target.addresses[0][1], OTHER), (SAFETY, target.safety_port, ATTACKER)


def _pressed(
    on: Engines, options: Options, round_: int, case: str, port: int, source: str, held: int
) -> Result:
    took_s, faults = asyncio.run(_presses(on, options.presses, f"{round_}-{bool(held)}-{port}", port, source))
    found = quantiles(array("d", took_s)) if took_s else {}
    return Result(
        case=case,
        target=OURS,
        round=round_,
        figures={
            "sos_p50_ms": round(found.get("p50", 0.0) * 1000, 1),
            "sos_max_ms": round(max(took_s, default=0.0) * 1000, 1),
            "held": float(held),
            "tried": float(options.connections if held else 0),
        },
        faults=faults,
    )


async def _presses(
    on: Engines, count: int, name: str, port: int, source: str
) -> tuple[list[float], dict[str, int]]:
    """How long each press took, in s, and how often it was not taken, by why."""
    took_s: list[float] = []
    faults: dict[str, int] = {}
    timeout = aiohttp.ClientTimeout(total=PRESS_TIMEOUT_S)
    for number in range(count):
        bearer = {"Authorization": f"Bearer {measure_fleet.token(on, 'driver', f'd-{name}-{number}')}"}
        asked = {"sos_id": str(uuid4()), "pressed_at": time.time_ns() // 1_000_000}
        connector = aiohttp.TCPConnector(local_addr=(source, 0), force_close=True)
        begun_s = time.monotonic()
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
                http.post(f"http://127.0.0.1:{port}/api/v1/sos", json=asked, headers=bearer) as answer,
            ):
                await answer.read()
                fault = "" if answer.status == HTTPStatus.OK else f"status {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            fault = type(error).__name__
        if fault:
            faults[fault] = faults.get(fault, 0) + 1
        else:
            took_s.append(time.monotonic() - begun_s)
    return took_s, faults


def lines(results: list[Result], *, sos_max_ms: float) -> tuple[list[str], bool]:
    """The slowest press of each case as a multiple of that without an attack, of the same round, and whether
    all are within ``sos_max_ms``; 0 = no limit.
    """
    said, within = [], True
    alone = {one.round: one.figures["sos_max_ms"] for one in results if one.case == ALONE}
    for one in results:
        if one.case == ALONE:
            continue
        slowest_ms = one.figures["sos_max_ms"]
        ratio = slowest_ms / max(alone[one.round], 0.01)
        held = f"{one.figures['held']:,.0f} of {one.figures['tried']:,.0f} held"
        said.append(
            f"round {one.round}: {one.case}: slowest SOS {slowest_ms:.0f} ms, {ratio:.1f} times idle ({held})"
        )
        within = within and not one.faults and (not sos_max_ms or slowest_ms <= sos_max_ms)
    return said, within
