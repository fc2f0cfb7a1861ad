"""What a release says at its edges, recorded by its own tests' servers: for `make_edges` and the tests.

Values that differ from run to run (ids, times, secrets) are recorded by their type. Words for people are not
recorded: that there are some is.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import uuid4
from xml.etree import ElementTree

from twilio.request_validator import RequestValidator

from tests.api.harness import Api
from tests.golden import names
from tests.hooks.conftest import ANN, PHONE, World
from tests.sockets.kit import Server, good, now_ms

HEADERS: Final = ("Content-Type", "Cache-Control", "Retry-After", "WWW-Authenticate")
WORDS: Final = "(words)"
DRIVER: Final = "/driver"
WATCH: Final = "/watch"


def shape(value: Any) -> Any:
    """``value`` with the names of types in place of its values.

    A list of objects or of lists is given by the shapes that occur in it, any other list entry by entry.
    """
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if not isinstance(value, list):
        return type(value).__name__
    shapes = [shape(one) for one in value]
    if not all(isinstance(one, dict | list) for one in value):
        return shapes
    return [one for at, one in enumerate(shapes) if one not in shapes[:at]]


# --- errors


async def errors(api: Api) -> dict[str, Any]:
    """Status, headers and body of each code, as the API answers it: now and with a time to wait."""
    found = {}
    for code in names.Code:
        for name, more in (
            (code.value, {}),
            (f"{code.value} later", {"retry_after_s": 1.5, "expected": 7}),
        ):
            api.fakes.failures["check"] = names.Refused(code, "because", **more)
            reply = await api.get("/api/v1/alerts")
            headers = {header: reply.headers.get(header) for header in HEADERS}
            found[name] = {"status": reply.status, "headers": headers, "body": reply.json}
    api.fakes.failures.clear()
    return found


# --- call-backs of Twilio


async def callbacks(world: World) -> list[dict[str, Any]]:
    """Each call-back in order: its form, the answer's status and TwiML, and the alert's state after it."""
    world.twilio.callbacks.behaviour = names.Behaviour(calls_back=False)
    steps: list[dict[str, Any]] = []
    texted = await world.sos("d1")
    await world.text_of(texted)
    for number, (sender, text) in enumerate(TEXTS):
        form = {"From": sender, "To": world.twilio.number, "Body": text, "MessageSid": f"SM{number:032x}"}
        step = await _posted(world, "/hooks/twilio/sms", form)
        steps.append({**step, "state": (await world.alert(texted)).state.value})
    called = await world.sos("d2")
    await world.call_of(called)
    attempt = await world.attempt(called, names.Channel.CALL)
    where = f"{attempt.attempt_id}?alert={called}&contact={ANN}"
    for digits in ("7", "1", "1"):
        form = {"CallSid": f"CA{2:032x}", "Digits": digits}
        step = await _posted(world, f"/hooks/twilio/voice/{where}", form)
        steps.append({**step, "state": (await world.alert(called)).state.value})
    unknown = f"{uuid4()}?alert={uuid4()}&contact={ANN}"
    steps.append(
        await _posted(world, f"/hooks/twilio/voice/{unknown}", {"CallSid": f"CA{3:032x}", "Digits": "1"})
    )
    for status in ("sent", "delivered", "undelivered", "eaten"):
        form = {"MessageSid": f"SM{99:032x}", "MessageStatus": status}
        steps.append(await _posted(world, f"/hooks/twilio/status/{where}", form))
    for status in ("ringing", "no-answer"):
        form = {"CallSid": f"CA{98:032x}", "CallStatus": status}
        steps.append(await _posted(world, f"/hooks/twilio/status/{where}", form))
    forged = {"From": PHONE, "Body": "1", "MessageSid": f"SM{97:032x}"}
    steps.append(await _posted(world, "/hooks/twilio/sms", forged, signature="forged"))
    return steps


TEXTS: Final = (
    ("+4915100000000", "1"), (PHONE, "HELP"), (PHONE, "aide"), (PHONE, "who is this?"), (PHONE, "2"),
    (PHONE, " 1 "), (PHONE, "2"), (PHONE, "1"), (PHONE, "STOP"), (PHONE, "START"),
)  # fmt: skip
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def _posted(
    world: World, path: str, given: Mapping[str, str], signature: str | None = None
) -> dict[str, Any]:
    url, form = world.url + path, {**given, "AccountSid": world.twilio.account_sid}
    signed = signature or RequestValidator(world.twilio.auth_token).compute_signature(url, form)
    async with world.session.post(url, data=form, headers={"X-Twilio-Signature": signed}) as answer:
        body, kind = await answer.text(), answer.headers.get("Content-Type")
        said: Any = body
        if kind is not None and "json" in kind:
            said = await answer.json()
        elif body.startswith("<"):
            said = _element(ElementTree.fromstring(body))
    return {
        "path": _UUID.sub("(id)", path),
        "form": dict(given),
        "status": answer.status,
        "type": kind,
        "said": said,
    }


def _element(element: ElementTree.Element) -> Any:
    attributes = {name: _UUID.sub("(id)", value) for name, value in sorted(element.attrib.items())}
    text = WORDS if (element.text or "").strip() else ""
    return [element.tag, attributes, text, [_element(child) for child in element]]


# --- events of sockets


async def events(server: Server) -> dict[str, Any]:
    """The shape of each answer and event that a driver, a viewer and the holders of links are given.

    The server has a SAFETY_URL, and is drained at the end.
    """
    found: dict[str, Any] = {}
    viewer, world_map = await server.viewer(), await server.viewer()
    found["watch vendor"] = shape(await viewer.ask(WATCH, "watch", {"feed": {"vendor": "v1"}}))
    far = {"feed": {"area": {"bbox": [[-60.0, -170.0], [80.0, 170.0]], "zoom": 1}}}
    found["watch area far"] = shape(await world_map.ask(WATCH, "watch", far))
    found["whoami"] = shape(await viewer.ask(WATCH, "whoami"))
    driver = await server.driver("e1")
    found["safety"] = shape(await driver.event(DRIVER, "safety"))
    started = {"client_journey_id": str(uuid4()), "started_at": now_ms()}
    begun = await driver.ask(DRIVER, "journey:start", started)
    found["journey:start"] = shape(begun)
    journey = begun["journey_id"]
    sent = {"journey_id": journey, "points": [good(1), good(2)]}
    found["positions ack"] = shape(await driver.ask(DRIVER, "positions", sent))
    gap = {"journey_id": journey, "points": [good(9)]}
    found["positions refused"] = shape(await driver.ask(DRIVER, "positions", gap))
    for name in ("positions", "presence", "journey"):
        found[name] = shape(await viewer.event(WATCH, name))
    found["watch driver"] = shape(await viewer.ask(WATCH, "watch", {"feed": {"driver": "e1"}}))
    found["unwatch"] = shape(await viewer.ask(WATCH, "unwatch", {"feed": "driver:e1"}))
    found["counts"] = shape(await world_map.event(WATCH, "counts"))
    near = {"feed": {"area": {"bbox": [[53.3, -3.05], [53.5, -2.85]], "zoom": 11}}}
    found["watch area near"] = shape(await world_map.ask(WATCH, "watch", near))
    watched = await viewer.ask(WATCH, "watch", {"feed": {"journey": journey, "since_seq": 0}})
    found["watch journey"] = shape(watched)

    press = {"sos_id": str(uuid4()), "pressed_at": now_ms(), "point": good(3), "message": "help"}
    ack = await driver.ask(DRIVER, "sos", press)
    alert_id = ack["alert_id"]
    found["sos"] = shape(ack)
    found["alert"] = shape(await viewer.event(WATCH, "alert"))
    named = {"alert_id": alert_id}
    for event, payload in (
        ("alert:note", {**named, "text": "seen"}), ("alert:respond", {**named, "name": "Ben", "eta_s": 60}),
        ("alert:ack", named), ("alert:told", named),
    ):  # fmt: skip
        found[event] = shape(await viewer.ask(WATCH, event, payload))
    found["watch alert"] = shape(await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}}))
    found["sos:state"] = shape(await driver.ask(DRIVER, "sos:state", {"sos_id": press["sos_id"]}))
    update = await driver.event(DRIVER, "sos:update")
    while update[0]["acknowledged_by"] is None:
        update = await driver.event(DRIVER, "sos:update")
    found["sos:update"] = shape(update)

    shared = await _share(server, f"/api/v1/alerts/{alert_id}/shares", {"expires_in_s": 600, "scope": "live"})
    guest = await server.raw()
    assert await guest.connect(WATCH, share=shared) == {}
    found["whoami of a share of an alert"] = shape(await guest.ask(WATCH, "whoami"))
    assert (await guest.ask(WATCH, "watch", {"feed": {"alert": alert_id}}))["ok"]
    assert (await guest.ask(WATCH, "watch", {"feed": {"journey": journey}}))["ok"]
    cancel = {"sos_id": press["sos_id"], "pin": ""}
    found["alert:resolve"] = shape(await viewer.ask(WATCH, "alert:resolve", {**named, "note": "safe"}))
    found["sos:cancel"] = shape(await driver.ask(DRIVER, "sos:cancel", cancel))
    found["reset"] = shape(await guest.event(WATCH, "reset"))

    wish = {"expires_in_s": 600, "scope": "live", "follows": True}
    person = await _share(server, f"/api/v1/journeys/{journey}/shares", wish)
    follower = await server.raw()
    assert await follower.connect(WATCH, share=person) == {}
    found["whoami of a share of a driver"] = shape(await follower.ask(WATCH, "whoami"))
    ended = {"journey_id": journey, "ended_at": now_ms(), "last_seq": 2}
    found["journey:end"] = shape(await driver.ask(DRIVER, "journey:end", ended))
    assert await server.journey(driver, 1)
    found["share"] = shape(await follower.event(WATCH, "share"))

    expired = await server.raw()
    token = server.token("driver", driver="e1", ttl_s=-60)
    assert await expired.connect(DRIVER, token=token, sos=True) == {}
    found["sos:only"] = shape(await expired.event(DRIVER, "sos:only"))
    found["refused"] = shape(await (await server.raw()).connect(DRIVER, token="none"))
    principal = names.Authenticator(server.instance.settings).verify(token := server.token("dispatcher"))
    revoked = await server.raw()
    assert await revoked.connect(WATCH, token=token) == {}
    body = {"jti": principal.jti, "expires_at": principal.expires_ms}
    await _call(server, "/api/v1/revocations", body)
    found["closing"] = shape(await revoked.event(WATCH, "closing"))
    found["unknown"] = shape(await viewer.ask(WATCH, "no such event", {}))
    await server.instance.drain()
    found["drain"] = shape(await viewer.event(WATCH, "drain"))
    return found


async def _share(server: Server, path: str, wish: dict[str, Any]) -> str:
    made = await _call(server, path, wish)
    return str(made["url"].rpartition("/")[2].replace("#", "."))


async def _call(server: Server, path: str, body: dict[str, Any]) -> Any:
    headers = {"Authorization": f"Bearer {server.token('admin', vendors=None)}"}
    async with server.session.post(server.url + path, json=body, headers=headers) as answer:
        assert answer.status < 300, await answer.text()
        return await answer.json()
