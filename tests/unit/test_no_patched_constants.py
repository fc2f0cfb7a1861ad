"""Time constants and bounds are passed to constructors: no test replaces a constant of a module."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")
MAY_REPLACE = re.compile(r"setattr|\._?[A-Z][A-Z0-9_]*\s*\W?=[^=]")


def patched(source: str) -> Iterator[str]:
    """The constants that ``source`` replaces: by any ``setattr``, or by assigning to a module's name."""
    if not MAY_REPLACE.search(source):
        return  # parsing takes long
    tree = ast.parse(source)
    modules = {
        (name.asname or name.name).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            for argument in node.args[:2] if called == "setattr" else ():
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    name = argument.value.rpartition(".")[2]
                    if CONSTANT.fullmatch(name):
                        yield f"line {node.lineno}: {name}"
                        break
        elif isinstance(node, ast.Assign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and CONSTANT.fullmatch(target.attr):
                    root = target.value
                    while isinstance(root, ast.Attribute):
                        root = root.value
                    if isinstance(root, ast.Name) and root.id in modules:
                        yield f"line {node.lineno}: {target.attr}"


def test_no_test_replaces_a_constant_of_a_module() -> None:
    folders = [path for path in TESTS.iterdir() if path.is_dir() and path.name != "node"]
    files = {path.relative_to(TESTS).as_posix(): path for folder in folders for path in folder.rglob("*.py")}
    assert len(files) > 100, "the tests were not found"
    found = {
        name: lines
        for name, path in sorted(files.items())
        if (lines := list(patched(path.read_text(encoding="utf-8"))))
    }
    assert not found, "pass these to a constructor instead"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('monkeypatch.setattr(bus, "RETRY_S", 0.1)', ["RETRY_S"]),
        ('patch.setattr(a.b.bus,\n    "_OVERFULL", 5)', ["_OVERFULL"]),
        ('monkeypatch.setattr("realtime.bus.bus.RETRY_S", 0.1)', ["RETRY_S"]),
        ('setattr(bus, "RETRY_S", 0.1)', ["RETRY_S"]),
        ("from realtime.fanout import bus\nbus.RETRY_S = 0.1", ["RETRY_S"]),
        ("import realtime.bus.bus\nrealtime.fanout.bus.RETRY_S = 0.1", ["RETRY_S"]),
        ('monkeypatch.setattr(bus, "ensure_vendors", f)', []),
        ('monkeypatch.setenv("JOURNAL_DIR", x)', []),
        ("RETRY_S = 0.1\nself.LIMIT = 3", []),
    ],
)
def test_what_replaces_a_constant_is_recognized(source: str, names: list[str]) -> None:
    assert [line.rpartition(" ")[2] for line in patched(source)] == names
