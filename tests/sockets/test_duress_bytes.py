"""What a driver's token reads of an alert after the duress PIN is, byte for byte, what it reads after the
right one: each view of HTTP with its headers, and each answer and event of the sockets.
"""

import json
import re
from typing import Any
from uuid import uuid4

import pytest

from tests.sockets.kit import Raw, Server, now_ms, until
from tests.sockets.test_answering_links import ACTS, DRIVER, WATCH
from tests.sockets.test_duress import DURESS, RIGHT, http
from tests.sockets.test_duress_links import Car

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\b1[5-9]\d{11}\b")
_SHARE = re.compile(r"/s/[\w-]+#[\w-]+")
_ACK = re.compile(r"^(4\d/\w+,)\d+")
NOT_COMPARED = {"date"}
STATES = ("pending", "active", "acknowledged", "resolved", "cancelled")


class Phone(Car):
    """The driver's phone, and a reader of everything that its token can read."""

    def reduced(self, text: str) -> str:
        """``text`` with its own ids by the order in which they occur first, and without times."""
        text = _SHARE.sub("/s/share", text.replace(self.name, "driver"))
        seen: dict[str, str] = {}
        text = _UUID.sub(lambda match: seen.setdefault(match[0], f"id{len(seen)}"), text)
        return _TIME.sub("time", text)

    async def request(self, method: str, path: str, body: Any = None) -> str:
        """The whole answer: status, headers and body."""
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self.server.session.request(
            method, self.server.url + path, json=body, headers=headers
        ) as response:
            kept = sorted(f"{k}: {v}" for k, v in response.headers.items() if k.lower() not in NOT_COMPARED)
            return self.reduced(f"{method} {response.status}\n{kept}\n{await response.text()}")

    async def asked(self, raw: Raw, namespace: str, event: str, payload: Any) -> str:
        """The ack as it came."""
        return self.reduced(f"{event} {await raw.ask_text(namespace, json.dumps([event, payload]))}")

    async def as_read(self, sos_id: str, alert_id: str) -> str:
        """The alert with its ids and times, which are compared with those of a later time."""
        one = await http(self.server, self.token, "GET", f"/api/v1/alerts/{alert_id}")
        listed = await http(self.server, self.token, "GET", "/api/v1/alerts")
        state = await self.raw.ask_text(DRIVER, json.dumps(["sos:state", {"sos_id": sos_id}]))
        return json.dumps([one, listed]) + state

    async def everything(self, sos_ids: list[str], alert_id: str) -> dict[str, str]:
        """Each view of the driver's own token, by what was asked."""
        one, own = f"/api/v1/alerts/{alert_id}", f"/api/v1/drivers/{self.name}"
        journey = f"/api/v1/journeys/{self.journey}"
        lists = [
            "", *(f"?state={state}" for state in STATES), "?limit=1", "?vendor=v1",
            f"?driver={self.name}", "?since=0", f"?since={now_ms()}",
        ]  # fmt: skip
        paths = [
            *(f"/api/v1/alerts{asked}" for asked in lists),
            one, f"{one}?limit=1", f"{one}/attempts", f"{one}/history", f"{one}/shares",
            f"{own}/safety", f"{own}/profile", f"{own}/changes", f"{own}/escalation?kind=sos",
            "/api/v1/contacts", "/api/v1/timers", "/api/v1/devices", "/api/v1/policies", "/api/v1/vendors",
            "/api/v1/positions", "/api/v1/journeys", journey, f"{journey}/points", f"{journey}/shares",
        ]  # fmt: skip
        seen = {self.reduced(path): await self.request("GET", path) for path in paths}
        for verb in ("acknowledge", "resolve", "false-alarm", "notes", "responders", "shares"):
            body = {"notes": {"text": "x"}, "responders": {"eta_s": 60}, "shares": {"expires_in_s": 60}}
            seen[verb] = await self.request("POST", f"{one}/{verb}", body.get(verb, {}))
        socket = await self.server.driver(self.name)
        for at, sos_id in enumerate(sos_ids):
            seen[f"press {at} again"] = await self.request("POST", "/api/v1/sos", {"sos_id": sos_id})
            seen[f"state {at}"] = await self.asked(socket, DRIVER, "sos:state", {"sos_id": sos_id})
            seen[f"sos {at} again"] = await self.asked(socket, DRIVER, "sos", {"sos_id": sos_id})
            for pin in ("", "0000", RIGHT, DURESS):
                given = {"sos_id": sos_id, "pin": pin}
                seen[f"cancel {at} {pin}"] = await self.asked(socket, DRIVER, "sos:cancel", given)
        screen = await self.server.raw()
        assert await screen.connect(WATCH, token=self.token) == {}
        for feed in ({"driver": self.name}, {"journey": self.journey}, {"alert": alert_id}, {"vendor": "v1"}):
            seen[f"watch {next(iter(feed))}"] = await self.asked(screen, WATCH, "watch", {"feed": feed})
        for event, more in ACTS:
            seen[event] = await self.asked(screen, WATCH, event, {"alert_id": alert_id, **more})
        for name, raw in (("phone", self.raw), ("greeting", socket), ("screen", screen)):
            seen[name] = "\n".join(
                self.reduced(_ACK.sub(r"\1", packet)) for packet in raw.packets if '"state"' in packet
            )
        return seen


async def seen_after(server: Server, pin: str, **press: Any) -> list[dict[str, str]]:
    """All views when ``pin`` was given, and again each time that something was done about the alert.

    After the duress PIN more is done: a dispatcher presses for the driver, and others answer.
    """
    car = await Phone(server).begin()
    named = {"name": "A", "language": "en"}
    await http(server, car.token, "PUT", f"/api/v1/drivers/{car.name}/safety", named)
    sos_id, alert_id = await car.sos(**press)
    joined, _ = await car.sos(message="again")
    dispatcher = await server.viewer()
    assert (await dispatcher.ask(WATCH, "alert:ack", {"alert_id": alert_id}))["ok"]
    await until(
        lambda: press.get("silent") or car.raw.events(DRIVER, "sos:update")[-1][0]["state"] == "acknowledged",
        "the acknowledgement on the phone",
    )
    await car.cancel(sos_id, pin)
    await until(
        lambda: press.get("silent") or car.raw.events(DRIVER, "sos:update")[-1][0]["state"] == "cancelled",
        "the end on the phone",
    )
    at_once = await car.as_read(sos_id, alert_id)
    seen = [await car.everything([sos_id, joined], alert_id)]
    await dispatcher.ask(WATCH, "alert:note", {"alert_id": alert_id, "text": "call the police"})
    await dispatcher.ask(WATCH, "alert:respond", {"alert_id": alert_id, "eta_s": 60})
    await car.drive(2)
    seen.append(await car.everything([sos_id, joined], alert_id))
    if pin == DURESS:
        raised = {"vendor": "v1", "driver": car.name, "sos_id": str(uuid4()), "message": "police"}
        await http(server, server.token("service"), "POST", "/api/v1/alerts", raised)
        seen.append(await car.everything([sos_id, joined], alert_id))
    await dispatcher.ask(WATCH, "alert:resolve", {"alert_id": alert_id})
    seen.append(await car.everything([sos_id, joined], alert_id))
    assert await car.as_read(sos_id, alert_id) == at_once
    return seen


@pytest.mark.parametrize("press", [{}, {"silent": True}, {"kind": "crash"}])
async def test_no_view_of_the_drivers_token_differs_after_the_duress_pin(
    server: Server, press: dict[str, Any]
) -> None:
    by_right = await seen_after(server, RIGHT, **press)
    by_duress = await seen_after(server, DURESS, **press)
    expected = {step: by_right[min(step, 1)] for step in range(len(by_duress))}
    assert by_right[1] == by_right[2], "after the right PIN nothing changes any more"
    for step, seen in enumerate(by_duress):
        differ = [asked for asked in seen if seen[asked] != expected[step][asked]]
        assert not differ, (step, {asked: (seen[asked], expected[step][asked]) for asked in differ})
