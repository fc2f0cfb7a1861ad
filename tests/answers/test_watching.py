"""The answer link as a credential of ``/watch``: that alert, its journey from the press on, no more."""

from uuid import UUID, uuid4

import pytest

from alerts.alert import Actor, ActorKind
from alerts.replies.answer import make_token
from realtime.protocol import Code, Refused
from realtime.store.journeys import shares
from tests.sockets.kit import QUICK, Raw, Server, good, now_ms, until

WATCH = "/watch"
ANN = Actor(ActorKind.OPERATOR, "ann")
EXPIRES_SOON_MS = 1_500
"""Time for a viewer to connect by a link before it expires, on a busy machine too."""


async def contact(server: Server) -> tuple[Raw, Raw, str, str, str]:
    """A contact let in by a link: driver, contact, driver id, journey, alert id."""
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver)
    journey = await server.journey(raw, points=5)
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "journey_id": journey})
    key = server.instance.settings.alerts_key
    token = make_token(key, UUID(ack["alert_id"]), str(uuid4()), now_ms() + 10**7)
    viewer = await server.raw()
    assert await viewer.connect(WATCH, answer=token) == {}
    return raw, viewer, driver, journey, ack["alert_id"]


async def test_a_contact_sees_the_alert_and_the_journey_from_the_press_on_and_answers(server: Server) -> None:
    _, viewer, _, journey, alert_id = await contact(server)
    who = await viewer.ask(WATCH, "whoami")
    assert (who["alert_id"], who["may_answer"]) == (alert_id, True)
    told = await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}})
    assert [alert["alert_id"] for alert in told["snapshot"]["alerts"]] == [alert_id]
    way = await viewer.ask(WATCH, "watch", {"feed": {"journey": journey, "since_seq": 0}})
    assert [point[2][0] for point in way["snapshot"]["positions"]] == [5]
    answer = await viewer.ask(WATCH, "alert:ack", {"alert_id": alert_id})
    assert answer["alert"]["state"] == "acknowledged"
    label, body = await viewer.event(WATCH, "alert")
    assert body["alert_id"] == alert_id
    assert label in (f"alert:{alert_id}", f"journey:{journey}")


async def test_a_contact_sees_nothing_else(server: Server) -> None:
    _, viewer, driver, _, _ = await contact(server)
    _, _, other_driver, other_journey, other_alert = await contact(server)
    feeds = (
        {"alert": other_alert},
        {"journey": other_journey},
        {"driver": driver},
        {"driver": other_driver},
        {"vendor": "v1"},
    )
    for feed in feeds:
        refused = await viewer.ask(WATCH, "watch", {"feed": feed})
        assert refused["error"]["code"] == "not_found", feed
    refused = await viewer.ask(WATCH, "alert:ack", {"alert_id": other_alert})
    assert refused["error"]["code"] == "not_found"


async def test_forged_links_open_nothing(server: Server) -> None:
    raw = await server.raw()
    for bad in ("", "x", None, 5, ["a"], {"b": 1}, "A" * 71):
        assert (await raw.connect(WATCH, answer=bad))["code"] == "not_found"


async def test_a_link_to_the_journey_sees_that_there_is_an_alert_and_answers_none(server: Server) -> None:
    _, _, _, journey, alert_id = await contact(server)
    grant = await shares.create(server.db, "t1", UUID(journey), "journey", now_ms() + 10**7, "x")
    viewer = await server.raw()
    assert await viewer.connect(WATCH, share=".".join(grant)) == {}
    told = await viewer.ask(WATCH, "watch", {"feed": {"journey": journey}})
    (alert,) = told["snapshot"]["alerts"]
    assert (alert["alert_id"], alert["place"], alert["message"]) == (alert_id, None, "")
    for event in ("alert:ack", "alert:resolve", "alert:false_alarm", "alert:respond"):
        refused = await viewer.ask(WATCH, event, {"alert_id": alert_id})
        assert refused["error"]["code"] == "forbidden"


# --- links to an alert that anybody may hold


async def link(server: Server, alert_id: str, scope: str = "live", expires_ms: int | None = None) -> str:
    """A share of an alert, as `/watch` takes it."""
    until_ms = now_ms() + 10**7 if expires_ms is None else expires_ms
    made = await shares.create_to_alert(server.db, "t1", UUID(alert_id), scope, until_ms, ANN)
    return ".".join(made)


async def holder(server: Server, share: str) -> Raw:
    viewer = await server.raw()
    assert await viewer.connect(WATCH, share=share) == {}
    return viewer


async def alarmed(server: Server, **more: object) -> tuple[Raw, str, str]:
    """A driver who pressed on a journey of five points: the driver, the journey, the alert."""
    raw = await server.driver(f"d-{uuid4()}")
    journey = await server.journey(raw, points=5)
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "journey_id": journey, **more})
    return raw, journey, ack["alert_id"]


@pytest.mark.parametrize("scope", ["live", "journey"])
async def test_a_link_to_an_alert_sees_it_and_where_its_driver_is_and_answers_nothing(
    server: Server, scope: str
) -> None:
    raw, journey, alert_id = await alarmed(server, message="help", pressed_at=now_ms() - 60_000)
    _, other_journey, other_alert = await alarmed(server)
    viewer = await holder(server, await link(server, alert_id, scope))
    who = await viewer.ask(WATCH, "whoami")
    assert (who["alert_id"], who["journey_id"], who["scope"], who["may_answer"], who["role"]) == (
        alert_id, journey, scope, False, "share",
    )  # fmt: skip
    told = await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}})
    assert [alert["message"] for alert in told["snapshot"]["alerts"]] == ["help"]
    way = await viewer.ask(WATCH, "watch", {"feed": {"journey": journey, "since_seq": 0}})
    seqs = [point[2][0] for point in way["snapshot"]["positions"]]
    assert seqs == ([5] if scope == "live" else [1, 2, 3, 4, 5]), "from the press on, or now"
    sent = {"journey_id": journey, "points": [good(6)]}
    assert (await raw.ask("/driver", "positions", sent))["ok"]
    _, items = await viewer.event(WATCH, "positions")
    assert [item[2][0] for item in items] == [6]
    for event in ("alert:ack", "alert:resolve", "alert:false_alarm", "alert:respond", "alert:note"):
        asked = {"alert_id": alert_id, **({"text": "x"} if event == "alert:note" else {})}
        assert (await viewer.ask(WATCH, event, asked))["error"]["code"] == "forbidden", event
    for feed in ({"alert": other_alert}, {"journey": other_journey}, {"vendor": "v1"}):
        assert (await viewer.ask(WATCH, "watch", {"feed": feed}))["error"]["code"] == "not_found", feed


async def test_when_the_alert_is_over_its_link_shows_that_and_the_journey_no_more(server: Server) -> None:
    raw, journey, alert_id = await alarmed(server)
    share = await link(server, alert_id, "journey")
    viewer, late = await holder(server, share), await holder(server, share)
    await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}})
    assert (await viewer.ask(WATCH, "watch", {"feed": {"journey": journey}}))["ok"]
    dispatcher = await server.viewer()
    assert (await dispatcher.ask(WATCH, "alert:resolve", {"alert_id": alert_id}))["ok"]
    (reset,) = await viewer.event(WATCH, "reset")
    assert reset == {"feed": f"journey:{journey}"}
    for who in (viewer, late, await holder(server, share)):
        said = await who.ask(WATCH, "whoami")
        assert (said["alert_id"], said["journey_id"]) == (alert_id, None)
        refused = await who.ask(WATCH, "watch", {"feed": {"journey": journey}})
        assert refused["error"]["code"] == "not_found"
        told = await who.ask(WATCH, "watch", {"feed": {"alert": alert_id}})
        assert [alert["state"] for alert in told["snapshot"]["alerts"]] == ["resolved"]
    assert (await raw.ask("/driver", "positions", {"journey_id": journey, "points": [good(6)]}))["ok"]
    watched = await dispatcher.ask(WATCH, "watch", {"feed": {"journey": journey}})
    assert len(watched["snapshot"]["positions"]) == 6, "whom it concerns still sees it"


async def test_a_journey_that_the_phone_names_later_is_shown_too(server: Server) -> None:
    raw = await server.driver(f"d-{uuid4()}")
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4())})
    viewer = await holder(server, await link(server, ack["alert_id"]))
    assert (await viewer.ask(WATCH, "whoami"))["journey_id"] is None
    journey = await server.journey(raw, points=2)
    await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "journey_id": journey})
    assert (await viewer.ask(WATCH, "whoami"))["journey_id"] == journey
    assert (await viewer.ask(WATCH, "watch", {"feed": {"journey": journey}}))["ok"]


async def test_a_journey_of_somebody_else_that_a_phone_names_is_not_shown(server: Server) -> None:
    _, journey, _ = await alarmed(server)
    raw = await server.driver(f"d-{uuid4()}")
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "journey_id": journey})
    key = server.instance.settings.alerts_key
    token = make_token(key, UUID(ack["alert_id"]), str(uuid4()), now_ms() + 10**7)
    asked = await server.raw()
    assert await asked.connect(WATCH, answer=token) == {}
    for viewer in (asked, await holder(server, await link(server, ack["alert_id"]))):
        refused = await viewer.ask(WATCH, "watch", {"feed": {"journey": journey}})
        assert refused["error"]["code"] == "not_found"


async def test_a_revoked_link_to_an_alert_is_closed_though_the_alert_is_open(server: Server) -> None:
    _, _, alert_id = await alarmed(server)
    share = await link(server, alert_id)
    viewer = await holder(server, share)
    assert await shares.revoke(server.db, "t1", share.partition(".")[0], ANN)
    (closing,) = await viewer.event(WATCH, "closing")
    assert (closing["code"], closing["retryable"]) == ("revoked", False)
    await viewer.has_ended()
    again = await server.raw()
    assert (await again.connect(WATCH, share=share))["code"] == "not_found"


# --- an open SOS keeps links good


@pytest.mark.parametrize("drill", [True, False])
@pytest.mark.parametrize("to", ["journey", "alert"])
async def test_a_link_whose_time_is_up_stays_good_while_an_sos_is_open_and_an_hour_more(
    server: Server, to: str, drill: bool
) -> None:
    _, journey, alert_id = await alarmed(server, drill=drill)
    expires_ms = now_ms() + EXPIRES_SOON_MS
    if to == "alert":
        share = await link(server, alert_id, "live", expires_ms)
    else:
        share = ".".join(await shares.create(server.db, "t1", UUID(journey), "live", expires_ms, "x"))
    viewer = await holder(server, share)
    assert (await viewer.ask(WATCH, "whoami"))["expires_at"] == expires_ms
    if drill:
        (closing,) = await viewer.event(WATCH, "closing")
        assert closing["code"] == "token_expired"
        await viewer.has_ended()
        assert (await (await server.raw()).connect(WATCH, share=share))["code"] == "not_found"
        return
    await until(lambda: now_ms() > expires_ms + 2 * QUICK.sockets.link_late_ms, "its time is long up")
    later = await holder(server, share)
    for who in (viewer, later):
        assert (await who.ask(WATCH, "whoami"))["expires_at"] > expires_ms + shares.GRACE_MS - 10_000
    # Over since longer than the grace: what was told to be good until then is over too.
    dispatcher = await server.viewer()
    assert (await dispatcher.ask(WATCH, "alert:resolve", {"alert_id": alert_id}))["ok"]
    assert await (await server.raw()).connect(WATCH, share=share) == {}
    async with server.db.writer() as connection:
        by_ms = shares.GRACE_MS + 1
        moved = "UPDATE alerts SET raised_ms = raised_ms - $2, closed_ms = closed_ms - $2 WHERE alert_id = $1"
        assert await connection.execute(moved, UUID(alert_id), by_ms) == "UPDATE 1"
        moved = "UPDATE shares SET expires_ms = expires_ms - $2 WHERE share_id = $1"
        assert await connection.execute(moved, share.partition(".")[0], by_ms) == "UPDATE 1"
    assert (await (await server.raw()).connect(WATCH, share=share))["code"] == "not_found"
    assert (await viewer.ask(WATCH, "whoami"))["ok"], "was let in until the hour is over"


@pytest.mark.parametrize("pressed", [True, False])
async def test_with_postgres_away_an_sos_that_was_heard_of_keeps_a_link_good(
    server: Server, pressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = await server.driver(f"d-{uuid4()}")
    journey = await server.journey(raw, points=1)
    expires_ms = now_ms() + EXPIRES_SOON_MS
    share = await shares.create(server.db, "t1", UUID(journey), "live", expires_ms, "x")
    viewer = await holder(server, ".".join(share))
    if pressed:
        await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "journey_id": journey})

    async def away(*_: object) -> dict[str, int]:
        raise Refused(Code.UNAVAILABLE, "the storage is unavailable, try again")

    monkeypatch.setattr(shares, "lasting", away)
    await until(lambda: now_ms() > expires_ms + 2 * QUICK.sockets.link_late_ms, "its time is long up")
    if pressed:
        assert (await viewer.ask(WATCH, "whoami"))["expires_at"] > expires_ms + shares.GRACE_MS
    else:
        (closing,) = await viewer.event(WATCH, "closing")
        assert closing["code"] == "token_expired"
        await viewer.has_ended()


async def test_a_link_to_an_alert_shows_no_other_journey_of_its_driver(server: Server) -> None:
    raw, journey, alert_id = await alarmed(server)
    other = await server.journey(raw, points=2)
    key = server.instance.settings.alerts_key
    asked = await server.raw()
    token = make_token(key, UUID(alert_id), str(uuid4()), now_ms() + 10**7)
    assert await asked.connect(WATCH, answer=token) == {}
    for viewer in (asked, await holder(server, await link(server, alert_id, "journey"))):
        assert (await viewer.ask(WATCH, "watch", {"feed": {"journey": journey}}))["ok"]
        refused = await viewer.ask(WATCH, "watch", {"feed": {"journey": other}})
        assert refused["error"]["code"] == "not_found"
