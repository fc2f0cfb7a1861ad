"""Sockets that try share links wait for each other; drivers and contacts are served meanwhile."""

import asyncio
import time
from uuid import UUID

import asyncpg

from realtime.admission.guests import GuestLimits
from realtime.processes.web import InstanceTimings
from realtime.settings import Settings
from realtime.sockets.timings import SocketTimings
from realtime.store.journeys import shares
from tests.sockets.hostile.kit import World
from tests.sockets.kit import good, now_ms, serving, until


async def test_a_table_of_shares_that_answers_nobody_is_in_no_drivers_way(
    settings: Settings, shared_url: str
) -> None:
    """A driver's journey is stored while strangers wait still, which they would do for a minute."""
    holder = await asyncpg.connect(shared_url, timeout=20)
    async with serving(settings, InstanceTimings(guests=GuestLimits(wait_s=60.0))) as server:
        links = server.instance.guest_links
        try:
            async with holder.transaction():
                await holder.execute("LOCK TABLE shares IN ACCESS EXCLUSIVE MODE")
                strangers = [await server.raw() for _ in range(30)]
                asked = [
                    asyncio.ensure_future(raw.connect("/watch", share=f"none{n}.x"))
                    for n, raw in enumerate(strangers)
                ]
                await until(lambda: links.waiting >= 25, "strangers wait")
                driver = await server.driver("beside")
                journey_id = await server.journey(driver, points=1)
                assert links.waiting > 0, "no driver waits for them"
                assert server.db.is_up
                assert server.instance.guests_db.connections()["guests", "used"] <= 2
            answers = await asyncio.gather(*asked)
        finally:
            await holder.close()
        assert {answer["code"] for answer in answers} <= {"not_found", "overloaded", "unavailable"}
        assert all(answer["retryable"] for answer in answers if answer["code"] != "not_found")
        sent = {"journey_id": journey_id, "points": [good(2)]}
        assert (await driver.ask("/driver", "positions", sent))["ok"]


async def test_a_contact_gets_in_behind_an_address_that_has_tried_too_many_links(
    world: World, settings: Settings
) -> None:
    key = shares.signing_key(settings.alerts_key)
    made = await shares.create(
        world.server.db, "t2", UUID(world.victim_journey), "journey", now_ms() + 10**7, "x", key=key
    )
    limits = GuestLimits(per_address_burst=3.0, per_address_per_s=0.01)
    async with serving(settings, InstanceTimings(guests=limits)) as server:
        answers = []
        for number in range(4):
            raw = await server.raw()
            answers.append(await raw.connect("/watch", share=f"guess{number}.x"))
        assert [answer["code"] for answer in answers] == [*["not_found"] * 3, "rate_limited"]
        assert answers[3]["retryable"]
        assert answers[3]["retry_after_s"] > 0
        contact = await server.raw()
        assert await contact.connect("/watch", share=".".join(made)) == {}


async def test_a_socket_that_is_refused_again_and_again_is_answered_later_each_time(
    settings: Settings,
) -> None:
    pauses_s = (0.0, 0.3, 0.6)
    timings = InstanceTimings(sockets=SocketTimings(refusal_pauses_s=pauses_s))
    async with serving(settings, timings) as server:
        raw = await server.raw()
        took_s = []
        for _ in range(4):
            begun_s = time.monotonic()
            assert (await raw.connect("/watch", share="no.thing"))["code"] == "not_found"
            took_s.append(time.monotonic() - begun_s)
        assert took_s[2] >= 0.3
        assert took_s[3] >= 0.6
        for _ in range(50):  # what it says meanwhile is not read
            await raw.say('40/watch,{"share":"no.thing"}')
        driver = await server.driver("beside")
        journey_id = await server.journey(driver)
        assert (await driver.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(1)]}))[
            "ok"
        ]


async def test_a_refused_socket_that_asks_for_an_sos_hardly_waits(settings: Settings) -> None:
    """The pause that its next other credential would have is longer than the test may take."""
    timings = InstanceTimings(sockets=SocketTimings(refusal_pauses_s=(3600.0,)))
    async with serving(settings, timings) as server:
        raw = await server.raw()
        assert (await raw.connect("/driver", token="x"))["code"] == "unauthenticated"
        token = server.token("driver", driver="d9", ttl_s=-60)
        assert await raw.connect("/driver", token=token, sos=True) == {}
