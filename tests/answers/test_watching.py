"""The answer link as a credential of ``/watch``: that alert, its journey from the press on, no more."""

from uuid import UUID, uuid4

from alerts.answer import make_token
from realtime.store import shares
from tests.sockets.kit import Raw, Server, now_ms

WATCH = "/watch"


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
