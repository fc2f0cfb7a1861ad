"""The examples of docs/PROTOCOL.md, run as they stand: Node's official client and Python's."""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from geo.position import VoidReason
from realtime.client import DriverClient
from realtime.live.presence import PresenceState, Reason
from realtime.protocol import MAX_POINTS, MAX_SKIP, SNAPSHOT_POINTS, Code, Refused
from realtime.settings import Settings
from tests.client.fake import FakeServer, Fault, fake_server
from tests.client.model import Log

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
NODE_FOLDER = ROOT / "tests" / "node"


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture(scope="module")
def commands() -> Iterator[dict[str, list[str]]]:
    """How to run each example. Node finds the official client beside the file that imports it."""
    node = shutil.which("node")
    assert node and (NODE_FOLDER / "node_modules" / "socket.io-client").is_dir(), "run `npm ci` in tests/node"
    with tempfile.TemporaryDirectory(dir=NODE_FOLDER, prefix=".examples-") as folder:
        for file in EXAMPLES.glob("*.mjs"):
            shutil.copy(file, folder)
        yield {
            "driver.mjs": [node, f"{folder}/driver.mjs"],
            "viewer.mjs": [node, f"{folder}/viewer.mjs"],
            "driver.py": [sys.executable, str(EXAMPLES / "driver.py")],
        }


async def run(command: list[str], **environment: str) -> tuple[int, str, dict[str, str]]:
    """Exit code, output, and the closing line's values."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(90.0):
            output = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output, dict(re.findall(r"(\w+)=(\S+)", output))


def only_log(fake: FakeServer) -> Log:
    (log,) = fake.model.by_id.values()
    return log


DRIVERS = ["driver.mjs", "driver.py"]
PASSING = [Fault.OVERLOADED, Fault.CUT_AFTER_STORING]


@pytest.mark.parametrize("example", DRIVERS)
@pytest.mark.parametrize("fault", [None, *PASSING])
async def test_a_driver_stores_every_point_once(
    fake: FakeServer, commands: dict[str, list[str]], example: str, fault: Fault | None
) -> None:
    if fault is not None:
        fake.faults.extend([fault, fault])
    code, output, said = await run(
        commands[example],
        WAYGUARD_URL=fake.url,
        WAYGUARD_TOKEN="t1",
        WAYGUARD_POINTS="30",
        WAYGUARD_INTERVAL_MS="10",
    )
    assert code == 0, output
    log = only_log(fake)
    assert log.final_seq == len(log.contents) == int(said["points"]) == int(said["through"]) == 30
    lats = [content[1] for content in log.contents]
    assert lats == sorted(lats) and len(set(lats)) == 30
    assert said["journey"] == log.journey_id
    # On a slow machine everything may fit into one message, and the second fault finds nothing to spoil.
    met = 2 - len(fake.faults)
    assert fault is None or met >= 1
    assert int(said["reconnects"]) == (met if fault is Fault.CUT_AFTER_STORING else 0)


@pytest.mark.parametrize("example", DRIVERS)
async def test_a_driver_moves_when_told_to_drain(
    fake: FakeServer, commands: dict[str, list[str]], example: str
) -> None:
    running = asyncio.create_task(
        run(
            commands[example],
            WAYGUARD_URL=fake.url,
            WAYGUARD_TOKEN="t1",
            WAYGUARD_POINTS="60",
            WAYGUARD_INTERVAL_MS="20",
        )
    )
    async with asyncio.timeout(60.0):
        while not any(log.contents for log in fake.model.by_id.values()):
            await asyncio.sleep(0.01)
    await fake.tell_all("/driver", "drain", {"after_ms": 0, "spread_ms": 50})
    code, output, said = await running
    assert code == 0, output
    assert len(only_log(fake).contents) == 60 and said["reconnects"] == "1" and len(fake.connects) == 2


@pytest.mark.parametrize("example", DRIVERS)
async def test_a_driver_waits_out_a_server_that_refuses_for_now(
    fake: FakeServer, commands: dict[str, list[str]], example: str
) -> None:
    away = {"code": "unavailable", "message": "storage is away", "retryable": True, "retry_after_s": 0.1}
    fake.refuse_connect.append(away)
    code, output, _ = await run(
        commands[example], WAYGUARD_URL=fake.url, WAYGUARD_TOKEN="t1", WAYGUARD_POINTS="3"
    )
    assert code == 0 and len(only_log(fake).contents) == 3, output


@pytest.mark.parametrize("example", DRIVERS)
async def test_a_driver_that_is_revoked_says_so_and_fails(
    fake: FakeServer, commands: dict[str, list[str]], example: str
) -> None:
    fake.faults.append(Fault.CLOSE_REVOKED)
    code, output, _ = await run(commands[example], WAYGUARD_URL=fake.url, WAYGUARD_TOKEN="t1")
    assert code == 1 and "failed: revoked" in output


async def test_the_viewer_sees_a_journey_whole_through_a_cut_and_a_reset(
    fake: FakeServer, commands: dict[str, list[str]]
) -> None:
    async with DriverClient(fake.url, "t1") as driver:
        driver.start("7d3a4a52-3c5c-4c27-a6b1-0b8f7f4f5a11", 0)
        driver.add(0, 53.0, -2.0)
        assert await driver.flush(10.0)
        (journey_id,) = fake.model.by_id
        name = f"journey:{journey_id}"
        environment = {"WAYGUARD_URL": fake.url, "WAYGUARD_TOKEN": "t2", "WAYGUARD_JOURNEY": journey_id}
        running = asyncio.create_task(run(commands["viewer.mjs"], **environment, WAYGUARD_UNTIL="4"))
        for disturbance in (fake.cut_viewers, lambda: fake.emit(name, "reset", {"feed": name})):
            watched = len(fake.watches)
            async with asyncio.timeout(60.0):
                while len(fake.watches) == watched or not fake.viewers.get(name):
                    await asyncio.sleep(0.01)
            driver.add(1, 53.0, -2.1)
            assert await driver.flush(10.0)
            await disturbance()
        driver.add(2, 53.0, -2.2)
        assert await driver.flush(10.0)
        code, output, said = await running
    assert code == 0, output
    assert (said["through"], said["points"], said["gaps"], said["duplicates"]) == ("4", "4", "0", "0")
    assert (said["reconnects"], said["resets"], said["last"]) == ("1", "1", "53,-2.2")


async def test_the_viewer_of_a_vendor_knows_the_newest_of_each_driver(
    fake: FakeServer, commands: dict[str, list[str]]
) -> None:
    environment = {"WAYGUARD_URL": fake.url, "WAYGUARD_TOKEN": "t2", "WAYGUARD_VENDOR": "north"}
    running = asyncio.create_task(run(commands["viewer.mjs"], **environment, WAYGUARD_UNTIL="2"))
    async with asyncio.timeout(60.0):
        while not fake.viewers.get("vendor:north"):
            await asyncio.sleep(0.01)
    for driver, seq in (("d1", 1), ("d1", 2), ("d2", 1)):
        await fake.emit("vendor:north", "positions", "vendor:north", [[driver, "j", [seq, 0, 53.0, -2.0]]])
    code, output, said = await running
    assert code == 0 and said["drivers"] == "2" and said["feed"] == "vendor:north", output


@pytest.mark.parametrize("example", ["driver.mjs", "driver.py", "viewer.mjs"])
def test_the_page_shows_the_example_as_it_is(example: str) -> None:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    language = "python" if example.endswith(".py") else "js"
    source = (EXAMPLES / example).read_text(encoding="utf-8")
    assert f"```{language}\n{source}```\n" in page, f"docs/PROTOCOL.md and docs/examples/{example} differ"


def test_the_page_names_every_error_code_and_whether_it_is_retryable() -> None:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    for code in Code:
        retryable = "yes" if Refused(code, "").retryable else "no"
        assert f"| `{code.value}` | {retryable} |" in page, code


def test_the_page_names_the_limits_that_are_in_force() -> None:
    page = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
    knobs = {name: field.default for name, field in Settings.model_fields.items()}
    for text in (
        f"| a frame | {knobs['max_frame_bytes'] // 1024} KiB",
        f"| points in a message | {MAX_POINTS}:",
        f"| seqs in a `skip` | {MAX_SKIP:,} |",
        f"{knobs['driver_points_per_s']:.0f} a second sustained, {knobs['driver_points_burst']:,} at once",
        f"| feeds of a viewer | {knobs['max_feeds_per_viewer']}:",
        f"| age of a journey | {knobs['journey_max_h']} h:",
        f"pings every {knobs['ping_interval_s']:.0f} s and waits {knobs['ping_timeout_s']:.0f} s",
        f"silent for {knobs['stale_after_s']:.0f} s",
        f"a viewer read nothing for {knobs['viewer_stall_s']:.0f} s",
        f"within {knobs['connect_timeout_s']:.0f} s of connecting",
        f"up to {SNAPSHOT_POINTS:,};",
        *(f"`{reason.value}`" for reason in [*VoidReason, *Reason, *PresenceState]),
    ):
        assert text in page, text
