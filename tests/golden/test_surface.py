"""Names at the edges that an earlier release had are there still, with the same meaning."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.golden.surface import flags_of, surface_of_a_process

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "files" / "surface.json").read_text())


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    """The surface in a process of its own: metrics of this one have the labels of what other tests did."""
    return surface_of_a_process()


@pytest.mark.parametrize("part", ["codes", "settings", "metrics"])
def test_each_entry_is_as_it_was(now: dict[str, Any], part: str) -> None:
    assert {name: now[part].get(name, "missing") for name in GOLDEN[part]} == GOLDEN[part]


@pytest.mark.parametrize("part", ["routes", "events", "commands"])
def test_each_name_is_there(now: dict[str, Any], part: str) -> None:
    assert sorted(set(GOLDEN[part]) - set(now[part])) == []


@pytest.mark.parametrize("command", GOLDEN["commands"])
def test_each_option_of_a_command_is_there(command: str) -> None:
    assert GOLDEN["flags"][command], "an empty list would hold nothing"
    assert sorted(set(GOLDEN["flags"][command]) - set(flags_of(command))) == []
