"""An embedded Postgres: the wheel's programs, a cluster in the data directory, a socket and a password."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from realtime.engines import binaries, processes
from realtime.engines.embedded import Embedded
from realtime.engines.errors import EngineError
from realtime.engines.layout import RELOCATED

OWNER = "wayguard"
"""The login role and its database. No superuser: row-level security does not bind a superuser."""

SETTINGS = {
    # What an acknowledgement rests on; the defaults, said aloud.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    # Sized for a small machine that also runs everything else.
    "shared_buffers": "256MB",
    "effective_cache_size": "2GB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    # Parallel workers and compiled plans help reports and cost the short queries that we are made of.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "",
    "log_checkpoints": "off",
    "unix_socket_permissions": "0700",
}


class EmbeddedPostgres(Embedded):
    """A Postgres of our own under ``data_dir``.

    By default it listens on a unix socket only that we and root can enter. ``port`` adds 127.0.0.1 (0 = any
    free port, kept from then on), and ``url`` then points there. Either way a password is asked for.
    ``options``: server settings that replace those of `SETTINGS`.
    """

    name = "postgres"

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        max_connections: int = 120,
        options: Mapping[str, str] = MappingProxyType({}),
        relocated: Path = RELOCATED,
    ) -> None:
        super().__init__(data_dir, port, relocated)
        self._options: Final = dict(options)
        self._max_connections = max_connections
        self._bin: Path | None = None

    @property
    def folder(self) -> Path:
        """The cluster's folder."""
        return self.data.engine_folder("pg")

    @property
    def url(self) -> str:
        """Where the application logs in, as the owner of its database."""
        return self._url(OWNER, self.data.secret("postgres"), OWNER)

    @property
    def admin_url(self) -> str:
        """Where the superuser logs in; nothing of the application does."""
        return self._url("postgres", self.data.secret("postgres-admin"), "postgres")

    def prepare(self) -> None:
        """Make the cluster unless it is there, and clear what a crash left. Raises EngineError."""
        self.data.prepare()
        self._bin = binaries.postgres_bin(self.data.account)
        if not (self.folder / "PG_VERSION").exists():
            self._make_cluster()
        self._check_version()
        self._end_orphans()
        if not (self.data.path / "secrets" / "postgres").exists():
            self._single_user([f"ALTER ROLE {OWNER} PASSWORD '{self.data.secret('postgres')}'"])

    def command(self) -> processes.Command:
        """The server's command line. `prepare` must have run."""
        listen = "127.0.0.1" if self.port else ""
        options = SETTINGS | {
            "listen_addresses": listen,
            "port": str(self.port or 5432),
            "unix_socket_directories": listed(self._socket_folder),
            "max_connections": str(self._max_connections),
            **self._options,
        }
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return processes.Command(
            [str(self._program("postgres")), "-D", str(self.folder), *arguments],
            processes.bare_environment(),
            self.data.account,
            self.folder,
            stop_signal=signal.SIGINT,  # SIGTERM waits for clients to leave
            death_signal=signal.SIGQUIT,  # the postmaster takes its backends with it
            stop_timeout_s=30.0,
        )

    def is_ready(self) -> bool:
        """Whether it takes connections now, as it says itself in its pid file: asking would fill its log."""
        try:
            lines = (
                (self.folder / "postmaster.pid").read_text(encoding="ascii", errors="replace").splitlines()
            )
            pid, status = int(lines[0]), lines[7].strip()
        except (OSError, ValueError, IndexError):
            return False
        return status == "ready" and processes.works_in(pid, self.folder, "postgres")

    # --- how

    @property
    def _socket_folder(self) -> Path:
        return self.data.socket_folder("pg")

    def _program(self, name: str) -> Path:
        if self._bin is None:
            self._bin = binaries.postgres_bin(self.data.account)
        return self._bin / name

    def _url(self, user: str, password: str, database: str) -> str:
        login = f"postgresql://{user}:{quote(password, safe='')}@"
        if self.port:
            return f"{login}127.0.0.1:{self.port}/{database}"
        return f"{login}/{database}?host={quote(os.fsencode(self._socket_folder), safe='/')}"

    def _make_cluster(self) -> None:
        """initdb beside the place and rename, so that an interrupted one is simply made anew."""
        draft = self.folder.with_name("pg.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        self.data.account.own(draft)
        secret = self.data.secret("postgres-admin")
        reader, writer = os.pipe()
        os.fchown(reader, self.data.account.uid, self.data.account.gid)  # it is opened anew by name
        os.write(writer, secret.encode())
        os.close(writer)
        try:
            self._run(
                "initdb", "-D", str(draft), "-U", "postgres",
                "--auth=scram-sha-256", f"--pwfile=/dev/fd/{reader}", "--no-instructions",
                "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
                pass_fd=reader,
            )  # fmt: skip
        finally:
            os.close(reader)
        self._single_user(
            [
                f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{self.data.secret('postgres')}'",
                f"CREATE DATABASE {OWNER} OWNER {OWNER}",
            ],
            draft,
        )
        draft.rename(self.folder)

    def _single_user(self, statements: list[str], folder: Path | None = None) -> None:
        """Run SQL with no server running, a statement a line, as the superuser and without a password."""
        answer = self._run(
            "postgres", "--single", "-D", str(folder or self.folder), "postgres",
            text="".join(f"{statement}\n" for statement in statements),
        )  # fmt: skip
        if "ERROR:" in answer:
            raise EngineError(f"postgres: {answer[answer.index('ERROR:') :].splitlines()[0]}")

    def _run(self, name: str, *arguments: str, text: str = "", pass_fd: int | None = None) -> str:
        done: subprocess.CompletedProcess[str] = subprocess.run(  # noqa: S603  the argv is ours
            [str(self._program(name)), *arguments],
            env=processes.bare_environment(),
            cwd="/",
            input=text,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=() if pass_fd is None else (pass_fd,),
            timeout=120,
            check=False,
            preexec_fn=processes.die_with_parent(signal.SIGKILL),
            **self.data.account.popen_options(),
        )
        if done.returncode != 0:
            raise EngineError(f"{name} failed: {' / '.join(done.stdout.strip().splitlines()[-4:])}")
        return done.stdout

    def _check_version(self) -> None:
        found = (self.folder / "PG_VERSION").read_text(encoding="ascii").strip()
        ours = binaries.postgres_major()
        if found != str(ours):
            raise EngineError(
                f"{self.folder} is of Postgres {found}, this is {ours}: "
                f"move it away, or dump it with version {found} and restore it here"
            )

    def _end_orphans(self) -> None:
        """End what outlived its starter here, then drop a pid file whose pid now belongs to somebody else.

        Postgres refuses to start when that pid lives, whoever it is: likely in a container of few pids.
        Where it does not live the file stays: Postgres reads from it whether its memory is still in use.
        """
        for pid in processes.working_in(self.folder, "postgres"):
            processes.end_orphan(pid, signal.SIGQUIT)
        file = self.folder / "postmaster.pid"
        try:
            pid = int(file.read_text(encoding="ascii", errors="replace").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return
        if processes.started_at(pid) is not None:
            file.unlink(missing_ok=True)


def listed(folder: Path) -> str:
    """``folder`` as the one entry of a list of folders in Postgres' settings."""
    return '"' + str(folder).replace('"', '""') + '"'
