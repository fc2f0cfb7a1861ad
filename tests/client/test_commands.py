"""`wayguard replay` and `wayguard simulate` as processes, against the fake server."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from typer.testing import CliRunner

from realtime.cli import app
from tests.client.fake import FakeServer, Fault, fake_server
from tests.client.model import Log
from tests.client.test_recording import ROUTE_14

SECRET = "a secret of the tests, long enough for HS256"


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


async def start(fake: FakeServer, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "realtime.cli",
        *arguments,
        env={**os.environ, "AUTH_SECRET": SECRET, "PUBLIC_URL": fake.url, "WAYGUARD_TOKEN": ""},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def outcome(process: asyncio.subprocess.Process) -> tuple[int, str, dict[str, int]]:
    """Exit code, what was printed, and the closing line's numbers."""
    try:
        async with asyncio.timeout(150.0):  # a process starts slowly on a busy machine
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    numbers = {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", output)}
    return process.returncode, output, numbers


def logs(fake: FakeServer) -> list[Log]:
    return list(fake.model.by_id.values())


async def test_a_replay_stores_every_fix_once_and_says_so(fake: FakeServer) -> None:
    fake.faults.extend([Fault.CUT_AFTER_STORING, Fault.OVERLOADED, Fault.CUT_BEFORE_STORING])
    code, output, numbers = await outcome(await start(fake, "replay", str(ROUTE_14), "--speed", "6000"))
    assert code == 0, output
    assert numbers["points"] == numbers["acknowledged"] == 1533
    assert numbers["journeys"] == numbers["ended"] == 16 and numbers["unacknowledged"] == 0
    assert sum(len(log.contents) for log in logs(fake)) == 1533
    assert all(log.final_seq == len(log.contents) for log in logs(fake))
    claims = {_claims(auth["token"])["driver"]: _claims(auth["token"]) for auth in fake.connects}
    assert len(claims) == 8 and claims["4716"]["vendors"] == ["north"] and claims["4716"]["tenant"] == "demo"


def _claims(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, SECRET, ["HS256"], audience="wayguard", issuer="wayguard")
    return claims


async def test_times_are_rebased_to_now_and_compressed(fake: FakeServer, tmp_path: Path) -> None:
    lines = ROUTE_14.read_text().splitlines()
    (tmp_path / "one.csv").write_text("\n".join([lines[0], *(line for line in lines if '"1101"' in line)]))
    code, output, _ = await outcome(await start(fake, "replay", str(tmp_path / "one.csv"), "--speed", "6000"))
    assert code == 0, output
    (log,) = logs(fake)
    times_ms = [content[0] for content in log.contents]
    assert times_ms == sorted(times_ms)
    # 16:30:11 to 17:25:27 is 3,316 s
    assert times_ms[-1] - times_ms[0] == pytest.approx(3316_000 / 6000, abs=1)
    (started,) = (payload for event, payload in fake.seen if event == "journey:start")
    assert started["started_at"] == times_ms[0] and started["vehicle"] == "4841"


async def test_a_point_that_is_not_acknowledged_makes_the_exit_code_1(fake: FakeServer) -> None:
    fake.faults.extend([Fault.LOSE_REQUEST] * 8)
    arguments = ("replay", str(ROUTE_14), "--speed", "100000", "--flush-s", "0.2")
    code, output, numbers = await outcome(await start(fake, *arguments))
    assert code == 1 and numbers["unacknowledged"] > 0, output


async def test_a_driver_the_server_will_not_have_is_named(fake: FakeServer) -> None:
    fake.faults.append(Fault.CLOSE_REVOKED)
    code, output, _ = await outcome(await start(fake, "replay", str(ROUTE_14), "--speed", "20000"))
    assert code == 1 and re.search(r"driver \d+ was stopped: revoked", output), output


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["replay", "nowhere.csv"], "nowhere.csv"),
        (["replay", "tests/data/README.md"], "no column vehicle_id"),
        (["replay", str(ROUTE_14), "--tenant", "../x"], "tenant is not an identifier"),
        (["simulate", "--centre", "x"], "centre is not LAT,LON: x"),
        (["simulate", "--centre", "99,0"], "centre is off the map: 99,0"),
        (["simulate", "--vendor", "no vendor"], "vendor is not an identifier"),
    ],
)
def test_wrong_input_is_one_line_and_no_traceback(
    command: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_SECRET", SECRET)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert result.output.startswith("error: ") and message in result.output


async def test_a_simulated_fleet_drives_for_a_while_and_ends_its_journeys(fake: FakeServer) -> None:
    arguments = ("simulate", "--drivers", "20", "--rate", "10", "--duration", "1.5", "--batch", "3")
    code, output, numbers = await outcome(await start(fake, *arguments))
    assert code == 0, output
    assert numbers["acknowledged"] == numbers["points"] > 50 and numbers["ended"] == 20
    assert sum(len(log.contents) for log in logs(fake)) == numbers["points"]
    assert all(log.final_seq == len(log.contents) for log in logs(fake))
    sizes = [len(payload["points"]) for event, payload in fake.seen if event == "positions"]
    assert max(sizes) >= 3


async def test_sigterm_ends_a_simulation_in_order_and_the_same_seed_is_a_new_journey(
    fake: FakeServer,
) -> None:
    for _ in range(2):
        before = len(fake.model.by_id)
        process = await start(fake, "simulate", "--drivers", "3", "--rate", "20", "--seed", "5")
        async with asyncio.timeout(30.0):
            while len(fake.model.by_id) < before + 3 or not all(log.contents for log in logs(fake)):
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        code, output, numbers = await outcome(process)
        assert code == 0 and numbers["ended"] == 3, output
    assert len(fake.model.by_id) == 6 and all(log.final_seq for log in logs(fake))
