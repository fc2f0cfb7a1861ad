"""Safety timers over HTTP: whose journey a timer may name, and how they are listed."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from alerts.timers import Spec, TimerKind, driver_actor
from alerts.timers import armed as armed_timer
from realtime.api.framework.cursor import pack
from realtime.protocol import Code
from realtime.store.alerts import timers
from realtime.store.people import tenants
from tests.api.harness import Api, refused, running

CURSORS = ["x", pack("alert", f"1.{uuid4().hex}"), pack("timer", "1.x"), pack("timer", f"x.{uuid4().hex}")]


async def test_a_journey_that_is_not_the_drivers_is_not_found_whether_it_exists_or_not(api: Api) -> None:
    own = await api.journey(driver="d1")
    others = [
        await api.journey(driver="d2"),
        await api.journey(driver="d3", vendor="south"),
        await api.journey(driver="d1", tenant="t2"),
        uuid4(),
    ]
    callers = {
        "driver": {"token": api.token("driver", ["north"], driver="d1")},
        "service": {"token": api.token("service", None)},
    }
    answers = set()
    for role, caller in callers.items():
        for journey_id in others:
            reply = await api.call("POST", "/api/v1/timers", **caller, json=timer(role, journey_id))
            assert (reply.status, reply.json["error"]["code"]) == (404, "not_found")
            answers.add((reply.status, str(reply.json)))
        reply = await api.call("POST", "/api/v1/timers", **caller, json=timer(role, own))
        assert reply.json["timer"]["journey_id"] == str(own)
    assert len(answers) == 1, "nothing tells them apart"


def timer(role: str, journey_id: object) -> dict[str, Any]:
    """A timer of d1: its own driver names nobody."""
    body = {
        "kind": "check_in",
        "client_timer_id": str(uuid4()),
        "every_s": 600,
        "journey_id": str(journey_id),
    }
    return body if role == "driver" else body | {"driver": "d1"}


async def armed(api: Api, driver: str, vendor: str, count: int) -> set[str]:
    """The ids of ``count`` timers of the driver, stored without the bound on what a driver may arm."""
    await tenants.connect_driver(api.db, "t1", vendor, driver)
    now_ms = time.time_ns() // 1_000_000
    spec = Spec(TimerKind.CHECK_IN, uuid4(), every_s=600)
    made = armed_timer(spec, "t1", vendor, driver, driver_actor(driver), None, now_ms)
    written = [msgspec.structs.replace(made, timer_id=uuid4()) for _ in range(count)]
    async with api.db.writer() as connection:
        await timers.put(connection, written)
    return {str(timer.timer_id) for timer in written}


async def test_timers_are_listed_by_page_each_once_however_many_were_armed_at_once(api: Api) -> None:
    ids = await armed(api, "d1", "north", 25) | await armed(api, "d2", "north", 5)
    await armed(api, "d3", "south", 3)
    caller = api.token("dispatcher", ["north"])
    found: list[str] = []
    at, pages = "", 0
    while True:
        reply = await api.get(f"/api/v1/timers?limit=8{at}", caller)
        assert reply.status == 200
        assert len(reply.json["timers"]) <= 8
        found += [timer["timer_id"] for timer in reply.json["timers"]]
        pages += 1
        if reply.json["next_cursor"] is None:
            break
        at = f"&cursor={reply.json['next_cursor']}"
    assert (pages, len(found), set(found)) == (4, 30, ids)
    whole = await api.get("/api/v1/timers?limit=30", caller)
    assert [timer["timer_id"] for timer in whole.json["timers"]] == found
    assert whole.json["next_cursor"] is None


@pytest.mark.parametrize("at", CURSORS, ids=["garbage", "of alerts", "no id", "no time"])
async def test_a_cursor_that_is_none_of_timers_is_invalid(api: Api, at: str) -> None:
    reply = await api.get(f"/api/v1/timers?cursor={at}")
    assert (reply.status, reply.code) == (400, "invalid")


async def test_more_timers_than_a_page_holds_are_announced_and_the_oldest_can_be_cancelled(api: Api) -> None:
    (oldest,) = await armed(api, "d1", "north", 1)
    await asyncio.sleep(0.005)
    await armed(api, "d1", "north", 500)
    caller = api.token("dispatcher", ["north"])
    first = await api.get("/api/v1/timers", caller)
    assert len(first.json["timers"]) == 500
    assert oldest not in {timer["timer_id"] for timer in first.json["timers"]}
    second = await api.get(f"/api/v1/timers?cursor={first.json['next_cursor']}", caller)
    assert [timer["timer_id"] for timer in second.json["timers"]] == [oldest]
    others = api.token("dispatcher", ["south"])
    assert (await api.call("DELETE", f"/api/v1/timers/{oldest}", others)).code == "not_found"
    reply = await api.call("DELETE", f"/api/v1/timers/{oldest}", caller)
    assert reply.json["timer"]["state"] == "cancelled"
    assert (await api.call("DELETE", f"/api/v1/timers/{oldest}", caller)).code == "not_found"


@pytest.mark.parametrize("action", ["check-in", "arrive"])
async def test_a_check_in_that_postgres_does_not_take_is_stored_in_redis(
    database_url: str, redis_url: str, action: str
) -> None:
    async with running(database_url, redis_url) as api:
        await armed(api, "d1", "north", 2)
        driver = {"token": api.token("driver", ["north"], driver="d1"), "json": {}}
        reply = await api.call("POST", f"/api/v1/timers/{action}", **driver)
        assert (len(reply.json["timers"]), reply.json["durability"]) == (2, "committed")
        owner = await asyncpg.connect(database_url, timeout=20)
        await owner.execute("ALTER TABLE safety_timers RENAME TO lost_timers")
        reply = await api.call("POST", f"/api/v1/timers/{action}", **driver)
        assert reply.json == {"ok": True, "timers": [], "durability": "replicated"}
        assert api.checkins is not None
        assert [str(one.answer.action).replace("_", "-") for one in await api.checkins.read()] == [action]
        api.fakes.failures["authenticate"] = refused(Code.UNAVAILABLE)
        reply = await api.call("POST", f"/api/v1/timers/{action}", **driver)
        assert (reply.status, reply.json["durability"]) == (200, "replicated")
        expired = {"token": api.token("driver", ["north"], driver="d1", ttl_s=-60), "json": {}}
        reply = await api.call("POST", f"/api/v1/timers/{action}", **expired)
        assert reply.status in (401, 503)
        reply = await api.call("GET", "/api/v1/timers", token=driver["token"])
        assert reply.status == 503, "no other operation takes a token that may be revoked"
        await owner.execute("ALTER TABLE lost_timers RENAME TO safety_timers")
        await owner.close()


async def test_a_check_in_that_nothing_takes_is_unavailable(database_url: str) -> None:
    async with running(database_url) as api:
        owner = await asyncpg.connect(database_url, timeout=20)
        await owner.execute("ALTER TABLE safety_timers RENAME TO lost_timers")
        token = api.token("driver", ["north"], driver="d1")
        reply = await api.call("POST", "/api/v1/timers/check-in", token=token, json={})
        assert (reply.status, reply.json["error"]["code"]) == (503, "unavailable")
        await owner.execute("ALTER TABLE lost_timers RENAME TO safety_timers")
        await owner.close()
