"""The wheel of Wayguard carries the built pages and the balancer's template, and no sources of pages."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = {"console.html", "share.html", "drive.html", "sw.js", "manifest.webmanifest"}


def run(*command: str, cwd: Path, python: Path = Path(sys.executable), **env: str) -> str:
    """What Python prints. Raises AssertionError when it fails."""
    done = subprocess.run(
        [str(python), *command], cwd=cwd, capture_output=True, text=True, timeout=120, env=os.environ | env
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(pages_built: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    (built,) = folder.glob("wayguard-*.whl")
    return built


def test_the_balancer_of_an_installed_wheel_is_the_one_of_the_tree(wheel: Path, tmp_path: Path) -> None:
    run("-m", "venv", "--without-pip", str(tmp_path / "venv"), cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    install = ("install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel))
    run("-m", "pip", "--python", str(python), *install, cwd=tmp_path)
    balancer = ("--bind", "127.0.0.1:1", "--server", "w1=127.0.0.1:2", "--print")
    command = ("-m", "realtime.cli", "balancer", *balancer)
    libraries = sysconfig.get_path("purelib")  # without the tree, which is there by a .pth alone
    printed = run(*command, cwd=tmp_path, python=python, PYTHONPATH=libraries)
    assert printed == run(*command, cwd=ROOT)
    where = "import realtime; print(realtime.__file__)"
    assert str(tmp_path) in run("-c", where, cwd=tmp_path, python=python, PYTHONPATH=libraries)


def test_the_wheel_carries_the_built_pages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if name.startswith("realtime/pages/")}
    static = {name.removeprefix("realtime/pages/static/") for name in files if "/static/" in name}
    assert static >= CARRIED
    assert any(name.startswith("assets/") and name.endswith(".js.br") for name in static)
    assert any(name.startswith("basemap-") and name.endswith(".pbf") for name in static)
    assert not any(name.startswith("realtime/pages/web/") for name in files)
