"""A test that needs the earlier release is left out only where the history cannot have it."""

import subprocess
from pathlib import Path

import pytest

from tests.golden.earlier import unpack

ABSENT = "0123456789abcdef0123456789abcdef01234567"


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A clone with two commits, whole."""
    folder = tmp_path / "full"
    for package in ("realtime", "alerts", "geo"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "commit", "-qm", "two", "--allow-empty")
    return folder


def test_a_full_clone_without_the_commit_fails(full: Path, tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception, match="is not shallow"):
        unpack(tmp_path / "out", full, ABSENT)


def test_a_shallow_clone_without_the_commit_is_skipped(full: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth", "1", full.as_uri(), "shallow")
    with pytest.raises(pytest.skip.Exception, match="shallow"):
        unpack(tmp_path / "out", tmp_path / "shallow", ABSENT)


def test_a_folder_without_history_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(pytest.skip.Exception, match="no clone"):
        unpack(tmp_path / "out", tmp_path, ABSENT)


def test_a_clone_with_the_commit_gives_its_packages(full: Path, tmp_path: Path) -> None:
    assert (unpack(tmp_path / "out", full, "HEAD~1") / "realtime" / "__init__.py").is_file()
