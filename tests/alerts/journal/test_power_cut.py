"""What was answered outlives a power cut: then only what was synced is on the disk, files and names."""

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from alerts.journal.append_log import COMPACT_BYTES, JournalLimits
from alerts.journal.ledger import LocalLedger
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press

KEY = b"k" * 32
NOW_MS = 1_764_000_000_000


class Disk:
    """What would be left: of each file its content at its last sync, of each folder its names at its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._synced: dict[int, bytes] = {}
        self._names: dict[str, int] = {}
        self.named_before_synced: list[str] = []
        """Files whose name was on the disk before their content: a power cut then leaves less than before."""
        self._sync = os.fsync
        monkeypatch.setattr(os, "fsync", self._on_sync)

    def _on_sync(self, descriptor: int) -> None:
        self._sync(descriptor)
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            self._names = {entry.name: entry.inode() for entry in os.scandir(path)}
            self.named_before_synced += [
                name
                for name, inode in self._names.items()
                if (path / name).read_bytes() != self._synced.get(inode, b"")
            ]
        else:
            self._synced[found.st_ino] = path.read_bytes()

    def after_a_power_cut(self, folder: Path) -> Path:
        """A folder of what is left."""
        folder.mkdir()
        for name, inode in self._names.items():
            (folder / name).write_bytes(self._synced.get(inode, b""))
        return folder


async def opened(folder: Path, compact_bytes: int = COMPACT_BYTES) -> LocalLedger:
    limits = JournalLimits(compact_bytes=compact_bytes)
    return await LocalLedger.open(folder, KEY, now_ms=lambda: NOW_MS, limits=limits)


@pytest.mark.parametrize("compact_bytes", [COMPACT_BYTES, 2_000])
async def test_a_press_that_was_answered_outlives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compact_bytes: int
) -> None:
    """In a journal that only grows, and in one that was rewritten on the way."""
    disk = Disk(monkeypatch)
    ledger = await opened(tmp_path / "journal", compact_bytes)
    for n in range(12):
        taken = await ledger.press(a_press(NOW_MS, driver=f"d{n}"), CIRCUMSTANCES)
        left = await opened(disk.after_a_power_cut(tmp_path / f"left-{n}"))
        assert left.get(taken.alert.alert_id) == ledger.get(taken.alert.alert_id)
        await left.close()
        if n % 3:
            await ledger.forget(taken.alert.alert_id)
    await ledger.close()
    assert disk.named_before_synced == []


async def test_a_press_sent_again_while_it_is_being_synced_waits_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await opened(tmp_path / "journal")
    may_sync, sync = threading.Event(), os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (may_sync.wait(20), sync(descriptor)))
    press = a_press(NOW_MS)
    presses = [asyncio.ensure_future(ledger.press(press, CIRCUMSTANCES)) for _ in range(3)]
    await asyncio.wait(presses, timeout=0.05)
    assert not any(one.done() for one in presses)
    may_sync.set()
    assert len({(await one).alert.alert_id for one in presses}) == 1
    await ledger.close()
