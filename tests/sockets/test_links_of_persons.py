"""A link to a driver shows the journey that they are on, and goes on with the next one until it expires."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from realtime.sockets.liveplaces import SHOWN_AFTER_END_MS
from realtime.store.journeys import shares
from tests.sockets.kit import Raw, Server, now_ms, until

WATCH = "/watch"


async def driving(server: Server, points: int = 3) -> tuple[Raw, str, str]:
    """A driver on a journey: it, its id, the journey."""
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver)
    return raw, driver, await server.journey(raw, points=points)


async def end(server: Server, raw: Raw, journey: str, ago_ms: int = 0) -> None:
    over = {"journey_id": journey, "ended_at": now_ms() - ago_ms, "last_seq": 3}
    assert (await raw.ask("/driver", "journey:end", over))["ok"]


async def link(server: Server, journey: str, scope: Any = "live", **more: Any) -> tuple[Raw, str]:
    """Somebody who holds a link to the journey's driver, and its id."""
    until_ms = more.pop("until_ms", now_ms() + 10**7)
    made = await shares.create(server.db, "t1", UUID(journey), scope, until_ms, "x", follows=True, **more)
    viewer = await server.raw()
    assert await viewer.connect(WATCH, share=".".join(made)) == {}
    return viewer, made[0]


async def watched(viewer: Raw, journey: str) -> dict[str, Any]:
    """The answer to watching it."""
    return await viewer.ask(WATCH, "watch", {"feed": {"journey": journey, "since_seq": 0}})


@pytest.mark.parametrize("scope", ["live", "journey"])
async def test_the_link_goes_on_with_the_next_journey(server: Server, scope: str) -> None:
    raw, driver, first = await driving(server)
    viewer, _ = await link(server, first, scope)
    who = await viewer.ask(WATCH, "whoami")
    assert (who["follows"], who["journey_id"], who["alerts"]) == (driver, first, [])
    assert (await watched(viewer, first))["ok"]
    await end(server, raw, first)
    second = await server.journey(raw, points=3)
    assert (await viewer.event(WATCH, "share")) == [{"journey_id": second}]
    assert (await viewer.ask(WATCH, "whoami"))["journey_id"] == second
    answer = await watched(viewer, second)
    assert len(answer["snapshot"]["positions"]) == (1 if scope == "live" else 3)
    assert (await watched(viewer, first))["error"]["code"] == "not_found", "it shows one journey at a time"


async def test_an_open_journey_is_shown_before_one_that_has_ended(server: Server) -> None:
    raw, _, first = await driving(server)
    second = await server.journey(raw, points=3)
    viewer, _ = await link(server, first)
    assert (await viewer.ask(WATCH, "whoami"))["journey_id"] == second
    await end(server, raw, second)
    assert (await viewer.event(WATCH, "share")) == [{"journey_id": first}]


async def test_a_journey_that_ended_before_the_link_was_made_is_not_shown(server: Server) -> None:
    raw, driver, first = await driving(server)
    await end(server, raw, first, ago_ms=60_000)
    viewer, _ = await link(server, first, "journey")
    who = await viewer.ask(WATCH, "whoami")
    assert (who["journey_id"], who["follows"]) == (None, driver)
    assert (await watched(viewer, first))["error"]["code"] == "not_found"
    second = await server.journey(raw, points=1)
    assert (await viewer.event(WATCH, "share")) == [{"journey_id": second}]


async def test_between_two_journeys_a_live_link_shows_no_place(server: Server) -> None:
    raw, _, first = await driving(server)
    viewer, _ = await link(server, first)
    await end(server, raw, first)
    async with server.db.writer() as connection:
        await connection.execute(
            "UPDATE shares SET created_ms = 0 WHERE driver_id IS NOT NULL AND tenant_id = 't1'"
        )
        await connection.execute(
            "UPDATE journeys SET ended_ms = now_ms() - $2 WHERE journey_id = $1",
            UUID(first),
            SHOWN_AFTER_END_MS + 60_000,
        )
    answer = await watched(viewer, first)
    assert (answer["snapshot"]["positions"], answer["journey"]["place_hidden"]) == ([], True)


async def test_an_sos_without_a_journey_is_told_to_the_holder(server: Server) -> None:
    raw, _, journey = await driving(server)
    viewer, _ = await link(server, journey, holder="Mia")
    await viewer.ask(WATCH, "whoami")
    ack = await raw.ask(
        "/driver", "sos", {"sos_id": str(uuid4()), "point": [1, now_ms(), 53.4, -2.9, 0, 0, 9]}
    )
    label, alert = await viewer.event(WATCH, "alert")
    assert alert["alert_id"] == ack["alert_id"] and label.startswith(("driver:", "journey:"))
    taken = await viewer.ask(WATCH, "alert:ack", {"alert_id": ack["alert_id"]})
    assert taken["alert"]["state"] == "acknowledged"
    late, _ = await link(server, journey, holder="Leo")
    assert (await late.ask(WATCH, "whoami"))["alerts"] == [ack["alert_id"]]


async def test_others_alerts_and_journeys_are_not_shown(server: Server) -> None:
    _, _, journey = await driving(server)
    other, other_driver, other_journey = await driving(server)
    viewer, _ = await link(server, journey, holder="Mia")
    await viewer.ask(WATCH, "whoami")
    ack = await other.ask("/driver", "sos", {"sos_id": str(uuid4())})
    for feed in (
        {"journey": other_journey},
        {"alert": ack["alert_id"]},
        {"driver": other_driver},
        {"vendor": "v1"},
    ):
        assert (await viewer.ask(WATCH, "watch", {"feed": feed}))["error"]["code"] == "not_found"
    assert viewer.events(WATCH, "alert") == []


async def test_an_sos_keeps_the_link_good(server: Server) -> None:
    raw, _, journey = await driving(server)
    viewer, share_id = await link(server, journey, until_ms=now_ms() + 1_500)
    assert (await raw.ask("/driver", "sos", {"sos_id": str(uuid4())}))["ok"]
    lasting = await shares.lasting(server.db, [share_id])
    await until_after(lasting[share_id])
    assert (await shares.lasting(server.db, [share_id]))[share_id] > now_ms()
    assert (await viewer.ask(WATCH, "whoami"))["ok"]


async def until_after(at_ms: int) -> None:
    """Wait for a time."""
    await until(lambda: now_ms() > at_ms, "the link's time is up")


async def test_the_link_is_of_the_vendor_it_was_made_for(server: Server) -> None:
    _, driver, journey = await driving(server)
    viewer, _ = await link(server, journey)
    moved = await server.driver(driver, vendor="v2")
    second = await server.journey(moved, points=1)
    assert (await viewer.ask(WATCH, "whoami"))["journey_id"] == journey
    assert (await watched(viewer, second))["error"]["code"] == "not_found"
