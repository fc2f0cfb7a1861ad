"""Starting a child that cannot outlive us, and finding those that did."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from realtime.engines.account import ProcessAccount

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Command:
    """How to start a program and how to end it."""

    argv: Sequence[str]
    env: Mapping[str, str]
    account: ProcessAccount | None = None
    cwd: Path | None = None
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGKILL
    """What the kernel sends the child when we die, however we die."""
    stop_timeout_s: float = 15.0

    def popen_options(self) -> dict[str, Any]:
        """The keyword arguments of ``subprocess.Popen`` for this command.

        The thread that starts the child must live as long as we do: the kernel watches the thread.
        """
        options: dict[str, Any] = {
            "env": dict(self.env),
            "cwd": self.cwd,
            "stdin": subprocess.DEVNULL,
            "start_new_session": True,
            "preexec_fn": die_with_parent(self.death_signal),
        }
        if self.account is not None:
            options |= self.account.popen_options()
        return options


def die_with_parent(death_signal: int) -> Callable[[], None]:
    """What a child runs before its program, after it has changed its account (which would undo it)."""
    parent = os.getpid()

    def apply() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before we asked to be told
            os._exit(1)

    return apply


def bare_environment() -> dict[str, str]:
    """The environment of an engine: none of our secrets, no locale of the machine."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def start(command: Command, output: IO[bytes] | int) -> "subprocess.Popen[bytes]":
    """Start ``command`` with both its outputs going to ``output``."""
    return subprocess.Popen(  # noqa: S603  the argv is ours
        command.argv, stdout=output, stderr=subprocess.STDOUT, **command.popen_options()
    )


def stop(process: "subprocess.Popen[bytes]", command: Command) -> None:
    """End ``process`` politely, by force after ``stop_timeout_s``. Is idempotent."""
    if process.poll() is not None:
        return
    process.send_signal(command.stop_signal)
    try:
        process.wait(command.stop_timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def started_at(pid: int) -> int | None:
    """When process ``pid`` started, in clock ticks since boot; None when there is no such process.

    Together with the pid this names a process for good, as a pid alone does not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])


def working_in(folder: Path, program: str) -> list[int]:
    """The processes of ``program`` whose working directory is ``folder``."""
    return [pid for pid in _all_processes() if works_in(pid, folder, program)]


def works_in(pid: int, folder: Path, program: str) -> bool:
    """Whether process ``pid`` is ``program`` and has ``folder`` as its working directory."""
    if _link(pid, "cwd") != str(folder.resolve()):
        return False
    return Path(_link(pid, "exe")).name.startswith(program)


def marked_with(name: str, value: str) -> list[int]:
    """The other processes that were started with ``name=value`` in their environment."""
    wanted = f"{name}={value}".encode()
    found = []
    for pid in _all_processes():
        with suppress(OSError):
            if pid != os.getpid() and wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def _all_processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _link(pid: int, name: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:  # it has ended, or is not ours to look at
        return ""


def end_orphan(pid: int, first_signal: int = signal.SIGKILL, timeout_s: float = 5.0) -> None:
    """End a process that is not our child, by force when ``first_signal`` does not do it in time."""
    begun = started_at(pid)
    for wanted in (first_signal, signal.SIGKILL):
        try:
            os.kill(pid, wanted)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if begun is None or started_at(pid) != begun:
                return
            time.sleep(0.02)
