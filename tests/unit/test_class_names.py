"""A public class name means one thing in the whole distribution."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("realtime", "geo", "alerts")


def public_classes(source: str) -> list[str]:
    """The names of the public classes that ``source`` defines at its top level."""
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_no_two_public_classes_have_one_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if "node_modules" not in path.parts:
                for name in public_classes(path.read_text(encoding="utf-8")):
                    places[name].append(path.relative_to(ROOT).as_posix())
    assert len(places) > 500
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_private_and_nested_classes_do_not_count() -> None:
    assert public_classes("class A: \n  class B: ...\nclass _C: ...\nclass D(A): ...") == ["A", "D"]
