"""Whoever holds the phone learns nothing by a PIN: not which of two it was, nor which one would be right."""

import asyncio
import threading
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from alerts.alert import MAX_WRONG_PINS
from realtime.sockets import sos
from tests.sockets.kit import Raw, Server, until

DRIVER, WATCH = "/driver", "/watch"
RIGHT, DURESS = "1234", "9876"


async def http(server: Server, token: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    async with server.session.request(method, server.url + path, json=body, headers=headers) as response:
        found: dict[str, Any] = await response.json()
        assert response.status == 200, found
        return found


async def with_pins(server: Server) -> tuple[str, str, Raw]:
    """A driver with a name and both PINs: id, token, socket."""
    driver = f"d-{uuid4()}"
    token = server.token("driver", "t1", ["v1"], driver=driver)
    path = f"/api/v1/drivers/{driver}"
    await http(server, token, "PUT", f"{path}/pins", {"cancel": RIGHT, "duress": DURESS})
    await http(server, token, "PUT", f"{path}/safety", {"name": "Ann", "language": "en"})
    return driver, token, await server.driver(driver)


async def everything_shown_after(server: Server, pin: str) -> dict[str, Any]:
    """All that the phone, and the driver's token, show of an alert that somebody was on and ``pin`` ended."""
    driver, token, raw = await with_pins(server)
    first = {"sos_id": str(uuid4()), "message": "m"}
    ack = await raw.ask(DRIVER, "sos", first)
    await raw.ask(DRIVER, "sos", {"sos_id": str(uuid4())})
    viewer = await server.viewer()
    assert (await viewer.ask(WATCH, "alert:ack", {"alert_id": ack["alert_id"]}))["ok"]
    cancel = await raw.ask(DRIVER, "sos:cancel", {"sos_id": first["sos_id"], "pin": pin})

    def is_told() -> bool:
        return any(event[0]["state"] == "cancelled" for event in raw.events(DRIVER, "sos:update"))

    await until(is_told, "the phone's word of it")
    state = await raw.ask(DRIVER, "sos:state", {"sos_id": first["sos_id"]})
    tries = [
        await raw.ask(DRIVER, "sos:cancel", {"sos_id": first["sos_id"], "pin": tried})
        for tried in (*["0000"] * 7, RIGHT, DURESS, "")
    ]
    again = await server.driver(driver)
    later = await again.ask(DRIVER, "sos:state", {"sos_id": first["sos_id"]})
    screen = await server.raw()
    assert await screen.connect(WATCH, token=token) == {}
    watched = await screen.ask(WATCH, "watch", {"feed": {"driver": driver}})
    lists = {
        asked: [
            one["state"] for one in (await http(server, token, "GET", f"/api/v1/alerts{asked}"))["alerts"]
        ]
        for asked in ("", "?state=active", "?state=acknowledged", "?state=cancelled")
    }
    shown = {
        "cancel": cancel,
        "update": raw.events(DRIVER, "sos:update")[-1],
        "state": state,
        "tries": tries,
        "greeting": again.events(DRIVER, "sos:update"),
        "later": later,
        "snapshot": watched["snapshot"]["alerts"],
        "one": await http(server, token, "GET", f"/api/v1/alerts/{ack['alert_id']}"),
        "lists": lists,
    }
    return _without_its_own(shown, driver)


def _without_its_own(value: Any, driver: str) -> Any:
    """``value`` without ids and times, which differ from alert to alert."""
    if isinstance(value, dict):
        return {
            key: type(one).__name__ if key.endswith(("_at", "_id")) else _without_its_own(one, driver)
            for key, one in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_its_own(one, driver) for one in value]
    return "the driver" if value == driver else value


async def test_a_duress_pin_leaves_on_the_phone_what_the_right_one_leaves(server: Server) -> None:
    assert await everything_shown_after(server, DURESS) == await everything_shown_after(server, RIGHT)


@pytest.mark.parametrize("pin", [RIGHT, DURESS, "0000", ""])
async def test_after_five_wrong_pins_the_answer_does_not_tell_which_is_right(
    server: Server, pin: str
) -> None:
    _, _, raw = await with_pins(server)
    pressed = {"sos_id": str(uuid4())}
    await raw.ask(DRIVER, "sos", pressed)
    for _ in range(5):
        wrong = await raw.ask(DRIVER, "sos:cancel", {**pressed, "pin": "0000"})
        assert wrong["error"]["message"] == "pin is wrong"
    refused = (await raw.ask(DRIVER, "sos:cancel", {**pressed, "pin": pin}))["error"]
    assert (refused["code"], refused["message"], refused["state"]) == (
        "forbidden", "too many wrong pins", "active",
    )  # fmt: skip
    assert refused["retryable"] is False


@pytest.mark.parametrize("pin", [RIGHT, DURESS, "0000"])
async def test_a_pin_tried_on_an_alert_that_is_over_tells_nothing(server: Server, pin: str) -> None:
    _, _, raw = await with_pins(server)
    pressed = {"sos_id": str(uuid4())}
    ack = await raw.ask(DRIVER, "sos", pressed)
    await http(server, server.token("dispatcher"), "POST", f"/api/v1/alerts/{ack['alert_id']}/resolve", {})
    assert await raw.ask(DRIVER, "sos:cancel", {**pressed, "pin": pin}) == {"ok": True, "state": "resolved"}


async def test_pins_of_a_phone_are_looked_at_one_by_one_and_no_more_than_count(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, raw = await with_pins(server)
    pressed = {"sos_id": str(uuid4())}
    await raw.ask(DRIVER, "sos", pressed)
    check, busy, looked_at = sos.checked, threading.Lock(), []

    def watched(*given: Any) -> Any:
        assert busy.acquire(blocking=False), "two at once"
        try:
            looked_at.append(given)
            return check(*given)
        finally:
            busy.release()

    monkeypatch.setattr(sos, "checked", watched)
    tries = [raw.ask(DRIVER, "sos:cancel", {**pressed, "pin": "0000"}) for _ in range(sos.MAX_ASKED + 5)]
    codes = Counter([answer["error"]["code"] for answer in await asyncio.gather(*tries)])
    assert codes == {"forbidden": sos.MAX_ASKED, "overloaded": 5}
    assert len(looked_at) == MAX_WRONG_PINS
    again = await raw.ask(DRIVER, "sos:cancel", {**pressed, "pin": RIGHT})
    assert again["error"]["message"] == "too many wrong pins", (
        "those that were refused are not counted for ever"
    )
