"""What the embedded engines share: standing alone, for tests; the supervisor runs `command` itself."""

import random
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from itertools import chain
from pathlib import Path

from realtime.engines import processes
from realtime.engines.errors import EngineError
from realtime.engines.layout import RELOCATED, DataDir
from realtime.engines.ports import claim

_BENEATH_EPHEMERAL = range(12_000, 32_000)


class Embedded(ABC):
    """One engine under a data directory: ``prepare()``, then ``command()`` runs it, then ``is_ready()``."""

    name: str

    def __init__(self, data_dir: Path, port: int | None = None, relocated: Path = RELOCATED) -> None:
        self.data = DataDir(data_dir, relocated=relocated)
        self.port = free_port() if port == 0 else port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the application connects."""

    @abstractmethod
    def prepare(self) -> None:
        """Make what is missing and clear what a crash left. Is idempotent. Raises EngineError."""

    @abstractmethod
    def command(self) -> processes.Command:
        """The server's command line. `prepare` must have run."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers now."""

    @property
    def pid(self) -> int | None:
        """The process that `start` started, while it is meant to run."""
        return self._process.pid if self._process else None

    def start(self, timeout_s: float = 60.0) -> str:
        """Start and return ``url`` once it answers. Raises EngineError with the log's last lines."""
        self.prepare()
        log = self.data.run / f"{self.name}.log"
        with log.open("wb") as output:
            self._process = processes.start(self.command(), output)
        deadline = time.monotonic() + timeout_s
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                said = log.read_text(errors="replace").strip().splitlines()[-4:]
                raise EngineError(f"{self.name} did not start: {' / '.join(said) or 'it said nothing'}")
            time.sleep(0.01)
        return self.url

    def stop(self) -> None:
        """End it politely; a second call does nothing."""
        if self._process is not None:
            processes.stop(self._process, self.command())
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would, for tests: it writes nothing any more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free and that no living process of this user was given before.

    It lies beneath those that systems give to outgoing connections (RFC 6335 has them from 49152, Linux from
    32768): one of theirs could be taken by any client before a server here has bound it.
    """
    first = random.randrange(len(_BENEATH_EPHEMERAL))  # noqa: S311  spread, not secret
    for port in chain(_BENEATH_EPHEMERAL[first:], _BENEATH_EPHEMERAL[:first]):
        if claim(port) and _is_free(port):
            return port
    raise EngineError("no port of 127.0.0.1 is free")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
