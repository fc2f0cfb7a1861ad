"""Vendors, journeys and points: what is answered, to whom, and page by page."""

import asyncio
import socket
import time
from typing import Any
from uuid import UUID, uuid4
from xml.etree import ElementTree

import asyncpg
import pytest

from geo.position import Point, void
from realtime.api.framework.limits import RequestLimits
from realtime.api.journeys import points as points_api
from realtime.protocol import Code
from realtime.store.people import tenants
from tests.api.harness import Api, Bounds, made_up, refused

FORTY_THOUSAND = """
    INSERT INTO journey_points (journey_id, tenant_id, seq, t_ms, received_ms, lat, lon)
    SELECT $1, 't1', seq, 1700000000000, 1700000000000, 53.4, -2.9 FROM generate_series(1, 40000) seq
"""
GPX = {"g": "http://www.topografix.com/GPX/1/1"}


async def all_pages(api: Api, path: str, name: str, token: str = "") -> list[Any]:
    """The items of every page of a list of two a page."""
    items: list[Any] = []
    query = "limit=2"
    while True:
        page = (await api.get(f"{path}{'&' if '?' in path else '?'}{query}", token)).json
        assert len(page[name]) <= 2
        items += page[name]
        if page["next_cursor"] is None:
            return items
        query = f"limit=2&cursor={page['next_cursor']}"


# --- vendors
async def test_positions_of_a_vendor_have_an_age_by_the_earlier_clock(api: Api) -> None:
    now_ms = time.time_ns() // 1_000_000
    journey = uuid4()
    api.fakes.rows["t1", "north"] = [
        ("late", journey, Point(1, now_ms - 60_000, 53.0, -2.0), now_ms - 1_000),
        ("fast", str(journey), Point(1, now_ms + 3_600_000, 53.0, -2.0), now_ms - 2_000),
        ("ahead", journey, Point(1, now_ms + 9_000, 53.0, -2.0), now_ms + 9_000),
    ]
    answer = (await api.get("/api/v1/vendors/north/positions")).json
    ages = {row["driver"]: row["age_ms"] for row in answer["positions"]}
    elapsed = answer["now_ms"] - now_ms
    assert ages == {"late": 60_000 + elapsed, "fast": 2_000 + elapsed, "ahead": max(0, elapsed - 9_000)}
    assert [row["driver"] for row in answer["positions"]] == ["ahead", "fast", "late"]
    assert {row["journey_id"] for row in answer["positions"]} == {str(journey)}


async def test_a_driver_with_a_presence_and_no_position_is_listed(api: Api) -> None:
    api.fakes.presence["t1", "north"] = {"d1": {"state": "online", "since_ms": 5, "reason": None}}
    answer = (await api.get("/api/v1/vendors/north/positions")).json
    assert answer["positions"] == [
        {
            "driver": "d1",
            "journey_id": None,
            "point": None,
            "received_ms": None,
            "age_ms": None,
            "presence": {"state": "online", "since_ms": 5, "reason": None},
            "journey_open": False,
        }
    ]


async def test_drivers_of_a_vendor_come_in_pages_each_once(api: Api) -> None:
    api.fakes.presence["t1", "north"] = {
        f"d{n}": {"state": "online", "since_ms": n, "reason": None} for n in range(7)
    }
    found = await all_pages(api, "/api/v1/vendors/north/positions", "positions")
    assert [row["driver"] for row in found] == [f"d{n}" for n in range(7)]


async def test_a_vendor_outside_the_claim_is_forbidden_whether_it_exists_or_not(api: Api) -> None:
    await api.journey(vendor="south", driver="d7")
    token = api.token(vendors=["north"])
    there = await api.get("/api/v1/vendors/south/positions", token)
    nowhere = await api.get("/api/v1/vendors/nowhere/positions", token)
    assert (there.status, there.code) == (403, "forbidden")
    assert there.body == nowhere.body
    driver = api.token("driver", ["north"], driver="d1")
    assert (await api.get("/api/v1/vendors/north/positions", driver)).code == "forbidden"


# --- journeys
async def test_vendors_are_listed_by_page_and_only_the_callers(api: Api) -> None:
    names = [f"v{n}" for n in range(5)]
    await tenants.ensure_vendors(api.db, "t1", names)
    await tenants.ensure_vendors(api.db, "t2", ["theirs"])
    assert await all_pages(api, "/api/v1/vendors", "vendors") == names
    named = api.token("dispatcher", ["v3", "v1", "unheard-of"])
    first = (await api.get("/api/v1/vendors?limit=2", named)).json
    assert first["vendors"] == ["unheard-of", "v1"]
    rest = (await api.get(f"/api/v1/vendors?limit=2&cursor={first['next_cursor']}", named)).json
    assert rest == {"ok": True, "vendors": ["v3"], "next_cursor": None}
    assert (await api.get("/api/v1/vendors", api.token("driver", ["v1"], driver="d1"))).code == "forbidden"


async def test_journeys_come_newest_first_in_pages_each_once(api: Api) -> None:
    made = [str(await api.journey(driver=f"d{n % 3}")) for n in range(5)]
    found = [journey["journey_id"] for journey in await all_pages(api, "/api/v1/journeys", "journeys")]
    assert sorted(found) == sorted(made)
    assert found == sorted(found, reverse=True)


async def test_filters_narrow_a_list(api: Api) -> None:
    start_ms = time.time_ns() // 1_000_000
    one = str(await api.journey(driver="d1", vendor="north", now_ms=start_ms))
    two = str(await api.journey(driver="d2", vendor="north", now_ms=start_ms + 10))
    three = str(await api.journey(driver="d3", vendor="south", now_ms=start_ms + 20))

    async def listed(query: str) -> set[str]:
        answer = (await api.get(f"/api/v1/journeys?{query}")).json
        return {journey["journey_id"] for journey in answer["journeys"]}

    assert await listed("vendor=north") == {one, two}
    assert await listed("driver=d3") == {three}
    assert await listed("vendor=north&driver=d3") == set()
    assert await listed(f"from={start_ms + 10}") == {two, three}
    assert await listed(f"to={start_ms + 10}") == {one}
    assert await listed(f"from={start_ms + 10}&to={start_ms + 20}") == {two}


async def test_a_list_holds_only_what_the_caller_may_see(api: Api) -> None:
    mine = await api.journey(driver="d1", vendor="north")
    colleague = await api.journey(driver="d2", vendor="north")
    await api.journey(driver="d3", vendor="south")
    await api.journey(driver="d1", vendor="north", tenant="t2")

    async def listed(token: str, query: str = "") -> set[str]:
        answer = (await api.get(f"/api/v1/journeys{query}", token)).json
        return {journey["journey_id"] for journey in answer["journeys"]}

    assert await listed(api.token("driver", ["north"], driver="d1")) == {str(mine)}
    assert await listed(api.token(vendors=["north"])) == {str(mine), str(colleague)}
    assert await listed(api.token(vendors=[])) == set()
    assert len(await listed(api.token())) == 3
    north = api.token(vendors=["north"])
    assert (await api.get("/api/v1/journeys?vendor=south", north)).code == "forbidden"
    driver = api.token("driver", ["north"], driver="d1")
    assert (await api.get("/api/v1/journeys?driver=d2", driver)).code == "forbidden"


async def test_one_journey_has_what_the_app_said_about_it(api: Api) -> None:
    made = await api.journey(points=4, vehicle="AB12 CDE", destination=b'{"lat":53.4}', route=b"[1,2]")
    journey = (await api.get(f"/api/v1/journeys/{made}")).json["journey"]
    assert journey["journey_id"] == str(made)
    assert journey["vehicle"] == "AB12 CDE"
    assert journey["destination"] == {"lat": 53.4}
    assert journey["route"] == [1, 2]
    assert (journey["state"], journey["last_seq"], journey["final_seq"]) == ("open", 4, None)


@pytest.mark.parametrize("suffix", ["", "/points", "/points?format=geojson", "/points?format=gpx", "/shares"])
async def test_a_foreign_journey_is_byte_for_byte_a_missing_one(api: Api, suffix: str) -> None:
    foreign = await api.journey(tenant="t2", points=2)
    south = await api.journey(vendor="south", driver="d5", points=2)
    north = api.token(vendors=["north"])
    driver = api.token("driver", ["north"], driver="d1")
    missing = await api.get(f"/api/v1/journeys/{uuid4()}{suffix}", north)
    assert (missing.status, missing.code) == (404, "not_found")
    for journey, token in ((foreign, north), (south, north), (south, driver), (foreign, api.token("admin"))):
        reply = await api.get(f"/api/v1/journeys/{journey}{suffix}", token)
        assert (reply.status, reply.body) == (missing.status, missing.body)
        assert {**reply.headers, "Date": ""} == {**missing.headers, "Date": ""}


# --- points
async def filled(api: Api, count: int) -> tuple[UUID, list[Point]]:
    """A journey of ``count`` seqs, every fifth a void."""
    journey = await api.journey()
    log = [void(seq) if seq % 5 == 0 else made_up(seq, 1_700_000_000_000) for seq in range(1, count + 1)]
    await api.fill(journey, "t1", "d1", log, {point.seq: "no_fix" for point in log if point.lat is None})
    return journey, log


async def test_points_as_json_come_in_pages_with_voids(api: Api) -> None:
    journey, log = await filled(api, 11)
    found: list[list[Any]] = []
    voided: list[list[Any]] = []
    since, more = 0, True
    while more:
        path = f"/api/v1/journeys/{journey}/points?since_seq={since}&limit=4"
        page = (await api.get(path)).json
        found += page["points"]
        voided += page["voided"]
        since, more = page["through"], page["more"]
    assert [point[0] for point in found] == list(range(1, 12))
    assert voided == [[5, "no_fix"], [10, "no_fix"]]
    assert found[4] == [5, None, None, None, None, None, None, None, None]
    assert found[0] == [1, log[0].t_ms, log[0].lat, log[0].lon, 8.5, 90.0, 5.0, 10.0, 77.0]
    beyond = (await api.get(f"/api/v1/journeys/{journey}/points?since_seq=11")).json
    assert (beyond["points"], beyond["through"], beyond["more"]) == ([], 11, False)


@pytest.mark.parametrize("count", [0, 1, 5, 500, 1_300])
async def test_geojson_and_gpx_give_the_whole_journey_however_long(api: Api, count: int) -> None:
    journey, log = await filled(api, count)
    wanted = [point for point in log if point.lat is not None]
    reply = await api.get(f"/api/v1/journeys/{journey}/points?format=geojson")
    assert reply.headers["Content-Type"] == "application/geo+json"
    collection = reply.json
    assert collection["type"] == "FeatureCollection"
    assert [feature["properties"]["seq"] for feature in collection["features"]] == [p.seq for p in wanted]
    assert [feature["geometry"]["coordinates"][:2] for feature in collection["features"]] == [
        [point.lon, point.lat] for point in wanted
    ]
    reply = await api.get(f"/api/v1/journeys/{journey}/points?format=gpx")
    assert reply.headers["Content-Type"] == "application/gpx+xml"
    track = ElementTree.fromstring(reply.body).findall("g:trk/g:trkseg/g:trkpt", GPX)
    assert [float(point.attrib["lat"]) for point in track] == [point.lat for point in wanted]


async def test_a_part_of_a_journey_can_be_had_as_geojson(api: Api) -> None:
    journey, _ = await filled(api, 8)
    reply = await api.get(f"/api/v1/journeys/{journey}/points?format=geojson&since_seq=6")
    assert [feature["properties"]["seq"] for feature in reply.json["features"]] == [7, 8]
    refused_ = await api.get(f"/api/v1/journeys/{journey}/points?format=geojson&limit=5")
    assert refused_.code == "invalid"


@pytest.mark.parametrize("bounds", [Bounds(RequestLimits(stream_page_points=10))], ids=["short_pages"])
async def test_a_long_journey_is_read_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    journey, log = await filled(api, 95)
    asked: list[int] = []
    after = points_api.points.records

    async def watched(db: Any, tenant: str, journey_id: UUID, since_seq: int, limit: int, **more: Any) -> Any:
        asked.append(limit)
        return await after(db, tenant, journey_id, since_seq, limit, **more)

    monkeypatch.setattr(points_api.points, "records", watched)
    reply = await api.get(f"/api/v1/journeys/{journey}/points?format=geojson")
    assert len(reply.json["features"]) == sum(point.lat is not None for point in log)
    assert asked == [10] * 10


@pytest.mark.parametrize("bounds", [Bounds(RequestLimits(stream_page_points=10))], ids=["short_pages"])
@pytest.mark.parametrize("format_", ["geojson", "gpx"])
async def test_an_answer_that_breaks_off_does_not_look_complete(
    api: Api, monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    journey, _ = await filled(api, 30)
    after = points_api.points.records

    async def failing(db: Any, tenant: str, journey_id: UUID, since_seq: int, limit: int, **more: Any) -> Any:
        if since_seq >= 20:
            raise refused(Code.UNAVAILABLE)
        return await after(db, tenant, journey_id, since_seq, limit, **more)

    monkeypatch.setattr(points_api.points, "records", failing)
    with pytest.raises(Exception, match=r"(?i)payload|disconnected|closed|reset"):
        await api.get(f"/api/v1/journeys/{journey}/points?format={format_}")
    assert (await api.get("/healthz", None)).status == 200


async def test_a_journey_that_cannot_be_read_at_all_is_refused_with_a_code(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    journey, _ = await filled(api, 3)

    async def away(*args: Any, **more: Any) -> Any:
        raise refused(Code.UNAVAILABLE, retry_after_s=1.2)

    monkeypatch.setattr(points_api.points, "records", away)
    for format_ in ("json", "geojson", "gpx"):
        reply = await api.get(f"/api/v1/journeys/{journey}/points?format={format_}")
        assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "unavailable", "2")


async def test_only_a_journey_that_cannot_change_is_read_from_history(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = time.time_ns() // 1_000_000
    seen: list[bool] = []

    async def watched(*args: Any, history: bool, **more: Any) -> list[Point]:
        seen.append(history)
        return []

    monkeypatch.setattr(points_api.points, "records", watched)
    fresh, old = await api.journey(), await api.journey(driver="d2", now_ms=now_ms - 3 * 86_400_000)
    for journey in (fresh, old):
        await api.get(f"/api/v1/journeys/{journey}/points")
    assert seen == [False, True]


@pytest.mark.parametrize("bounds", [Bounds(RequestLimits(write_timeout_s=0.2))], ids=["impatient"])
async def test_a_client_that_takes_nothing_is_cut_off(api: Api) -> None:
    journey = await api.journey()
    async with api.db.writer() as connection:
        await connection.execute(FORTY_THOUSAND, journey)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    client.connect(("127.0.0.1", int(api.url.rpartition(":")[2])))
    path = f"/api/v1/journeys/{journey}/points?format=geojson"
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token()}\r\n\r\n"
    before = await served(api)
    client.sendall(request.encode())
    async with asyncio.timeout(30):
        while await served(api) == before:
            await asyncio.sleep(0.01)
    client.settimeout(10)
    tail = b""
    while piece := client.recv(65_536):
        tail = (tail + piece)[-64:]
    client.close()
    assert tail
    assert not tail.endswith(b"0\r\n\r\n"), "an answer cut short must not end like a whole one"


async def served(api: Api) -> float:
    """How many answers of points have ended."""
    text = (await api.get("/metrics", None)).body.decode()
    route = 'route="/api/v1/journeys/{journey_id}/points"'
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("wayguard_http_requests_total") and route in line
    )


async def test_a_statement_that_postgres_fails_is_unavailable_and_no_fault_of_ours(
    api: Api, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    await owner.execute("ALTER TABLE alerts RENAME TO alerts_lost")
    reply = await api.get("/api/v1/alerts")
    await owner.execute("ALTER TABLE alerts_lost RENAME TO alerts")
    await owner.close()
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "unavailable", "2")
    assert (await api.get("/api/v1/alerts")).status == 200
