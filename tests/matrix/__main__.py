"""``python -m tests.matrix --seed 1 --sos 1000``: plays the whole matrix and prints the ledger.

For the row that fills the disk, root gets a mount namespace with a small disk of memory for the whole system;
others, and other systems than Linux, play the matrix without that row.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Annotated

import typer

from tests.engines_fixtures import engine_folder
from tests.matrix.ledger import Row, table
from tests.matrix.run import played
from tests.matrix.scenarios import MATRIX

IN_NAMESPACE = "WAYGUARD_MATRIX_IN_NAMESPACE"
DISK = "2g"


def matrix(
    seed: Annotated[int, typer.Option(help="Which processes are hit, and in which order.")] = 1,
    sos: Annotated[int, typer.Option(min=len(MATRIX), help="SOS in all.")] = 1000,
    only: Annotated[str, typer.Option(help="Only scenarios whose name has one of these, by commas.")] = "",
) -> None:
    """Ends with code 1 when an SOS was lost, told of as two, or doubled where it may not be."""
    parts = [part.strip().lower() for part in only.split(",")]
    chosen = [scenario for scenario in MATRIX if any(part in scenario.name.lower() for part in parts)]
    if any(scenario.needs_small_disk for scenario in chosen) and IN_NAMESPACE not in os.environ:
        if os.geteuid() == 0 and shutil.which("unshare") is not None:
            sys.exit(_in_a_namespace())
        print("not root: the row that fills the disk is left out")
        chosen = [scenario for scenario in chosen if not scenario.needs_small_disk]
    begun_s = time.monotonic()

    def say(row: Row) -> None:
        print(
            f"{time.monotonic() - begun_s:6.0f} s  {'ok ' if row.is_sound else 'NOT SOUND'}  {row}",
            flush=True,
        )

    with engine_folder() as folder:
        rows = asyncio.run(played(folder, chosen, sos, seed, say))
    print(f"\nseed {seed}, {sum(row.pressed for row in rows)} SOS in {time.monotonic() - begun_s:.0f} s\n")
    print(table(rows))
    if not all(row.is_sound for row in rows):
        sys.exit(1)


def _in_a_namespace() -> int:
    """Play again where temporary files are on a small disk; the exit code."""
    folder = tempfile.mkdtemp(prefix="wayguard-disk-")
    script = f'mount -t tmpfs -o size={DISK} tmpfs "$1" && chmod 711 "$1" && shift && exec "$@"'
    command = [sys.executable, "-m", "tests.matrix", *sys.argv[1:]]
    try:
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", folder, *command],
            env={**os.environ, "TMPDIR": folder, IN_NAMESPACE: "1"},
            check=False,
        ).returncode
    finally:
        os.rmdir(folder)


if __name__ == "__main__":
    typer.run(matrix)
