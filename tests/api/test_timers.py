"""Safety timers over HTTP: whose journey a timer may name."""

from typing import Any
from uuid import uuid4

from tests.api.harness import Api


async def test_a_journey_that_is_not_the_drivers_is_not_found_whether_it_exists_or_not(api: Api) -> None:
    own = await api.journey(driver="d1")
    others = [
        await api.journey(driver="d2"),
        await api.journey(driver="d3", vendor="south"),
        await api.journey(driver="d1", tenant="t2"),
        uuid4(),
    ]
    callers = {
        "driver": {"token": api.token("driver", ["north"], driver="d1")},
        "service": {"token": api.token("service", None)},
    }
    answers = set()
    for role, caller in callers.items():
        for journey_id in others:
            reply = await api.call("POST", "/api/v1/timers", **caller, json=timer(role, journey_id))
            assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")
            answers.add((reply.status, str(reply.json)))
        reply = await api.call("POST", "/api/v1/timers", **caller, json=timer(role, own))
        assert reply.json["timer"]["journey_id"] == str(own)
    assert len(answers) == 1, "nothing tells them apart"


def timer(role: str, journey_id: object) -> dict[str, Any]:
    """A timer of d1: its own driver names nobody."""
    body = {
        "kind": "check_in",
        "client_timer_id": str(uuid4()),
        "every_s": 600,
        "journey_id": str(journey_id),
    }
    return body if role == "driver" else body | {"driver": "d1"}
