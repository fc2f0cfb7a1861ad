"""Makes the golden files of `edges`: ``pytest tests/golden/make_edges.py`` in the tree of release 9ecb5eb.

As `tests.golden.make`, it is not run again.
"""

import json
from typing import Any

import pytest

from tests.golden import test_edges
from tests.golden.test_edges import (
    FILES,
    api,
    test_call_backs_of_twilio_are_answered_as_they_were,
    test_each_code_is_answered_as_it_was,
    test_events_and_answers_of_sockets_have_the_fields_they_had,
    world,
)

__all__ = [
    "api",
    "test_call_backs_of_twilio_are_answered_as_they_were",
    "test_each_code_is_answered_as_it_was",
    "test_events_and_answers_of_sockets_have_the_fields_they_had",
    "world",
]


@pytest.fixture(autouse=True)
def _record(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(golden: str, found: Any) -> list[str]:
        (FILES / f"{golden}.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        return []

    monkeypatch.setattr(test_edges, "golden", lambda name: name)
    monkeypatch.setattr(test_edges, "differences", record)
