"""What `./run` says on a machine whose Python will not do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.engines.harness import ROOT

NO_ENSUREPIP = 'case "$2" in *ensurepip*) exit 1 ;; *version_info\\[:3\\]*) echo 3.11.9 ;; esac'
TOO_OLD = 'case "$2" in *version_info\\[:3\\]*) echo 3.9.2 ;; *) exit 1 ;; esac'


@pytest.mark.parametrize(
    ("python", "said"),
    [
        (NO_ENSUREPIP, "python3 (3.11.9) has no ensurepip module: install it"),
        (TOO_OLD, "Python 3.11 or newer is needed; python3 is 3.9.2"),
        (None, "Python 3.11 or newer is needed; found no python3"),
    ],
    ids=["no ensurepip", "too old", "none"],
)
def test_a_python_that_will_not_do_is_named(tmp_path: Path, python: str | None, said: str) -> None:
    clone, programs = tmp_path / "clone", tmp_path / "bin"
    (clone / "deploy").mkdir(parents=True)
    for name in ("run", "deploy/setup.sh", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, clone / name)
    programs.mkdir()
    for name in ("sh", "cat", "cmp", "dirname"):
        (programs / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    if python is not None:
        (programs / "python3").write_text(f"#!/bin/sh\n{python}\n")
        (programs / "python3").chmod(0o755)
    done = subprocess.run(
        [str(clone / "run")], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"error: {said}" in done.stderr
    assert not (clone / ".venv").exists()
