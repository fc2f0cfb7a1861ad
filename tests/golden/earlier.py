"""The code of the release that made the golden files, out of the history of this clone."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

import pytest

RELEASE: Final = "9ecb5eb"
ROOT: Final = Path(__file__).parents[2]


def unpack(folder: Path, root: Path = ROOT, release: str = RELEASE) -> Path:
    """Put the packages of ``release`` into ``folder`` and return it.

    There are three cases in which it cannot: 1. ``root`` is no clone, or a shallow one: the test is skipped;
    2. a full clone lacks the commit: the test fails, or it would never run again; 3. git fails otherwise: the
    test fails.
    """
    packed = _git(root, "archive", release, "realtime", "alerts", "geo")
    if packed.returncode:
        shallow = _git(root, "rev-parse", "--is-shallow-repository")
        if shallow.returncode:
            pytest.skip("this is no clone: there is no history")
        if shallow.stdout.strip() == b"true":
            pytest.skip(f"the history of this shallow clone does not reach {release}")
        pytest.fail(f"this clone is not shallow and cannot give {release}: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(root: Path, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False, timeout=60)


def run(folder: Path, *arguments: str, **more: str) -> str:
    """Run Python with the packages in ``folder``; what it printed. ``more``: environment variables."""
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **more, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return done.stdout
