"""Links that answer alerts, and those that only look: what each sees, may do, and is never told."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from alerts.alert import Actor, ActorKind
from realtime.client.watcher import Watcher
from realtime.store.alerts import reads
from realtime.store.journeys import details as trips
from realtime.store.journeys import shares
from realtime.store.people import driver_settings
from realtime.store.people.driver_settings import Profile
from tests.sockets.kit import Raw, Server, now_ms, until

DRIVER, WATCH = "/driver", "/watch"
ACTS: list[tuple[str, dict[str, Any]]] = [
    ("alert:ack", {}),
    ("alert:respond", {"eta_s": 300}),
    ("alert:note", {"text": "x"}),
    ("alert:resolve", {}),
    ("alert:false_alarm", {}),
    ("alert:told", {}),
]


class Trip:
    """A driver on a journey that goes somewhere."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"d-{uuid4().hex[:8]}"

    async def begin(self, **more: Any) -> "Trip":
        self.raw = await self.server.driver(self.name)
        given = {"client_journey_id": str(uuid4()), "started_at": now_ms(), **more}
        self.journey = str((await self.raw.ask(DRIVER, "journey:start", given))["journey_id"])
        await self.drive(1)
        return self

    async def drive(self, seq: int) -> None:
        point = [seq, now_ms(), 53.4 + seq / 1_000, -2.98, 7.5, 90, 4]
        ack = await self.raw.ask(DRIVER, "positions", {"journey_id": self.journey, "points": [point]})
        assert ack["ok"], ack

    async def press(self, **more: Any) -> str:
        given = {"sos_id": str(uuid4()), "kind": "sos", "pressed_at": now_ms(), "journey_id": self.journey}
        ack = await self.raw.ask(DRIVER, "sos", {**given, "message": "help me", **more})
        assert ack["ok"], ack
        return str(ack["alert_id"])

    async def holder(self, name: str = "", *, new_only: bool = False, scope: shares.Scope = "journey") -> Raw:
        """Somebody who came in by a link to the journey."""
        later = now_ms() + 3_600_000
        journey = UUID(self.journey)
        made = await shares.create(self.server.db, "t1", journey, scope, later, "x", name, new_only=new_only)
        viewer = await self.server.raw()
        assert await viewer.connect(WATCH, share=".".join(made)) == {}
        self.share = made[0]
        return viewer

    async def watch(self, viewer: Raw) -> dict[str, Any]:
        answer = await viewer.ask(WATCH, "watch", {"feed": {"journey": self.journey}})
        assert answer["ok"], answer
        return answer


async def code_of(viewer: Raw, event: str, **payload: Any) -> str:
    answer = await viewer.ask(WATCH, event, payload)
    return "" if answer["ok"] else str(answer["error"]["code"])


async def test_a_link_that_answers_sees_the_alert_and_answers_it_under_its_name(server: Server) -> None:
    trip = await Trip(server).begin()
    mother = await trip.holder("Mum")
    who = await mother.ask(WATCH, "whoami")
    assert (who["may_answer"], who["name"], who["journey_id"]) == (True, "Mum", trip.journey)
    await trip.watch(mother)
    alert_id = await trip.press()
    label, told = await mother.event(WATCH, "alert")
    assert (label, told["alert_id"]) == (f"journey:{trip.journey}", alert_id)
    assert told["message"] == "help me"
    assert await code_of(mother, "alert:resolve", alert_id=alert_id) == "conflict"
    answer = await mother.ask(WATCH, "alert:ack", {"alert_id": alert_id})
    by = answer["alert"]["acknowledged_by"]
    assert by == {"kind": "contact", "id": f"share:{trip.share}", "name": "Mum"}
    updates = lambda: [one["acknowledged_by"] for (one,) in trip.raw.events(DRIVER, "sos:update")]  # noqa: E731
    await until(lambda: "Mum" in updates(), "the name on the phone")
    assert await code_of(mother, "alert:respond", alert_id=alert_id, eta_s=600) == ""
    closed = await mother.ask(WATCH, "alert:false_alarm", {"alert_id": alert_id})
    assert closed["alert"]["state"] == "cancelled"
    async with server.db.writer() as connection:
        rows = await connection.fetch(
            "SELECT actor ->> 'id' AS who, actor ->> 'name' AS name FROM alert_events "
            "WHERE alert_id = $1 AND actor ->> 'kind' = 'contact'",
            UUID(alert_id),
        )
    assert {(row["who"], row["name"]) for row in rows} == {(f"share:{trip.share}", "Mum")}


@pytest.mark.parametrize("scope", ["live", "journey"])
async def test_a_link_that_looks_does_nothing_and_is_told_nothing_more(server: Server, scope: Any) -> None:
    trip = await Trip(server).begin()
    await driver_settings.set_profile(server.db, "t1", trip.name, Profile("Ada", "+442079460958"))
    viewer = await trip.holder(scope=scope)
    who = await viewer.ask(WATCH, "whoami")
    assert (who["may_answer"], who["name"]) == (False, "")
    alert_id = await trip.press()
    told = await trip.watch(viewer)
    assert "phone" not in told["journey"]
    (alert,) = told["snapshot"]["alerts"]
    assert (alert["alert_id"], alert["message"], alert["place"]) == (alert_id, "", None)
    for event, more in ACTS:
        assert await code_of(viewer, event, alert_id=alert_id, **more) == "forbidden", event
    now = (await trip.watch(viewer))["snapshot"]["alerts"][0]
    assert (now["state"], now["version"]) == (alert["state"], alert["version"])
    await code_of(viewer, "alert:ack", alert_id=alert_id)  # again: known by now
    found = await reads.explain(server.db, "t1", UUID(alert_id))
    assert found is not None
    refused = [
        (line.actor.kind, line.actor.id, line.detail["event"], line.detail["reason"])
        for line in found.audit
        if line.what == "refused"
    ]
    tags = ("acknowledged", "resolved", "false_alarm", "noted", "responder_added")
    assert sorted(refused) == sorted(("contact", f"share:{trip.share}", tag, "forbidden") for tag in tags)


async def test_a_link_that_answers_opens_no_other_journeys_alert(server: Server) -> None:
    trip, other = await Trip(server).begin(), await Trip(server).begin()
    viewer = await trip.holder("Mum")
    theirs = await other.press()
    # A phone may name any journey: the alert is its driver's all the same.
    forged = await other.press(journey_id=trip.journey, drill=True)
    await trip.watch(viewer)
    for alert_id in (theirs, forged):
        missing = await viewer.ask(WATCH, "alert:ack", {"alert_id": str(uuid4())})
        for event, more in ACTS:
            assert await viewer.ask(WATCH, event, {"alert_id": alert_id, **more}) == missing
        assert await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}}) == missing
    assert viewer.events(WATCH, "alert") == []


async def test_a_link_that_the_phone_made_ends_no_alert_that_was_raised_before(server: Server) -> None:
    trip = await Trip(server).begin()
    alert_id = await trip.press()
    viewer = await trip.holder("Mum", new_only=True)
    (alert,) = (await trip.watch(viewer))["snapshot"]["alerts"]
    assert (alert["message"], alert["place"]) == ("", None)
    for event, more in ACTS:
        assert await code_of(viewer, event, alert_id=alert_id, **more) == "forbidden", event


async def test_an_alerts_link_answers_too_when_it_was_made_to(server: Server) -> None:
    trip = await Trip(server).begin()
    alert_id = await trip.press()
    ann = Actor(ActorKind.OPERATOR, "ann")
    later = now_ms() + 3_600_000
    made = await shares.create_to_alert(server.db, "t1", UUID(alert_id), "journey", later, ann, "Ben")
    viewer = await server.raw()
    assert await viewer.connect(WATCH, share=".".join(made)) == {}
    who = await viewer.ask(WATCH, "whoami")
    assert (who["may_answer"], who["name"], who["alert_id"]) == (True, "Ben", alert_id)
    assert (await viewer.ask(WATCH, "watch", {"feed": {"alert": alert_id}}))["ok"]
    answer = await viewer.ask(WATCH, "alert:ack", {"alert_id": alert_id})
    assert answer["alert"]["acknowledged_by"]["name"] == "Ben"
    assert await code_of(viewer, "alert:resolve", alert_id=alert_id) == ""
    assert (await viewer.ask(WATCH, "watch", {"feed": {"journey": trip.journey}}))["ok"]


async def test_who_was_told_and_the_number_are_for_those_who_may_answer(server: Server) -> None:
    trip = await Trip(server).begin()
    await driver_settings.set_profile(server.db, "t1", trip.name, Profile("Ada", "+442079460958"))
    viewer = await trip.holder("Mum")
    alert_id = await trip.press()
    told = await viewer.ask(WATCH, "alert:told", {"alert_id": alert_id})
    assert (told["name"], told["phone"]) == ("Ada", "+442079460958")
    assert isinstance(told["told"], list)
    journey = (await trip.watch(viewer))["journey"]
    assert (journey["name"], journey["phone"]) == ("Ada", "+442079460958")
    dispatcher = await server.viewer()
    seen = await dispatcher.ask(WATCH, "alert:told", {"alert_id": alert_id})
    assert (seen["name"], seen["phone"]) == ("Ada", "+442079460958"), "a dispatcher calls the driver"
    assert "phone" not in (await trip.watch(dispatcher))["journey"]


async def test_where_to_and_by_when_come_with_the_journey(server: Server) -> None:
    trip = await Trip(server).begin(destination={"name": "Pier Head", "lat": 53.4, "lon": -3.0})
    viewer = await trip.holder()
    journey = (await trip.watch(viewer))["journey"]
    assert journey["destination"] == {"name": "Pier Head", "lat": 53.4, "lon": -3.0}
    assert (journey["arrive_by"], journey["name"]) == (None, "")
    by_ms = now_ms() + 1_800_000
    timer = {
        "kind": "arrive_by", "client_timer_id": str(uuid4()),
        "by": by_ms, "journey_id": trip.journey,
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {server.token('driver', driver=trip.name)}"}
    async with server.session.post(f"{server.url}/api/v1/timers", json=timer, headers=headers) as reply:
        assert reply.status in (200, 201), await reply.text()
    assert (await trip.watch(viewer))["journey"]["arrive_by"] == by_ms


# --- presence


async def test_a_journeys_viewer_knows_whether_its_driver_is_there_and_why(server: Server) -> None:
    trip = await Trip(server).begin()
    viewer = await trip.holder()
    label = f"journey:{trip.journey}"
    now = (await trip.watch(viewer))["snapshot"]["presence"]
    assert list(now) == [trip.name]
    assert (now[trip.name]["state"], now[trip.name]["reason"]) == ("online", "connected")
    other = await server.driver(f"d-{uuid4().hex[:8]}")
    await other.close()
    await trip.raw.close()
    feed, told = await viewer.event(WATCH, "presence")
    assert (feed, told["driver"], told["state"], told["reason"]) == (label, trip.name, "offline", "lost")
    assert viewer.events(WATCH, "presence") == []


async def test_of_a_journey_that_is_over_no_presence_is_told(server: Server) -> None:
    trip = await Trip(server).begin()
    viewer = await trip.holder()
    await trip.watch(viewer)
    ended = {"journey_id": trip.journey, "ended_at": now_ms(), "last_seq": 1}
    assert (await trip.raw.ask(DRIVER, "journey:end", ended))["ok"]
    await viewer.event(WATCH, "journey")
    dispatcher = await server.viewer()
    await dispatcher.ask(WATCH, "watch", {"feed": {"driver": trip.name}})
    await trip.raw.close()
    await dispatcher.event(WATCH, "presence")
    assert (await trip.watch(viewer))["snapshot"]["presence"] == {}
    assert viewer.events(WATCH, "presence") == []


async def test_the_answer_comes_before_everything_that_happened_after_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is slow on the way to it: before the answer a viewer cannot know whose an event is."""
    journey = await Trip(server).begin()
    look, load = trips.get, server.instance.live.origin.load_board

    async def slow_look(*given: Any) -> Any:
        found = await look(*given)
        await asyncio.sleep(0.3)
        return found

    async def slow_load(channel: str) -> Any:
        found = await load(channel)
        await asyncio.sleep(0.3)
        return found

    monkeypatch.setattr(trips, "get", slow_look)
    monkeypatch.setattr(server.instance.live.origin, "load_board", slow_load)
    seq = 1
    async with Watcher(server.url, token=server.token("dispatcher")) as watcher:
        watching = asyncio.ensure_future(watcher.watch_journey(journey.journey))
        while not watching.done():
            seq += 1
            await journey.drive(seq)
        view = await watching
        await watcher.until(lambda: view.through == seq, 20.0)
    assert view.is_sound and watcher.strays == []
    assert [point[0] for point in view.points] == list(range(1, seq + 1))


async def test_who_leaves_a_journeys_feed_hears_of_no_presence_and_it_counts_as_one_feed(
    server: Server,
) -> None:
    trip = await Trip(server).begin()
    viewer = await trip.holder()
    await trip.watch(viewer)
    await trip.watch(viewer)
    socket = next(
        c.socket for c in server.instance.gateway.connections if c.principal.sub == f"share:{trip.share}"
    )
    assert server.instance.live.hub.labels(socket) == [f"journey:{trip.journey}"]
    assert (await viewer.ask(WATCH, "unwatch", {"feed": f"journey:{trip.journey}"}))["ok"]
    dispatcher = await server.viewer()
    await dispatcher.ask(WATCH, "watch", {"feed": {"driver": trip.name}})
    await trip.raw.close()
    await dispatcher.event(WATCH, "presence")
    await viewer.ask(WATCH, "whoami")
    assert viewer.events(WATCH, "presence") == []
