"""Every operation about alerts and safety timers, driven once, for the test of the OpenAPI document."""

import time
from typing import Any
from uuid import uuid4

from tests.api.harness import Api

ALERT_IDS = {"alert_id": str(uuid4()), "timer_id": str(uuid4())}
SHARE = {"scope": "live", "expires_in_s": 60}
_ALERT = "/api/v1/alerts/{alert_id}"


async def alert_drives(api: Api) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Method, template, path and the rest of each."""
    await api.journey(driver="d7")
    service = api.token("service", None)
    driver = api.token("driver", ["north"], driver="d7")

    async def raised() -> str:
        body = {"sos_id": str(uuid4()), "vendor": "north", "driver": "d7"}
        reply = await api.call("POST", "/api/v1/alerts", service, json=body)
        assert reply.status == 200, reply.body
        return str(reply.json["alert_id"])

    async def timer(kind: str, **more: Any) -> dict[str, Any]:
        return {"token": driver, "json": {"kind": kind, "client_timer_id": str(uuid4()), **more}}

    first = f"/api/v1/alerts/{await raised()}"
    armed = await api.call("POST", "/api/v1/timers", **await timer("check_in", every_s=600))
    arrive_by = await timer("arrive_by", by=time.time_ns() // 1_000_000 + 600_000)
    raise_again = {"sos_id": str(uuid4()), "vendor": "north", "driver": "d7", "drill": True}
    return [
        ("get", "/api/v1/alerts", "/api/v1/alerts?driver=d7", {}),
        ("get", _ALERT, first, {"token": service}),
        ("get", f"{_ALERT}/attempts", f"{first}/attempts", {"token": service}),
        ("get", f"{_ALERT}/history", f"{first}/history?limit=1", {"token": service}),
        ("post", f"{_ALERT}/shares", f"{first}/shares", {"token": service, "json": SHARE}),
        ("get", f"{_ALERT}/shares", f"{first}/shares", {"token": service}),
        ("post", f"{_ALERT}/acknowledge", f"{first}/acknowledge", {"token": service, "json": {}}),
        ("post", f"{_ALERT}/notes", f"{first}/notes", {"token": service, "json": {"text": "x"}}),
        ("post", f"{_ALERT}/responders", f"{first}/responders", {"token": service, "json": {"name": "y"}}),
        ("post", f"{_ALERT}/resolve", f"{first}/resolve", {"token": service, "json": {}}),
        ("post", "/api/v1/alerts", "/api/v1/alerts", {"token": service, "json": raise_again}),
        (
            "post",
            f"{_ALERT}/false-alarm",
            f"/api/v1/alerts/{await drill(api, service)}/false-alarm",
            {"token": service, "json": {}},
        ),
        ("post", "/api/v1/timers", "/api/v1/timers", arrive_by),
        ("get", "/api/v1/timers", "/api/v1/timers?driver=d7", {"token": driver}),
        ("post", "/api/v1/timers/check-in", "/api/v1/timers/check-in", {"token": driver, "json": {}}),
        (
            "delete",
            "/api/v1/timers/{timer_id}",
            f"/api/v1/timers/{armed.json['timer']['timer_id']}",
            {"token": driver},
        ),
        ("post", "/api/v1/timers/arrive", "/api/v1/timers/arrive", {"token": driver, "json": {}}),
        ("post", "/api/v1/safety/dismiss", "/api/v1/safety/dismiss", {"token": service, "json": {}}),
    ]


async def drill(api: Api, token: str) -> str:
    """A drill of the driver."""
    body = {"sos_id": str(uuid4()), "vendor": "north", "driver": "d7", "drill": True}
    reply = await api.call("POST", "/api/v1/alerts", token, json=body)
    return str(reply.json["alert_id"])
