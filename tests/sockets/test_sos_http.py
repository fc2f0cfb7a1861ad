"""Alerts and safety timers over HTTP, on an instance with sockets."""

from typing import Any
from uuid import uuid4

import pytest

from tests.sockets.kit import Server, now_ms

ALERTS, TIMERS = "/api/v1/alerts", "/api/v1/timers"


async def ask(
    server: Server, token: str, method: str, path: str, body: Any = None
) -> tuple[int, dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with server.session.request(method, server.url + path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def pressed(server: Server, vendor: str = "v1", **more: Any) -> tuple[str, str, str]:
    """A driver of ``vendor`` who has pressed: id, token, alert id."""
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver, vendor=vendor)
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), **more})
    return driver, server.token("driver", "t1", [vendor], driver=driver), ack["alert_id"]


async def test_alerts_are_listed_page_by_page_narrowed_to_what_the_caller_may_see(server: Server) -> None:
    vendor = f"v-{uuid4()}"  # of its own: pages of all alerts of all tests would be too many in ten seconds
    made = [await pressed(server, vendor) for _ in range(3)]
    token = server.token("dispatcher", "t1", [vendor])
    seen: list[str] = []
    cursor = ""
    while True:
        status, page = await ask(server, token, "GET", f"{ALERTS}?limit=2{cursor}")
        assert status == 200
        seen += [alert["alert_id"] for alert in page["alerts"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(seen) == len(set(seen))
    assert {alert_id for *_, alert_id in made} == set(seen)
    driver, own, alert_id = made[0]
    _, mine = await ask(server, own, "GET", ALERTS)
    assert [alert["alert_id"] for alert in mine["alerts"]] == [alert_id]
    _, theirs = await ask(server, token, "GET", f"{ALERTS}?driver={driver}&state=active")
    assert [alert["alert_id"] for alert in theirs["alerts"]] == [alert_id]
    for other in (server.token("dispatcher", "t2"), server.token("dispatcher", "t1", ["v9"])):
        _, none = await ask(server, other, "GET", ALERTS)
        assert none["alerts"] == []


async def test_an_alert_is_answered_and_its_history_says_by_whom(server: Server) -> None:
    _, own, alert_id = await pressed(server)
    token = server.token("dispatcher")
    path = f"{ALERTS}/{alert_id}"
    for what, body in (
        ("acknowledge", {}),
        ("responders", {"name": "car 4", "eta_s": 60}),
        ("notes", {"text": "calling"}),
        ("resolve", {"note": "home"}),
    ):
        status, answer = await ask(server, token, "POST", f"{path}/{what}", body)
        assert status == 200, answer
    assert answer["alert"]["state"] == "resolved"
    _, detail = await ask(server, token, "GET", path)
    whats = [line["what"] for line in detail["history"]]
    assert [what for what in whats if what in ("acknowledged", "noted", "resolved")] == [
        "acknowledged",
        "noted",
        "resolved",
    ]
    _, mine = await ask(server, own, "GET", path)
    assert mine["history"] == []
    status, late = await ask(server, token, "POST", f"{path}/acknowledge", {})
    assert (status, late["error"]["code"]) == (409, "conflict")


async def test_others_alerts_look_like_none_and_drivers_answer_none(server: Server) -> None:
    _, own, alert_id = await pressed(server)
    whats = (("acknowledge", {}), ("resolve", {}), ("false-alarm", {}), ("notes", {"text": "x"}))
    for what, body in (*whats, ("responders", {})):
        path = f"{ALERTS}/{alert_id}/{what}"
        for other in (server.token("admin", "t2", None), server.token("dispatcher", "t1", ["v9"])):
            status, answer = await ask(server, other, "POST", path, body)
            assert (status, answer["error"]["message"]) == (404, "no such alert")
        status, answer = await ask(server, own, "POST", path, body)
        assert (status, answer["error"]["code"]) == (403, "forbidden")


@pytest.mark.parametrize("body", [None, 5, [], {"text": 5}, {"text": ""}, {"text": "x" * 1001}, {"no": 1}])
async def test_wrong_bodies_are_refused_with_a_code(server: Server, body: Any) -> None:
    _, _, alert_id = await pressed(server)
    token = server.token("dispatcher")
    status, answer = await ask(server, token, "POST", f"{ALERTS}/{alert_id}/notes", body)
    assert (status, answer["ok"]) == (400, False)
    assert answer["error"]["code"] in ("invalid", "malformed")


async def test_a_service_raises_a_drill_and_a_driver_or_another_vendors_dispatcher_cannot(
    server: Server,
) -> None:
    driver = f"d-{uuid4()}"
    await server.driver(driver)
    body = {"sos_id": str(uuid4()), "vendor": "v1", "driver": driver, "drill": True}
    own = server.token("driver", "t1", ["v1"], driver=driver)
    status, answer = await ask(server, own, "POST", ALERTS, body)
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    other = server.token("dispatcher", "t1", ["v9"])
    status, answer = await ask(server, other, "POST", ALERTS, body)
    assert (status, answer["error"]["code"]) == (404, "not_found")
    service = server.token("service", vendors=None)
    status, made = await ask(server, service, "POST", ALERTS, body)
    assert (status, made["durability"]) == (200, "committed")
    _, detail = await ask(server, service, "GET", f"{ALERTS}/{made['alert_id']}")
    assert detail["alert"]["drill"] is True
    status, none = await ask(server, service, "POST", ALERTS, {**body, "driver": "nobody"})
    assert (status, none["error"]["code"]) == (404, "not_found")


async def test_a_driver_arms_a_timer_checks_in_and_arrives(server: Server) -> None:
    driver = f"d-{uuid4()}"
    await server.driver(driver)
    own = server.token("driver", "t1", ["v1"], driver=driver)
    body = {"kind": "check_in", "client_timer_id": str(uuid4()), "every_s": 1200}
    status, made = await ask(server, own, "POST", TIMERS, body)
    assert (status, made["timer"]["state"]) == (200, "armed")
    _, again = await ask(server, own, "POST", TIMERS, body)
    assert again["timer"]["timer_id"] == made["timer"]["timer_id"]
    _, checked = await ask(server, own, "POST", f"{TIMERS}/check-in", {})
    assert [timer["timer_id"] for timer in checked["timers"]] == [made["timer"]["timer_id"]]
    other = server.token("dispatcher", "t1", ["v9"])
    status, _ = await ask(server, other, "DELETE", f"{TIMERS}/{made['timer']['timer_id']}")
    assert status == 404
    _, arrived = await ask(server, own, "POST", f"{TIMERS}/arrive", {})
    assert [timer["state"] for timer in arrived["timers"]] == ["done"]
    late = {"kind": "arrive_by", "client_timer_id": str(uuid4()), "by": now_ms() + 600_000}
    _, armed = await ask(server, own, "POST", TIMERS, late)
    _, gone = await ask(server, own, "DELETE", f"{TIMERS}/{armed['timer']['timer_id']}")
    assert gone["timer"]["state"] == "cancelled"


async def test_only_who_sees_the_whole_tenant_dismisses_a_silence(server: Server) -> None:
    path = "/api/v1/safety/dismiss"
    status, _ = await ask(server, server.token("dispatcher"), "POST", path, {})
    assert status == 403
    status, answer = await ask(server, server.token("admin", vendors=None), "POST", path, {})
    assert (status, answer["timers"]) == (200, [])
