"""A migrated Postgres folder that every cluster of a run starts from.

To make one costs about 3 s of CPU: initdb, and all migrations. To copy one costs next to nothing. The
processes of one run of pytest-xdist share it.
"""

import atexit
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from realtime.engines.layout import DataDir
from realtime.engines.postgres import EmbeddedPostgres
from realtime.settings import Settings
from realtime.store import migrate
from tests.engines_fixtures import ask_for_cheap_passwords, engine_folder, in_thread

SECRETS: Final = ("postgres", "postgres-admin")


def copy_template(folder: Path) -> None:
    """Give the data directory ``folder``, which must be empty, a migrated Postgres and its passwords."""
    data = DataDir(folder)
    data.prepare()
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    template = Path(tempfile.gettempdir()) / f"wayguard-pg-template-{run}"
    with _locked(template):
        if not template.exists():
            _make(template)
        subprocess.run(["cp", "-a", str(template / "pg"), str(data.engine_folder("pg"))], check=True)
        for name in SECRETS:
            shutil.copy2(template / name, folder / "secrets" / name)


@contextmanager
def _locked(template: Path) -> Iterator[None]:
    """Lock ``template`` against other processes. The lock's file stays: one that waits has it open."""
    with template.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(template: Path) -> None:
    with engine_folder() as folder:
        server = EmbeddedPostgres(folder, port=0)
        try:
            server.start()
            ask_for_cheap_passwords(server)
            in_thread(lambda: migrate.migrate(Settings(database_url=server.url)))  # type: ignore[arg-type]
        finally:
            server.stop()
        draft = Path(tempfile.mkdtemp(prefix=template.name))
        subprocess.run(["cp", "-a", str(server.folder), str(draft / "pg")], check=True)
        for name in SECRETS:
            shutil.copy2(folder / "secrets" / name, draft / name)
        draft.rename(template)
    atexit.register(_remove, template, os.getpid())


def _remove(template: Path, maker: int) -> None:
    if os.getpid() == maker:  # and not a process that it forked
        with _locked(template):
            shutil.rmtree(template, ignore_errors=True)
