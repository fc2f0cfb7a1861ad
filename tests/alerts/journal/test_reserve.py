"""A full disk: the room that a journal owns beforehand takes presses, and their alerts are delivered."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from alerts.journal.append_log import DISK_RESERVE_BYTES
from alerts.journal.reserve import RETRY_S, DiskReserve, allocate_blocks

ROOT = Path(__file__).parents[3]
MIB = 1024 * 1024
_IN_A_SMALL_DISK = """
import asyncio, json, os, sys
from pathlib import Path
from alerts.attempt import Accepted, Status, StatusReport
from alerts.journal.append_log import JournalLimits
from alerts.journal.ledger import LocalLedger
from alerts.ports import StorageFailure
from alerts import case as cases
from tests.alerts.ledger_contract import CIRCUMSTANCES, LEASE_S, a_press
from tests.alerts.slots import UpTo

NOW_MS = 1_764_000_000_000

async def main(folder: Path, reserve: int) -> None:
    async def opened() -> LocalLedger:
        limits = JournalLimits(disk_reserve_bytes=reserve)
        return await LocalLedger.open(folder / "journal", b"k" * 32, now_ms=lambda: NOW_MS, limits=limits)

    ledger = await opened()
    with open(folder / "postgres", "wb", buffering=0) as other:  # as Postgres fills its disk
        try:
            while True:
                other.write(bytes(4096))
        except OSError:
            pass
    told = dict.fromkeys(("pressed", "refused", "sent", "adopted", "reports", "pressed_after_restart"), 0)
    for n in range(400):
        try:
            await ledger.press(a_press(NOW_MS, driver=f"d{n}"), CIRCUMSTANCES)
            told["pressed"] += 1
        except StorageFailure:
            told["refused"] += 1
    try:
        for job in await ledger.claim("w", UpTo(most=20), LEASE_S):
            await ledger.settle(job, Accepted(f"SM{told['sent']}", "queued"))
            told["sent"] += 1
    except StorageFailure:
        pass
    try:
        await ledger.adopt(cases.opened(a_press(NOW_MS, driver="other"), CIRCUMSTANCES, NOW_MS).case)
        told["adopted"] += 1
    except StorageFailure:
        pass
    try:
        await ledger.early.keep(StatusReport("twilio", "SM9", Status.DELIVERED, "delivered"))
        told["reports"] += 1
    except StorageFailure:
        pass
    await ledger.close()
    again = await opened()
    for n in range(100):
        try:
            await again.press(a_press(NOW_MS, driver=f"later{n}"), CIRCUMSTANCES)
            told["pressed_after_restart"] += 1
        except StorageFailure:
            pass
    told["kept"] = len(again.all())
    told["recorded"] = sum(
        attempt.status is Status.SENT for kept in again.all() for attempt in kept.case.attempts.values()
    )
    await again.close()
    (folder / "postgres").unlink()
    roomy = await opened()
    told["full"] = roomy.is_full
    await roomy.close()
    print(json.dumps(told))

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
"""
mounts = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("unshare") is None, reason="a small disk needs Linux and unshare"
)


def on_a_small_disk(folder: Path, reserve_bytes: int) -> dict[str, int]:
    """What a journal with this reserve took on a disk of 8 MiB that something else has filled."""
    folder.mkdir()
    unshare = (
        ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    )
    script = 'mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" -c "$3" "$1" "$4"'
    given = [str(folder), sys.executable, _IN_A_SMALL_DISK, str(reserve_bytes)]
    done = subprocess.run(
        [*unshare, "sh", "-c", script, "sh", *given],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


@mounts
def test_a_full_disk_takes_presses_and_what_delivers_them(tmp_path: Path) -> None:
    found = on_a_small_disk(tmp_path / "disk", 4 * MIB)
    assert (found["pressed"], found["refused"]) == (400, 0)
    assert found["pressed_after_restart"] == 100, "a restart finds the blocks that the file owns"
    assert found["kept"] == 400 + 1 + 100
    assert found["sent"] == found["recorded"] == 20
    assert found["adopted"] == 1, "an alert that is taken over goes on"
    assert found["reports"] == 0, "reports of unknown messages leave the reserve to presses"
    assert found["full"] is False, "with room on the disk the reserve is there again"


@mounts
def test_without_a_reserve_a_full_disk_refuses_every_press(tmp_path: Path) -> None:
    """What the reserve is for: the first page of the file is all there is."""
    found = on_a_small_disk(tmp_path / "disk", 0)
    assert found["pressed"] < 5


class Disk:
    """A disk that says what it is told to."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.asked: list[tuple[int, int]] = []

    def allocate(self, descriptor: int, at: int, length: int) -> None:
        self.asked.append((at, length))
        if self.error is not None:
            raise OSError(self.error, os.strerror(self.error))


def test_the_reserve_is_topped_up_when_a_sixteenth_of_it_is_used() -> None:
    disk = Disk()
    reserve = DiskReserve(1_600, disk.allocate, lambda: 0.0)
    reserve.begin(3, 100)
    reserve.top_up(3, 200)
    assert disk.asked == [(100, 1_600)]
    reserve.top_up(3, 201)
    assert disk.asked == [(100, 1_600), (201, 1_600)]
    assert reserve.left(401) == 1_400


def test_a_full_disk_is_asked_again_after_a_while_and_is_full_no_more_when_it_has_room() -> None:
    disk, now_s = Disk(), 0.0
    reserve = DiskReserve(1_000, disk.allocate, lambda: now_s)
    reserve.begin(3, 0)
    disk.error = errno.ENOSPC
    reserve.top_up(3, 600)
    reserve.top_up(3, 700)
    assert (reserve.is_disk_full, reserve.left(700), len(disk.asked)) == (True, 300, 2)
    now_s, disk.error = RETRY_S, None
    reserve.top_up(3, 700)
    assert (reserve.is_disk_full, reserve.left(700)) == (False, 1_000)


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL])
def test_a_file_system_that_cannot_allocate_has_no_reserve_and_is_not_full(error: int) -> None:
    disk = Disk()
    disk.error = error
    reserve = DiskReserve(1_000, disk.allocate, lambda: 0.0)
    reserve.begin(3, 0)
    reserve.top_up(3, 900)
    assert (reserve.is_disk_full, len(disk.asked)) == (False, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="fallocate(2) is of Linux")
def test_blocks_are_allocated_and_the_size_stays(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"head")
        allocate_blocks(file.fileno(), 4, DISK_RESERVE_BYTES)
        found = os.fstat(file.fileno())
    assert (found.st_size, found.st_blocks * 512 >= DISK_RESERVE_BYTES) == (4, True)
