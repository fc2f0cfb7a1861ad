"""The folder on disk that belongs to one process, as long as it runs.

It is named after the process, so that its restart finds what it left. Two processes of one name, the old one
of a restart among them, have two folders: the second takes the next that is free.
"""

import fcntl
import os
import secrets
from pathlib import Path
from typing import Final

from realtime.alerting.failover.keys import write_whole
from realtime.settings import Settings

LOCK: Final = "taken"
OWNER_CHARS: Final = 24
MAX_FOLDERS: Final = 64
"""Folders of one name that are tried."""


class LocalStorage:
    """``path`` is ours until `release`, and for nobody else to read."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path: Final = path
        self.owner: Final = _owner_of(path)
        """A name that no other folder of any machine has, the same after a restart."""
        self._lock: int | None = lock

    @classmethod
    def take(cls, settings: Settings, role: str) -> "LocalStorage":
        """The first free folder of this process's name. Blocks for what a disk takes.

        Raises OSError when it cannot be made or written: what could not be kept in the night must show when
        a process starts.
        """
        base = journal_dir(settings)
        for number in range(1, MAX_FOLDERS + 1):
            name = f"{role}-{settings.instance_name}" + (f".{number}" if number > 1 else "")
            path = base / name
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            return cls(path, lock)
        raise OSError(f"{MAX_FOLDERS} processes are called {role}-{settings.instance_name}")

    def release(self) -> None:
        """Let the next have it. Is idempotent."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _owner_of(path: Path) -> str:
    file = path / "owner"
    try:
        name = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        name = ""
    if len(name) != OWNER_CHARS:
        name = secrets.token_hex(OWNER_CHARS // 2)
        write_whole(file, name.encode())
    return name


def journal_dir(settings: Settings) -> Path:
    """Where the folders of all processes of this machine are."""
    return settings.journal_dir or settings.data_dir / "journal"
