"""The attackers of the benchmarks do to an instance what they say, in the smallest form; no time counts."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest

from loadtests.bench.cases import hostile_sockets, slow_connections
from loadtests.bench.load import attacker as hostile
from loadtests.bench.load.attacker import Attack, Attacker, Kind, NotEnoughDescriptors, Report, attacking
from loadtests.bench.measure.rounds import OURS, Result
from realtime.metrics import registry
from tests.loadtests.kit import ROOT
from tests.sockets.kit import Server

COUNT = 4


def refused(code: str) -> float:
    labels = {"namespace": "/watch", "code": code}
    return registry.REGISTRY.get_sample_value("wayguard_connects_refused_total", labels) or 0.0


async def reported(attacker: Attacker, done: Callable[[Report], bool]) -> Report:
    async with asyncio.timeout(60.0):
        while True:
            report = await asyncio.to_thread(attacker.report)
            if done(report):
                return report


@pytest.mark.parametrize(("kind", "code"), [("link", "not_found"), ("token", "unauthenticated")])
async def test_sockets_repeat_what_is_refused(server: Server, kind: Kind, code: str) -> None:
    before = refused(code)
    attack = Attack(kind=kind, port=server.port, count=COUNT, source="127.0.0.2")
    with attacking(attack) as attacker:
        await reported(attacker, lambda report: report.open == COUNT and report.refused > 2 * COUNT)
    assert refused(code) > before + 2 * COUNT


async def test_slow_connections_are_held_open(server: Server) -> None:
    attack = Attack(kind="slow", port=server.port, count=COUNT, source="127.0.0.2")
    with attacking(attack) as attacker:
        report = await reported(attacker, lambda report: report.open == COUNT)
    assert report.failed == 0


def test_a_limit_on_open_files_that_is_too_low_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile.resource, "getrlimit", lambda _: (1_024, 4_096))
    with pytest.raises(NotEnoughDescriptors, match="RLIMIT_NOFILE is 4,096, 10,600 are needed"):
        hostile.needs_descriptors(10_500)


def result(case: str, **figures: float) -> Result:
    return Result(case=case, target=OURS, round=1, figures=figures)


@pytest.mark.parametrize(
    ("p50_ms", "p99_ms", "up", "within"),
    [(6.0, 90.0, 1.0, True), (8.0, 90.0, 1.0, False), (6.0, 101.0, 1.0, False), (6.0, 90.0, 0.0, False)],
)
def test_links_are_compared_with_tokens(p50_ms: float, p99_ms: float, up: float, within: bool) -> None:
    made = [
        result("bad token", ack_p50_ms=5.0, ack_p99_ms=50.0, postgres_up=1.0),
        result("made-up link", ack_p50_ms=p50_ms, ack_p99_ms=p99_ms, postgres_up=up),
    ]
    lines, found = hostile_sockets.lines(made, max_ratio=1.5, ack_p99_ms=100.0)
    assert found is within
    assert f"{p50_ms / 5:.2f} times" in lines[0]


def test_an_sos_that_is_late_or_not_taken_fails() -> None:
    alone = result(slow_connections.ALONE, sos_max_ms=10.0)
    fine = result(slow_connections.PUBLIC, sos_max_ms=900.0, held=5.0, tried=10.0)
    assert slow_connections.lines([alone, fine], sos_max_ms=1_000.0)[1]
    assert not slow_connections.lines([alone, fine], sos_max_ms=800.0)[1]
    fine.faults["TimeoutError"] = 1
    lines, within = slow_connections.lines([alone, fine], sos_max_ms=1_000.0)
    assert not within
    assert "90.0 times idle (5 of 10 held)" in lines[0]


@pytest.mark.long
@pytest.mark.parametrize(
    "command",
    [
        "hostile-sockets --sockets 20 --drivers 2 --rate 10 --seconds 1 --warm 1",
        "slow-connections --connections 20 --presses 2",
        "sos --rounds 1 --presses 4 --seconds 3 --warm 1 --drivers 2 --no-peers --offered 0 --offered 10",
    ],
    ids=lambda command: command.split()[0],
)
def test_the_commands_run_and_say_their_ratios(command: str) -> None:
    argv = [sys.executable, "-m", "loadtests.bench", *command.split()]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "times" in done.stdout
