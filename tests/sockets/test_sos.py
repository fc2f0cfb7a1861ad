"""SOS on ``/driver``: taken whatever else is wrong, one alert however often pressed, told to everyone."""

import asyncio
import json
import time
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from realtime.alerting.open_alerts import POLL_S
from realtime.store.alerts import reads
from realtime.store.people import tenants
from tests.sockets.kit import Raw, Server, now_ms, serving, until

DRIVER, WATCH = "/driver", "/watch"


def press(**more: Any) -> dict[str, Any]:
    """A good press."""
    return {"sos_id": str(uuid4()), "kind": "sos", "pressed_at": now_ms(), **more}


def name() -> str:
    """A driver nobody knows yet."""
    return f"d-{uuid4()}"


async def pressing(server: Server, **more: Any) -> tuple[str, Raw, dict[str, Any]]:
    """A driver who has pressed: id, socket, ack."""
    driver = name()
    raw = await server.driver(driver)
    ack = await raw.ask(DRIVER, "sos", press(**more))
    assert ack["ok"], ack
    return driver, raw, ack


async def test_a_press_is_acknowledged_once_it_is_committed(server: Server) -> None:
    driver, _, ack = await pressing(server, point=[1, now_ms(), 53.4, -2.9], message="help")
    assert ack["state"] == "active"
    assert ack["durability"] == "committed"
    found = await reads.list_(server.db, "t1", driver=driver, limit=10)
    assert [str(alert.alert_id) for alert in found] == [ack["alert_id"]]
    assert found[0].message == "help"
    assert found[0].place is not None


async def test_a_thousand_presses_from_one_phone_are_one_alert_and_each_is_acknowledged(
    server: Server,
) -> None:
    driver = name()
    raw = await server.driver(driver)
    presses = [press() for _ in range(10)]
    for number in range(1000):
        await raw.say(f"42/driver,{number + 500}{json.dumps(['sos', presses[number % 10]])}")
    acks = [json.loads("[" + await raw.packet(f"43/driver,{number + 500}["))[0] for number in range(1000)]
    assert {ack["ok"] for ack in acks} == {True}
    assert len({ack["alert_id"] for ack in acks}) == 1
    assert len(await reads.list_(server.db, "t1", driver=driver, limit=10)) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": 7, "pressed_at": "now", "journey_id": [], "point": {}, "message": 5, "silent": "x"},
        {"kind": "tea", "pressed_at": -1, "journey_id": "x", "point": [1], "message": None},
        {"pressed_at": 10**30, "point": [None] * 9, "extra": {"deep": [[[[]]]]}},
        {"message": "x" * 100_000, "point": "53,2"},
    ],
)
async def test_bad_fields_are_dropped_and_the_sos_is_taken(server: Server, wrong: dict[str, Any]) -> None:
    raw = await server.driver(name())
    ack = await raw.ask(DRIVER, "sos", {"sos_id": str(uuid4()), **wrong})
    assert ack["ok"], ack


async def test_a_frame_that_is_no_json_is_still_an_sos(server: Server) -> None:
    raw = await server.driver(name())
    sos_id = uuid4()
    text = f'["sos",{{"sos_id":"{sos_id}","message":"nan","point":[1,NaN,53.4,-2.9]}}]'
    ack = json.loads(await raw.ask_text(DRIVER, text))[0]
    assert ack["ok"], ack
    cut = json.loads(await raw.ask_text(DRIVER, f'["sos",{{"sos_id":"{sos_id}","message":"cut of'))[0]
    assert cut["alert_id"] == ack["alert_id"]


@pytest.mark.parametrize("payload", [None, 5, "x", [], {}, {"sos_id": 5}, {"sos_id": "x"}, {"sos_id": None}])
async def test_without_an_sos_id_it_is_refused_with_a_code(server: Server, payload: Any) -> None:
    raw = await server.driver(name())
    ack = await raw.ask(DRIVER, "sos", payload)
    assert ack["error"]["code"] == "invalid"
    assert ack["error"]["retryable"] is False


async def test_another_sos_while_one_is_open_joins_it(server: Server) -> None:
    _, raw, ack = await pressing(server)
    again = await raw.ask(DRIVER, "sos", press(message="again"))
    assert again["alert_id"] == ack["alert_id"]


async def test_without_a_pin_set_none_cancels_and_any_other_is_refused(server: Server) -> None:
    driver = name()
    raw = await server.driver(driver)
    pressed = press()
    await raw.ask(DRIVER, "sos", pressed)
    wrong = await raw.ask(DRIVER, "sos:cancel", {"sos_id": pressed["sos_id"], "pin": "1234"})
    assert wrong["error"]["code"] == "forbidden"
    right = await raw.ask(DRIVER, "sos:cancel", {"sos_id": pressed["sos_id"], "pin": ""})
    assert right == {"ok": True, "state": "cancelled"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"sos_id": str(uuid4()), "pin": "1234"}, "not_found"),
        ({"sos_id": "x", "pin": "1"}, "invalid"),
        ({"sos_id": str(uuid4()), "pin": 5}, "invalid"),
        ({"sos_id": str(uuid4()), "pin": "1" * 100}, "invalid"),
        (None, "invalid"),
        ([1], "invalid"),
    ],
)
async def test_a_cancel_that_cannot_be_is_refused_with_a_code(
    server: Server, payload: Any, code: str
) -> None:
    raw = await server.driver(name())
    assert (await raw.ask(DRIVER, "sos:cancel", payload))["error"]["code"] == code


async def test_another_drivers_sos_can_be_neither_seen_nor_cancelled(server: Server) -> None:
    driver = name()
    raw = await server.driver(driver)
    pressed = press()
    await raw.ask(DRIVER, "sos", pressed)
    for other in (await server.driver(name()), await server.driver(driver, tenant="t2")):
        asked = {"sos_id": pressed["sos_id"], "pin": ""}
        assert (await other.ask(DRIVER, "sos:cancel", asked))["error"]["code"] == "not_found"
        assert (await other.ask(DRIVER, "sos:state", asked))["error"]["code"] == "not_found"


async def test_the_phone_hears_who_acknowledged(server: Server) -> None:
    _, raw, ack = await pressing(server)
    viewer = await server.viewer()
    await viewer.ask(WATCH, "alert:ack", {"alert_id": ack["alert_id"]})

    def told() -> bool:
        return any(event[0]["state"] == "acknowledged" for event in raw.events(DRIVER, "sos:update"))

    await until(told, "the acknowledgement")
    last = raw.events(DRIVER, "sos:update")[-1][0]
    assert last["alert_id"] == ack["alert_id"]
    assert last["acknowledged_by"]


async def test_a_silent_sos_shows_nothing_on_the_phone_unless_it_asks(server: Server) -> None:
    driver = name()
    raw = await server.driver(driver)
    pressed = press(silent=True)
    ack = await raw.ask(DRIVER, "sos", pressed)
    viewer = await server.viewer()
    await viewer.ask(WATCH, "watch", {"feed": {"vendor": "v1"}})
    assert (await viewer.ask(WATCH, "alert:ack", {"alert_id": ack["alert_id"]}))["ok"]
    await viewer.event(WATCH, "alert")
    assert raw.events(DRIVER, "sos:update") == []
    state = await raw.ask(DRIVER, "sos:state", {"sos_id": pressed["sos_id"]})
    assert state["sos"]["state"] == "acknowledged"


async def test_a_driver_that_comes_back_is_told_of_its_open_alert(server: Server) -> None:
    driver, raw, ack = await pressing(server)
    await raw.close()
    again = await server.driver(driver)
    told = await again.event(DRIVER, "sos:update")
    assert told[0]["alert_id"] == ack["alert_id"]


async def test_an_expired_token_is_let_in_for_an_sos_alone_when_it_asks(server: Server) -> None:
    raw = await server.raw()
    token = server.token("driver", "t1", ["v1"], driver=name(), ttl_s=-3600)
    assert (await raw.connect(DRIVER, token=token))["code"] == "token_expired"
    assert await raw.connect(DRIVER, token=token, sos=True) == {}
    assert (await raw.event(DRIVER, "sos:only"))[0]["code"] == "token_expired"
    started = {"client_journey_id": str(uuid4()), "started_at": now_ms()}
    refused = await raw.ask(DRIVER, "journey:start", started)
    assert refused["error"]["code"] == "token_expired"
    ack = await raw.ask(DRIVER, "sos", press())
    assert ack["ok"], ack


async def test_a_token_of_the_future_is_let_in_for_an_sos_alone_when_it_asks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(
        time, "time", lambda: real() + 3_600
    )  # the clock of whoever signs, or ours before a jump
    token = server.token("driver", "t1", ["v1"], driver=name())
    monkeypatch.undo()
    raw = await server.raw()
    assert (await raw.connect(DRIVER, token=token))["code"] == "token_not_yet_valid"
    assert await raw.connect(DRIVER, token=token, sos=True) == {}
    assert (await raw.ask(DRIVER, "sos", press()))["ok"]
    assert "error" in await raw.ask(DRIVER, "journey:start", {})


async def test_a_driver_is_let_in_for_an_sos_when_a_statement_fails(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise asyncpg.DataCorruptedError("broken by a test")

    monkeypatch.setattr(tenants, "connect_driver", fail)
    monkeypatch.setattr(reads, "explain", fail)
    raw, token = await server.raw(), server.token("driver", "t1", ["v1"], driver=name())
    assert (await raw.connect(DRIVER, token=token))["code"] == "internal"
    assert await raw.connect(DRIVER, token=token, sos=True) == {}
    assert (await raw.event(DRIVER, "sos:only"))[0]["code"] == "unavailable"
    pressed = press()
    assert (await raw.ask(DRIVER, "sos", pressed))["ok"]
    state = await raw.ask(DRIVER, "sos:state", {"sos_id": pressed["sos_id"]})
    assert state["sos"]["state"] == "active"


async def test_a_token_that_expired_long_ago_or_is_forged_or_a_dispatchers_raises_no_sos(
    server: Server,
) -> None:
    raw = await server.raw()
    old = server.token("driver", "t1", ["v1"], driver=name(), ttl_s=-31 * 86_400)
    assert (await raw.connect(DRIVER, token=old, sos=True))["code"] == "token_expired"
    good = server.token("driver", "t1", ["v1"], driver=name())
    forged = good[:-4] + ("AAAA" if good[-4:] != "AAAA" else "BBBB")
    assert (await raw.connect(DRIVER, token=forged, sos=True))["code"] == "unauthenticated"
    assert (await raw.connect(DRIVER, token=None, sos=True))["code"] == "unauthenticated"
    dispatcher = server.token("dispatcher", ttl_s=-10)
    assert (await raw.connect(DRIVER, token=dispatcher, sos=True))["code"] == "forbidden"


async def test_positions_that_are_refused_for_their_rate_are_in_no_sos_way(server: Server) -> None:
    raw = await server.driver(name())
    journey = await server.journey(raw)
    flood = {"journey_id": journey, "points": [[seq, now_ms(), 53.4, -2.9] for seq in range(1, 501)]}
    for _ in range(100):
        await raw.say(f"42/driver,9{json.dumps(['positions', flood])}")
    ack = await raw.ask(DRIVER, "sos", press())
    assert ack["ok"], ack


# --- viewers


async def test_dispatchers_and_contacts_hear_at_once_and_newcomers_see_it(server: Server) -> None:
    driver = name()
    raw = await server.driver(driver)
    journey = await server.journey(raw, points=2)
    viewer = await server.viewer()
    for feed in ({"vendor": "v1"}, {"driver": driver}, {"journey": journey}):
        assert (await viewer.ask(WATCH, "watch", {"feed": feed}))["ok"]
    ack = await raw.ask(DRIVER, "sos", press(journey_id=journey))
    heard = [await viewer.event(WATCH, "alert") for _ in range(3)]
    assert {label for label, _ in heard} == {"vendor:v1", f"driver:{driver}", f"journey:{journey}"}
    assert {body["alert_id"] for _, body in heard} == {ack["alert_id"]}
    newcomer = await server.viewer()
    for feed in ({"vendor": "v1"}, {"driver": driver}, {"journey": journey}):
        told = await newcomer.ask(WATCH, "watch", {"feed": feed})
        assert ack["alert_id"] in [alert["alert_id"] for alert in told["snapshot"]["alerts"]]


async def test_what_viewers_do_is_told_to_the_others_with_rising_versions(server: Server) -> None:
    driver, _, ack = await pressing(server)
    other = await server.viewer()
    await other.ask(WATCH, "watch", {"feed": {"driver": driver}})
    viewer = await server.viewer()
    asked = {"alert_id": ack["alert_id"]}
    for event, payload in (
        ("alert:ack", asked),
        ("alert:respond", {**asked, "name": "car 4", "eta_s": 240}),
        ("alert:note", {**asked, "text": "calling"}),
        ("alert:resolve", {**asked, "note": "home"}),
    ):
        answer = await viewer.ask(WATCH, event, payload)
        assert answer["ok"], (event, answer)
    assert answer["alert"]["state"] == "resolved"
    await until(
        lambda: any(b["state"] == "resolved" for _, b in other.events(WATCH, "alert")), "the resolution"
    )
    versions = [body["version"] for _, body in other.events(WATCH, "alert")]
    assert versions == sorted(set(versions))
    closed = await viewer.ask(WATCH, "alert:ack", asked)
    assert closed["error"]["code"] == "conflict"
    assert closed["error"]["state"] == "resolved"


async def test_another_tenants_alert_looks_like_none(server: Server) -> None:
    _, _, ack = await pressing(server)
    for viewer in (await server.viewer("t2"), await server.viewer("t1", ["v2"])):
        asked = {"alert_id": ack["alert_id"]}
        missing = await viewer.ask(WATCH, "alert:ack", {"alert_id": str(uuid4())})
        for event in ("alert:ack", "alert:resolve", "alert:false_alarm", "alert:respond"):
            assert await viewer.ask(WATCH, event, asked) == missing
        assert await viewer.ask(WATCH, "alert:note", {**asked, "text": "x"}) == missing
        assert await viewer.ask(WATCH, "watch", {"feed": {"alert": ack["alert_id"]}}) == missing


@pytest.mark.parametrize("event", ["alert:ack", "alert:resolve", "alert:note", "alert:respond"])
@pytest.mark.parametrize("payload", [None, 7, "x", [], {}, {"alert_id": 5}, {"alert_id": "x", "text": "y"}])
async def test_wrong_types_are_refused_with_a_code(server: Server, event: str, payload: Any) -> None:
    viewer = await server.viewer()
    assert (await viewer.ask(WATCH, event, payload))["error"]["code"] == "invalid"


async def test_a_driver_sees_its_own_alert_and_cannot_answer_it(server: Server) -> None:
    driver, _, ack = await pressing(server)
    raw = await server.raw()
    token = server.token("driver", "t1", ["v1"], driver=driver)
    assert await raw.connect(WATCH, token=token) == {}
    told = await raw.ask(WATCH, "watch", {"feed": {"driver": driver}})
    assert [alert["alert_id"] for alert in told["snapshot"]["alerts"]] == [ack["alert_id"]]
    answer = await raw.ask(WATCH, "alert:ack", {"alert_id": ack["alert_id"]})
    assert answer["error"]["code"] == "forbidden"


async def test_an_alert_of_another_instance_is_heard(server: Server) -> None:
    settings = server.instance.settings.model_copy(update={"instance_name": "w2"})
    async with serving(settings) as second:
        viewer = await second.viewer()
        await viewer.ask(WATCH, "watch", {"feed": {"vendor": "v1"}})
        _, _, ack = await pressing(server)
        await until(
            lambda: any(b["alert_id"] == ack["alert_id"] for _, b in viewer.events(WATCH, "alert")), "alert"
        )


async def test_what_the_bus_lost_is_found_by_the_poll(server: Server, monkeypatch: Any) -> None:
    viewer = await server.viewer()
    await viewer.ask(WATCH, "watch", {"feed": {"vendor": "v1"}})
    await server.instance.alerts.news.poll(reload=False)  # the mark from which changes count
    monkeypatch.setattr(server.instance.alerts.announcer, "changed", lambda alert: None)
    _, _, ack = await pressing(server)
    assert not any(b["alert_id"] == ack["alert_id"] for _, b in viewer.events(WATCH, "alert"))
    await asyncio.sleep(POLL_S)
    await until(
        lambda: any(b["alert_id"] == ack["alert_id"] for _, b in viewer.events(WATCH, "alert")), "the poll"
    )


async def test_the_phone_is_sent_who_raised_an_sos_for_its_driver_and_may_cancel_it(server: Server) -> None:
    driver = f"d-{uuid4()}"
    phone = await server.driver(driver)
    body = {"sos_id": str(uuid4()), "vendor": "v1", "driver": driver, "drill": False}
    headers = {"Authorization": f"Bearer {server.token('dispatcher')}"}
    async with server.session.post(f"{server.url}/api/v1/alerts", json=body, headers=headers) as response:
        assert response.status in (200, 201, 202), await response.text()
    (shown,) = await phone.event("/driver", "sos:update")
    assert (shown["sos_id"], shown["state"]) == (body["sos_id"], "active")
    assert shown["raised_by"]
    asked = await phone.ask("/driver", "sos:state", {"sos_id": body["sos_id"]})
    assert asked["sos"]["raised_by"] == shown["raised_by"]
    ended = await phone.ask("/driver", "sos:cancel", {"sos_id": body["sos_id"], "pin": ""})
    assert ended == {"ok": True, "state": "cancelled"}
    asked = await phone.ask("/driver", "sos:state", {"sos_id": body["sos_id"]})
    assert asked["sos"]["raised_by"] is None
