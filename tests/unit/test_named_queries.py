"""Every query that a module asks for by its name is in the file that it loads."""

import re
from pathlib import Path

import pytest

from realtime.store.db import queries

ROOT = Path(__file__).parents[2] / "realtime"
_LOADED = re.compile(r"^(\w+)(?:: [\w\[\], ]+)? = load\(\"(\w+)\"\)", re.MULTILINE)
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if _LOADED.search(path.read_text())]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_named_queries_are_in_their_file(module: Path) -> None:
    text = module.read_text()
    for variable, name in _LOADED.findall(text):
        asked = set(re.findall(rf"(?<![\w.]){variable}\[\"(\w+)\"\]", text))
        assert asked - queries.load(name).keys() == set()


def test_modules_with_queries_are_found() -> None:
    assert len(MODULES) > 15
