"""A supervisor in a process of its own, and ways to watch it."""

import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from realtime.engines import processes
from realtime.engines.plan import MARK

FAKE_UP = (sys.executable, str(Path(__file__).with_name("fake_up.py")))
ROOT = Path(__file__).parents[2]
WAIT_S = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds, OSError meaning not yet; fail naming ``what`` when it never does."""
    deadline = time.monotonic() + WAIT_S
    while not _holds(condition):
        assert time.monotonic() < deadline, f"not in {WAIT_S:.0f} s: {what}"
        time.sleep(0.02)


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except OSError:
        return False


def get(url: str, headers: dict[str, str] | None = None) -> str:
    """The body that ``url`` answers with. Raises OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def environment(data: Path, **more: str) -> dict[str, str]:
    """Ours without what would change a supervisor, any free port, and ``more``."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {**kept, "PYTHONPATH": str(ROOT), "DATA_DIR": str(data), "PORT": "0", **more}


class Supervised:
    """A supervisor that runs on ``data``; ended, by force if need be, when the block ends."""

    def __init__(self, data: Path, command: Sequence[str] = FAKE_UP, **env: str) -> None:
        self.data = data
        self.lines: list[str] = []
        self._waiting: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            command, env=environment(data, **env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._waiting.put(line.rstrip())
        self._waiting.put(None)

    def line(self, pattern: str) -> re.Match[str]:
        """The next line that matches ``pattern``; those before it are passed over."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                line = self._waiting.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no line like {pattern!r} in {self.lines}") from None
            assert line is not None, f"it ended without a line like {pattern!r}: {self.lines}"
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found

    def ready(self) -> dict[str, int]:
        """Wait until everything is; the port of each process, the balancer's as ``public``."""
        found = self.line(r"^ready: (\d+) (.*)$")
        inner = dict(pair.split("=") for pair in found[2].split())
        return {"public": int(found[1])} | {name: int(port) for name, port in inner.items()}

    def end(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop and read on to the end; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        while (line := self._waiting.get(timeout=WAIT_S)) is not None:
            self.lines.append(line)
        return code

    def children(self) -> list[int]:
        """Every process that belongs to this data directory, but for the supervisor."""
        return remains(self.data)

    def __enter__(self) -> "Supervised":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def remains(data: Path) -> list[int]:
    """Every process that was started for ``data``."""
    engines = [
        *processes.working_in(data / "pg", "postgres"),
        *processes.working_in(data / "redis", "valkey"),
    ]
    return [*engines, *processes.marked_with(MARK, str(data))]


def pid_of(data: Path, port: int) -> int:
    """The child of ``data``'s supervisor that was given ``port`` to listen on."""
    for pid in processes.marked_with(MARK, str(data)):
        if f"PORT={port}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return pid
    return 0
