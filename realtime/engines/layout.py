"""The data directory: where each engine's files, sockets and secrets are, and the lock that keeps it ours.

::

    DATA_DIR/pg/        Postgres cluster          DATA_DIR/secrets/   0600 files, made once
    DATA_DIR/redis/     append-only file          DATA_DIR/run/       lock, pids, sockets, configuration
"""

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from realtime.engines.account import ProcessAccount, engine_account
from realtime.engines.errors import EngineError

SOCKET_PATH_MAX = 100
"""A unix socket's path has at most 107 bytes; some room for the longest file name we use."""

RELOCATED = Path("/var/lib/wayguard")
"""Where root keeps engine files when DATA_DIR lies in a folder that `nobody` cannot enter, such as /root."""

PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+=-]+")
"""A socket's path that every program takes as it is: HAProxy replaces ``$name`` even within quotes."""

MIN_FREE_BYTES = 200 * 1024 * 1024


class DataDir:
    """The data directory at ``path``, made on first use. ``relocated``: where an engine's files are when its
    account cannot enter ``path``.
    """

    def __init__(
        self, path: Path, account: ProcessAccount | None = None, relocated: Path = RELOCATED
    ) -> None:
        self.path = path.absolute()
        self.account = account or engine_account()
        self._relocated = relocated
        self._lock_fd: int | None = None

    def prepare(self) -> None:
        """Make the folders that are not there; those that are stay as they are.

        Raises EngineError when they cannot be made or the disk is nearly full.
        """
        try:
            for folder, mode in (
                (self.path, 0o711),
                (self.path / "run", 0o711),
                (self.path / "secrets", 0o700),
            ):
                make_folder(folder, mode)
        except OSError as problem:
            raise EngineError(f"data directory {self.path}: {problem.strerror or problem}") from problem
        free = shutil.disk_usage(self.path).free
        if free < MIN_FREE_BYTES:
            raise EngineError(
                f"disk is full: {free // 2**20} MiB free at {self.path}, {MIN_FREE_BYTES // 2**20} MiB needed"
            )

    @property
    def run(self) -> Path:
        """The folder of what lives only while the system runs."""
        return self.path / "run"

    def lock(self) -> None:
        """Hold the directory until this process ends. Raises EngineError when another process holds it."""
        descriptor = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise EngineError(f"data directory {self.path} is in use by process {holder}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = descriptor

    def secret(self, name: str) -> str:
        """The secret ``name``: 43 random URL-safe characters, made once, readable by us alone."""
        return read_or_make_secret(self.path / "secrets" / name)

    def engine_folder(self, name: str) -> Path:
        """The folder for engine ``name``'s files, in a place its account can reach. It may not exist yet."""
        folder = self.path / name
        if folder.is_symlink():
            return folder.resolve()
        if folder.exists() or self.account.can_enter(self.path):
            return folder
        self._relocated.mkdir(mode=0o711, parents=True, exist_ok=True)
        home = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self._relocated))
        home.chmod(0o711)
        folder.symlink_to(home / name)
        return home / name

    def socket_folder(self, name: str) -> Path:
        """A folder that only engine ``name``'s account (and root) can enter, with a short and plain path."""
        folder = self.run / name
        if not _fits_a_socket(folder) or not self.account.can_enter(self.run):
            label = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
            own = f"wayguard-{os.geteuid()}-{label}-{name}"
            places = (Path(tempfile.gettempdir()) / own, Path("/tmp") / own)  # noqa: S108  checked below
            folder = next((place for place in places if _fits_a_socket(place)), places[-1])
        self.make_private(folder)
        return folder

    def make_private(self, folder: Path) -> None:
        """Make ``folder`` for the engines' account alone, unless it is there.

        Raises EngineError when it is there and another's, or open to others: no folder that was not made here
        changes its owner or its mode.
        """
        with suppress(OSError):
            if folder.lstat().st_uid != self.account.uid:
                folder.rmdir()  # an empty one, as a start that was interrupted leaves it
        if make_folder(folder, 0o700):
            self.account.own(folder)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.account.uid:
            raise EngineError(f"{folder} belongs to another account: remove it, or give it to {self.account}")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise EngineError(f"{folder} is open to other accounts: chmod 700 it, or remove it")


def make_folder(folder: Path, mode: int) -> bool:
    """Make ``folder`` with ``mode``, whatever the umask, and its parents. False when it was there already."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=mode)
    except FileExistsError:
        return False
    folder.chmod(mode)
    return True


def _fits_a_socket(folder: Path) -> bool:
    size = len(os.fsencode(folder)) + len("/.s.PGSQL.5432.lock")
    return size <= SOCKET_PATH_MAX and PLAIN_PATH.fullmatch(str(folder)) is not None


def read_or_make_secret(file: Path) -> str:
    """The text of ``file``; made with 256 random bits and mode 0600 when it is not there."""
    try:
        return file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Linked into place whole: two processes that start at once agree on one secret, never on half.
    descriptor, draft = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(descriptor, "w", encoding="ascii") as out:
        out.write(secrets.token_urlsafe(32) + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return file.read_text(encoding="ascii").strip()
