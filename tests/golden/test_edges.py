"""Errors, answers to call-backs of Twilio and events of sockets are of the shape of an earlier release."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.harness import Api, running
from tests.golden import edges, names
from tests.golden.compare import differences
from tests.hooks.conftest import World, world
from tests.sockets.kit import serving

__all__ = ["world"]  # a fixture, found by its name here
FILES = Path(__file__).parent / "files"


def golden(name: str) -> Any:
    return json.loads((FILES / f"{name}.json").read_text())


@pytest.fixture
async def api(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with running(database_url, redis_url) as api:
        yield api


def test_the_files_have_every_code_and_every_event_of_that_release() -> None:
    """A code or an event that a later release adds is not among them."""
    codes = set(golden("surface")["codes"])
    assert set(golden("errors")) == {name for code in codes for name in (code, f"{code} later")}
    told = {"positions", "counts", "presence", "journey", "alert", "reset", "drain", "share", "closing"}
    assert set(golden("events")) >= told | {"safety", "sos:only", "sos:update"}
    asked = set(golden("surface")["events"]) - {"other", "positions", "watch", "alert:false_alarm"}
    assert set(golden("events")) >= asked
    refused = {name for name, one in golden("events").items() if "error" in one}
    assert refused == {"positions refused", "unknown"}, "the others were answered"
    states = {step.get("state") for step in golden("callbacks")}
    assert states >= {"active", "acknowledged", "cancelled"}


async def test_each_code_is_answered_as_it_was(api: Api) -> None:
    assert differences(golden("errors"), await edges.errors(api)) == []


async def test_call_backs_of_twilio_are_answered_as_they_were(world: World) -> None:
    assert differences(golden("callbacks"), await edges.callbacks(world)) == []


async def test_events_and_answers_of_sockets_have_the_fields_they_had(
    database_url: str, redis_url: str
) -> None:
    settings = names.Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret="a secret of the tests, 32 bytes long",  # type: ignore[arg-type]
        safety_url="https://sos.example",
        drain_s=0.01,
        fanout_tick_ms=5,
        commit_window_ms=1,
    )
    async with serving(settings) as server:
        assert differences(golden("events"), await edges.events(server)) == []
