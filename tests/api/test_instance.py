"""The API as an instance wires it: its own services, with Postgres and Redis behind them."""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from realtime.processes.web import Instance
from realtime.settings import Settings
from realtime.store.journeys import journeys
from realtime.store.people import tenants
from tests.api.harness import Api, Fakes, Reply, served
from tests.api.test_openapi import check, fetched


@pytest.fixture
async def instance(database_url: str, redis_url: str) -> AsyncIterator[Api]:
    """A whole instance. The fakes only sign tokens here."""
    settings = Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret=secrets.token_hex(32),  # type: ignore[arg-type]
    )
    async with Instance.open(settings) as whole, served(whole.app) as url, aiohttp.ClientSession() as session:
        yield Api(url, whole.db, Fakes(settings), whole.sessions, session)


async def when(ask: Callable[[], Awaitable[Reply]], fits: Callable[[Reply], bool]) -> Reply:
    """The first reply that fits."""
    async with asyncio.timeout(20):
        while not fits(reply := await ask()):
            await asyncio.sleep(0.2)  # the rate limit is a real one here
    return reply


async def test_positions_posted_over_http_are_committed_shown_and_read_back(instance: Api) -> None:
    document = await fetched(instance)
    now_ms = time.time_ns() // 1_000_000
    await tenants.connect_driver(instance.db, "t1", "north", "d1")
    head = await journeys.start(
        instance.db, "t1", "north", "d1", uuid.uuid4(), now_ms, None, None, None, now_ms
    )
    driver = instance.token("driver", ["north"], driver="d1")
    points = [[1, now_ms, 53.4, -2.9], [2, now_ms, 91.0, 0.0], [3, now_ms + 1, 53.5, -2.8]]
    body = {"journey_id": str(head.journey_id), "points": points}

    ack = await instance.call("POST", "/api/v1/positions", driver, json=body)
    check(document, "/api/v1/positions", "post", ack)
    assert ack.json == {"ok": True, "through": 3, "voided": [[2, "lat_out_of_range"]]}
    again = await instance.call("POST", "/api/v1/positions", driver, json=body)
    assert again.json == ack.json, "sending it again is harmless"

    path = f"/api/v1/journeys/{head.journey_id}/points"
    read = (await instance.get(path, driver)).json
    assert [point[:4] for point in read["points"]] == [points[0], [2, None, None, None], points[2]]
    assert read["voided"] == [[2, "lat_out_of_range"]]

    shown = await when(
        lambda: instance.get("/api/v1/vendors/north/positions"),
        lambda reply: bool(reply.json["positions"]) and reply.json["positions"][0]["point"][0] == 3,
    )
    check(document, "/api/v1/vendors/{vendor}/positions", "get", shown)
    assert shown.json["positions"][0]["journey_id"] == str(head.journey_id)


async def test_bad_positions_are_refused_with_the_status_of_their_code(instance: Api) -> None:
    document = await fetched(instance)
    now_ms = time.time_ns() // 1_000_000
    await tenants.connect_driver(instance.db, "t1", "north", "d1")
    head = await journeys.start(
        instance.db, "t1", "north", "d1", uuid.uuid4(), now_ms, None, None, None, now_ms
    )
    driver = instance.token("driver", ["north"], driver="d1")
    other = instance.token("driver", ["north"], driver="d2")
    foreign = instance.token("driver", ["north"], driver="d1", tenant="t2")
    journey = f'"journey_id":"{head.journey_id}"'.encode()
    point = b"[1,1700000000000,53.4,-2.9]"
    good = b"{" + journey + b',"points":[' + point + b"]}"
    cases: list[tuple[str, bytes, str, int]] = [
        (driver, b"", "malformed", 400),
        (driver, b"{" + journey + b',"points":[[1,2,NaN,4]]}', "malformed", 400),
        (driver, b"{" + journey + b',"points":' + b"[" * 50_000 + b"}", "invalid", 400),
        (driver, b'{"journey_id":"7","points":[]}', "invalid", 400),
        (driver, b"{" + journey + b',"points":"many"}', "invalid", 400),
        (driver, b"{" + journey + b',"points":[[4,1700000000000,53.4,-2.9]]}', "expected_seq", 409),
        (driver, b"{" + journey + b',"points":[' + b",".join([point] * 501) + b"]}", "too_many_points", 413),
        (driver, b" " * (256 * 1024 + 1), "too_large", 413),
        (other, good, "not_found", 404),
        (foreign, good, "not_found", 404),
        (instance.token(), good, "forbidden", 403),
    ]
    for token, body, code, status in cases:
        reply = await instance.call("POST", "/api/v1/positions", token, data=body)
        assert (reply.code, reply.status) == (code, status), body[:80]
        check(document, "/api/v1/positions", "post", reply)
    read = (await instance.get(f"/api/v1/journeys/{head.journey_id}/points", driver)).json
    assert read["points"] == [], "nothing of all that is stored"


async def test_a_revoked_token_is_soon_let_in_no_more(instance: Api) -> None:
    token = instance.token(jti="lost-phone")
    assert (await instance.get("/api/v1/journeys", token)).status == 200
    body = {"jti": "lost-phone", "expires_at": time.time_ns() // 1_000_000 + 3_600_000}
    done = await instance.call("POST", "/api/v1/revocations", instance.token("admin"), json=body)
    assert done.status == 200
    refused = await when(lambda: instance.get("/api/v1/journeys", token), lambda reply: reply.status != 200)
    assert (refused.status, refused.code) == (401, "revoked")
    assert (await instance.get("/api/v1/journeys")).status == 200, "other tokens are none the worse"


async def test_an_instance_becomes_ready_and_its_metrics_move(instance: Api) -> None:
    ready = await when(lambda: instance.get("/readyz", None), lambda reply: reply.status == 200)
    assert all(ready.json["checks"].values())
    text = (await instance.get("/metrics", None)).body.decode()
    assert "wayguard_http_requests_total" in text
