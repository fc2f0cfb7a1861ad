"""The wheel of Wayguard carries the pages as they were built, and nothing of what they are made from."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CARRIED = {"console.html", "share.html", "drive.html", "sw.js", "manifest.webmanifest"}


def test_the_wheel_carries_the_built_pages(pages_built: None, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("wayguard-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if name.startswith("realtime/pages/")}
    static = {name.removeprefix("realtime/pages/static/") for name in files if "/static/" in name}
    assert static >= CARRIED
    assert any(name.startswith("assets/") and name.endswith(".js.br") for name in static)
    assert any(name.startswith("basemap-") and name.endswith(".pbf") for name in static)
    assert not any(name.startswith("realtime/pages/web/") for name in files)
