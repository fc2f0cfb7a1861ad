"""Log lines of the alert engine can be followed: each about an alert, a press or a timer carries its id."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ALERTING = Path(__file__).parents[2] / "realtime" / "alerting"
MODULES = ("failover/importer", "repository", "failover/cluster")
LEVELS = ("warning", "error", "exception")
OF_A_ROUND = {
    "the journal cannot be brought in: %s",
    "postgres rejected a part of an import: %s",  # the part is named by its ids
    "the journal cannot take what another process knows: %s",
    "looking at the others' alerts failed: %s",
    "redis does not take the copies: this process is alone with what it has",
    "the journal cannot record that alert %s is acted upon",  # its own id is all that is known
}
"""Lines about no alert in particular."""


def lines(module: str) -> Iterator[str]:
    """The messages that ``module`` logs."""
    for node in ast.walk(ast.parse((ALERTING / f"{module}.py").read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            value = node.func.value
            if isinstance(value, ast.Name) and value.id == "log":
                assert isinstance(node.args[0], ast.Constant), "messages are constant"
                yield str(node.args[0].value)


@pytest.mark.parametrize("module", MODULES)
def test_a_line_about_an_alert_or_a_press_has_its_id_and_its_tenant(module: str) -> None:
    found = [text for text in lines(module) if text not in OF_A_ROUND]
    assert found
    for text in found:
        assert re.search(r"\b(alert|press) %s of tenant %s", text), text


def test_every_line_about_a_round_is_logged_somewhere() -> None:
    assert {text for module in MODULES for text in lines(module)} >= OF_A_ROUND
