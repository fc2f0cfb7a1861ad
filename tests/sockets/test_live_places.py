"""A live link to a journey shows the place for five minutes after its end, longer while an SOS is open."""

from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from alerts.alert import Actor, ActorKind, CancelAsked, Kind, PinResult, Press, opened_alert, transition
from realtime.alerting.open_alerts import OpenAlerts
from realtime.auth.tokens import Principal, ShareGrant
from realtime.sockets.liveplaces import SHOWN_AFTER_END_MS, LivePlaces
from realtime.store.journeys import shares
from tests.sockets.kit import Raw, Server, now_ms, until

WATCH = "/watch"
AGO_MS = SHOWN_AFTER_END_MS + 60_000


async def ended(server: Server, ago_ms: int) -> tuple[Raw, str, str]:
    """A driver whose journey of five points ended ``ago_ms`` ago: the driver, its id, the journey."""
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver)
    journey = await server.journey(raw, points=5)
    ahead = {"journey_id": journey, "ended_at": now_ms() + 10**9, "last_seq": 5}
    assert (await raw.ask("/driver", "journey:end", ahead))["ok"], "by a clock that is eleven days ahead"
    async with server.db.writer() as connection:
        at_ms = await connection.fetchval(
            "SELECT ended_ms FROM journeys WHERE journey_id = $1", UUID(journey)
        )
    assert at_ms <= now_ms(), "no journey ends in the future"
    await move_end(server, journey, ago_ms)
    return raw, driver, journey


async def move_end(server: Server, journey: str, ago_ms: int) -> None:
    async with server.db.writer() as connection:
        await connection.execute(
            "UPDATE journeys SET ended_ms = now_ms() - $2 WHERE journey_id = $1", UUID(journey), ago_ms
        )


async def link(server: Server, journey: str, scope: Any = "live", **more: Any) -> Raw:
    """Somebody who holds a link to the journey."""
    made = await shares.create(server.db, "t1", UUID(journey), scope, now_ms() + 10**7, "x", **more)
    viewer = await server.raw()
    assert await viewer.connect(WATCH, share=".".join(made)) == {}
    return viewer


async def watched(viewer: Raw, journey: str) -> dict[str, Any]:
    """The answer to watching it."""
    return await viewer.ask(WATCH, "watch", {"feed": {"journey": journey, "since_seq": 0}})


@pytest.mark.parametrize("scope", ["live", "journey"])
@pytest.mark.parametrize("ago_ms", [0, SHOWN_AFTER_END_MS - 60_000, AGO_MS])
async def test_five_minutes_after_the_end_a_live_link_shows_no_place(
    server: Server, scope: str, ago_ms: int
) -> None:
    _, _, journey = await ended(server, ago_ms)
    answer = await watched(await link(server, journey, scope), journey)
    is_hidden = scope == "live" and ago_ms == AGO_MS
    assert (answer["snapshot"]["positions"] == []) is is_hidden
    assert answer["journey"].get("place_hidden", False) is is_hidden
    assert answer["journey"]["ended_ms"] is not None
    if is_hidden:
        assert answer["journey"]["destination"] is None
        assert answer["snapshot"]["presence"] == {}


async def test_a_journey_that_goes_on_is_shown_however_long(server: Server) -> None:
    raw = await server.driver(f"d-{uuid4()}")
    journey = await server.journey(raw, points=5)
    answer = await watched(await link(server, journey), journey)
    assert len(answer["snapshot"]["positions"]) == 1


async def test_while_an_sos_is_open_the_place_is_shown(server: Server) -> None:
    raw, _, journey = await ended(server, AGO_MS)
    viewer = await link(server, journey)
    assert (await watched(viewer, journey))["snapshot"]["positions"] == []
    ack = await raw.ask("/driver", "sos", {"sos_id": str(uuid4())})
    assert ack["ok"]
    assert (await viewer.event(WATCH, "reset"))[0] == {"feed": f"journey:{journey}"}
    assert len((await watched(viewer, journey))["snapshot"]["positions"]) == 1


async def test_a_drill_shows_no_place(server: Server) -> None:
    raw, _, journey = await ended(server, AGO_MS)
    assert (await raw.ask("/driver", "sos", {"sos_id": str(uuid4()), "drill": True}))["ok"]
    assert (await watched(await link(server, journey), journey))["snapshot"]["positions"] == []


async def test_who_watches_when_the_time_is_up_is_told_to_watch_again_and_sees_nothing_more(
    server: Server,
) -> None:
    raw = await server.driver(f"d-{uuid4()}")
    journey = await server.journey(raw, points=5)
    viewer, whole = await link(server, journey), await link(server, journey, "journey")
    for one in (viewer, whole):
        assert (await watched(one, journey))["snapshot"]["positions"]
    end = {"journey_id": journey, "ended_at": now_ms(), "last_seq": 9}
    assert (await raw.ask("/driver", "journey:end", end))["ok"]
    await move_end(server, journey, AGO_MS)
    assert (await viewer.event(WATCH, "reset"))[0] == {"feed": f"journey:{journey}"}
    answer = await watched(viewer, journey)
    assert (answer["snapshot"]["positions"], answer["journey"]["place_hidden"]) == ([], True)
    late = {"journey_id": journey, "points": [[6, now_ms(), 53.5, -2.9, 0, 0, 9]]}
    assert (await raw.ask("/driver", "positions", late))["ok"]
    await until(lambda: whole.events(WATCH, "positions"))
    assert viewer.events(WATCH, "positions") == [], "what comes late is not shown either"
    assert (await viewer.ask(WATCH, "unwatch", {"feed": f"journey:{journey}"}))["ok"]


@pytest.mark.parametrize("answers_from_ms", [0, 1])
def test_after_a_duress_pin_the_drivers_own_link_shows_no_more_than_the_phone(
    answers_from_ms: int,
) -> None:
    news = OpenAlerts(cast(Any, None))
    press = Press(
        tenant="t1", vendor="north", driver="d1", sos_id=uuid4(), kind=Kind.SOS, received_ms=10,
        pressed_ms=10, source="test",
    )  # fmt: skip
    alert = opened_alert(press, 0, 10).alert
    grant = ShareGrant("s1", str(uuid4()), "live", driver="d1", answers_from_ms=answers_from_ms)
    holder = Principal("share:s1", "share", "t1", frozenset(), None, None, 10**9, grant)
    places = LivePlaces(cast(Any, None), cast(Any, None), news, lambda: AGO_MS, 1.0)
    assert places.is_hidden(holder, "d1", 0)
    news.heard(alert)
    assert not places.is_hidden(holder, "d1", 0)
    veiled = transition(alert, CancelAsked(Actor(ActorKind.DRIVER, "d1"), PinResult.DURESS), 20).alert
    assert veiled.duress
    news.heard(veiled)
    assert places.is_hidden(holder, "d1", 0) is (answers_from_ms > 0)
