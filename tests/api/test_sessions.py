"""Sessions as an attacker would have them, and as a console has."""

import asyncio
import secrets
import time
from typing import Any

import pytest

from realtime.sessions.keys import session_key
from realtime.store.people import revocations
from tests.api.harness import SHARE_TOKEN, Api, Reply, running

ONE, ALL = "/api/v1/session", "/api/v1/sessions"
NAME = "__Host-wayguard_session"
OURS = {"X-Wayguard": "console"}
SAFE = ("/api/v1/session", "/api/v1/sessions", "/api/v1/journeys", "/api/v1/vendors/north/positions")


def cookie_of(reply: Reply, name: str = NAME) -> str:
    """What the browser would keep."""
    assert reply.status == 201, reply.body
    head, _, _ = reply.headers["Set-Cookie"].partition(";")
    given, _, value = head.partition("=")
    assert given == name
    return value


async def sign_in(api: Api, token: str = "", **headers: str) -> str:
    return cookie_of(await api.call("POST", ONE, token, headers=headers))


async def by(api: Api, value: str, method: str = "GET", path: str = ONE, **more: Any) -> Reply:
    """A request by session alone."""
    headers = {"Cookie": f"{NAME}={value}"} | more.pop("headers", {})
    return await api.call(method, path, None, headers=headers, **more)


async def test_a_token_becomes_a_cookie_that_opens_what_it_opened(api: Api) -> None:
    token = api.token("dispatcher", ["north"])
    reply = await api.call("POST", ONE, token)
    attributes = set(reply.headers["Set-Cookie"].split("; ")[1:])
    assert {"Path=/", "HttpOnly", "SameSite=Strict", "Secure"} < attributes
    assert not any(attribute.startswith("Domain") for attribute in attributes)
    value = cookie_of(reply)
    assert value not in reply.body.decode()
    who = (await by(api, value)).json
    assert who["session_id"] == reply.json["session_id"] == value.partition(".")[0]
    assert (who["role"], who["tenant"], who["vendors"]) == ("dispatcher", "t1", ["north"])
    assert who["name"] == "dispatcher@t1"
    assert who["expires_at"] - who["now_ms"] <= 12 * 3_600_000
    assert (await by(api, value, path="/api/v1/vendors/north/positions")).status == 200
    assert (await by(api, value, path="/api/v1/vendors/south/positions")).code == "forbidden"
    assert ("dispatcher@t1", "vendor_positions") in api.fakes.limited, "the limits are the subject's"


async def test_the_cookie_lasts_as_long_as_the_token_and_no_longer(api: Api) -> None:
    reply = await api.call("POST", ONE, api.token("admin", ttl_s=600))
    assert "Max-Age=600;" in reply.headers["Set-Cookie"] or "Max-Age=599;" in reply.headers["Set-Cookie"]
    value = cookie_of(reply)
    assert (await by(api, value)).status == 200
    api.fakes.ahead_ms = 601_000
    assert (await by(api, value)).code == "token_expired"


async def test_without_https_the_cookie_has_its_plain_name(database_url: str, redis_url: str) -> None:
    async with running(database_url, redis_url, public_url="http://127.0.0.1:8000") as api:
        reply = await api.call("POST", ONE)
        value = cookie_of(reply, "wayguard_session")
        assert "Secure" not in reply.headers["Set-Cookie"]
        cookie = {"Cookie": f"wayguard_session={value}"}
        assert (await api.get(ONE, None, headers=cookie)).status == 200
        assert (await by(api, value)).code == "unauthenticated"


async def test_only_who_oversees_vendors_has_sessions(api: Api) -> None:
    for role in ("dispatcher", "admin", "service"):
        assert (await by(api, await sign_in(api, api.token(role)))).json["role"] == role
    driver = api.token("driver", ["north"], driver="d1")
    for token in (driver, SHARE_TOKEN):
        reply = await api.call("POST", ONE, token)
        assert reply.code == "forbidden"
        assert "Set-Cookie" not in reply.headers
    assert (await api.get(ALL, driver)).code == "forbidden"
    assert (await api.get(ONE, driver)).json["session_id"] is None


async def test_a_session_begets_none(api: Api) -> None:
    value = await sign_in(api)
    assert (await by(api, value, "POST", headers=OURS)).code == "unauthenticated"
    driver = {"sos_id": "0199d2c8-0000-7000-8000-000000000001"}
    assert (await by(api, value, "POST", "/api/v1/sos", headers=OURS, json=driver)).code == "unauthenticated"


# --- attacks


async def test_a_forged_cookie_opens_nothing(api: Api) -> None:
    value = await sign_in(api)
    session_id, _, secret = value.partition(".")
    forged = (
        "",
        ".",
        session_id,
        f"{session_id}.",
        f"{session_id}.{'A' * 43}",
        f"{session_id}.{secret[:-1]}",
        f"{session_id}.{secret}A",
        f"{session_id}.{secret}.{secret}",
        f"{'A' * 22}.{secret}",
        f"{secret}.{session_id}",
        f'"{value}"',
        "deleted",
        api.token(),
        "*" * 22 + "." + "*" * 43,
        f"{session_id}%2E{secret}",
    )
    for one in forged:
        for path in SAFE:
            assert (await by(api, one, path=path)).code == "unauthenticated", one
    assert (await by(api, value)).status == 200


@pytest.mark.parametrize("length", [100, 4_000, 30_000])
async def test_an_oversized_cookie_is_refused(api: Api, length: int) -> None:
    value = await sign_in(api)
    assert (await by(api, value + "A" * length)).code == "unauthenticated"
    assert (await by(api, value)).status == 200


@pytest.mark.parametrize(
    "odd", [b"\xff\xfe", b"\xc3\xa9", b"\x80" * 66, b"\x01", b"\x7f", b"\xed\xa0\x80", b"\x1b[2J"]
)
async def test_odd_bytes_in_a_cookie_are_refused(api: Api, odd: bytes) -> None:
    value = (await sign_in(api)).encode()
    host, port = api.url.removeprefix("http://").split(":")
    for cookie in (odd, value + odd, odd + value, value[:10] + odd + value[10:]):
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"GET {ONE} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nCookie: {NAME}="
        writer.write(head.encode() + cookie + b"\r\n\r\n")
        answer = await reader.read()
        writer.close()
        status = int(answer.split(b" ", 2)[1])
        assert status in (400, 401), answer  # 400: the parser takes no control characters
    assert (await by(api, value.decode())).status == 200


async def test_two_cookies_of_the_name_are_none(api: Api) -> None:
    mine, planted = await sign_in(api), await sign_in(api, api.token("admin"))
    for header in (f"{NAME}={mine}; {NAME}={planted}", f"{NAME}={planted}; a=1; {NAME}={mine}"):
        assert (await api.get(ONE, None, headers={"Cookie": header})).code == "unauthenticated"
    assert (await by(api, mine)).status == 200


async def test_a_cookie_that_a_stranger_gave_is_never_adopted(api: Api) -> None:
    made_up = f"{'A' * 22}.{'A' * 43}"
    strangers = await sign_in(api, api.token("dispatcher", tenant="t2"))
    for planted in (made_up, strangers):
        mine = await sign_in(api, "", Cookie=f"{NAME}={planted}")
        assert mine.partition(".")[0] != planted.partition(".")[0]
        assert mine.partition(".")[2] != planted.partition(".")[2]
        assert (await by(api, mine)).json["tenant"] == "t1"
        assert (await by(api, planted)).code == "unauthenticated"


async def test_who_signs_in_again_leaves_no_session_behind(api: Api) -> None:
    first = await sign_in(api)
    second = await sign_in(api, "", Cookie=f"{NAME}={first}")
    assert (await by(api, first)).code == "unauthenticated"
    assert [one["current"] for one in (await by(api, second, path=ALL)).json["sessions"]] == [True]


@pytest.mark.parametrize("said", [{}, {"X-Wayguard": ""}, {"X-Wayguard": "Console"}, {"X-Wayguard": "no"}])
async def test_what_changes_something_needs_the_header_of_our_pages(api: Api, said: dict[str, str]) -> None:
    value = await sign_in(api)
    refused = await by(api, value, "DELETE", headers=said)
    assert (refused.status, refused.code) == (403, "origin_refused")
    assert "x-wayguard" in refused.json["error"]["message"]
    body = {"vendor": "north", "driver": "d1"}
    reply = await by(api, value, "POST", "/api/v1/pairings", headers=said, json=body)
    assert reply.code == "origin_refused"
    assert (await by(api, value)).status == 200, "nothing has changed"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://app.example", "https://track.example.evil.example", "null", "",
     "http://track.example", "https://track.example:8443", "https://sister.track.example"],
)  # fmt: skip
async def test_a_page_of_another_origin_changes_nothing(
    database_url: str, redis_url: str, origin: str
) -> None:
    async with running(database_url, redis_url, allowed_origins=("https://app.example",)) as api:
        value = await sign_in(api)
        refused = await by(api, value, "DELETE", headers=OURS | {"Origin": origin})
        assert (refused.status, refused.code) == (403, "origin_refused")
        assert (await by(api, value)).status == 200


async def test_our_own_pages_may(api: Api) -> None:
    for origin in ("https://track.example", api.url):
        value = await sign_in(api)
        assert (await by(api, value, "DELETE", headers=OURS | {"Origin": origin})).status == 200
        assert (await by(api, value)).code == "unauthenticated"
    value = await sign_in(api)
    assert (await by(api, value, "DELETE", headers=OURS)).status == 200, "not every browser sends an origin"


async def test_with_both_the_token_counts(api: Api) -> None:
    value = await sign_in(api)
    cookie = {"Cookie": f"{NAME}={value}"}
    other = await api.get(ONE, api.token("admin", tenant="t2"), headers=cookie)
    assert (other.json["tenant"], other.json["session_id"]) == ("t2", None)
    assert (await api.get(ONE, "a.b.c", headers=cookie)).code == "unauthenticated"
    pairing = {"vendor": "north", "driver": "d1"}
    reply = await api.call("POST", "/api/v1/pairings", headers=cookie, json=pairing)
    assert reply.status == 201, "a token needs no header: no browser sends it by itself"
    broken = {"Authorization": "Basic eDp5"} | cookie
    assert (await api.get(ONE, None, headers=broken)).code == "unauthenticated"


# --- ends


async def test_signing_out_takes_the_cookie_away_and_ends_the_session(api: Api) -> None:
    value = await sign_in(api)
    reply = await by(api, value, "DELETE", headers=OURS)
    assert reply.headers["Set-Cookie"].startswith(f"{NAME}=; Max-Age=0;")
    assert (await by(api, value)).code == "unauthenticated"
    reply = await api.call("DELETE", ONE)
    assert reply.status == 200, "by token there is only the cookie"
    assert "Max-Age=0" in reply.headers["Set-Cookie"]


async def test_the_revocation_of_the_token_ends_its_sessions(api: Api) -> None:
    doomed = await sign_in(api, api.token("admin", jti="doomed"))
    other = await sign_in(api, api.token("admin", jti="other"))
    assert (await by(api, doomed)).status == 200
    await revocations.revoke(api.db, "t2", "other")
    await revocations.revoke(api.db, "t1", "doomed")
    assert (await by(api, doomed)).code == "revoked"
    assert (await by(api, other)).status == 200, "another tenant's revocation is no business of ours"


async def test_what_redis_has_lost_is_over(api: Api) -> None:
    value = await sign_in(api)
    await api.sessions._client.delete(session_key(value.partition(".")[0]))
    assert (await by(api, value)).code == "unauthenticated"


async def test_with_redis_away_nobody_signs_in(database_url: str) -> None:
    async with running(database_url) as api:
        reply = await api.call("POST", ONE)
        assert reply.code == "unavailable"
        assert "Set-Cookie" not in reply.headers
        assert (await by(api, f"{'A' * 22}.{'A' * 43}")).code == "unavailable"
        assert (await api.get("/api/v1/journeys")).status == 200, "tokens need no Redis"


# --- lists


async def test_everybody_sees_their_own_and_who_has_all_vendors_the_tenants(api: Api) -> None:
    north = await sign_in(
        api, api.token("dispatcher", ["north"]), **{"User-Agent": "Firefox\x80 " + "x" * 500}
    )
    await sign_in(api, api.token("dispatcher", tenant="t2"))
    some = await sign_in(api, api.token("service", ["north"]))
    all_ = await sign_in(api, api.token("admin"))

    async def names(value: str) -> list[str]:
        return sorted(one["name"] for one in (await by(api, value, path=ALL)).json["sessions"])

    assert await names(north) == ["dispatcher@t1"]
    assert await names(some) == ["dispatcher@t1", "service@t1"], "theirs and those of their vendors"
    assert await names(await sign_in(api, api.token("service", ["south"]))) == ["service@t1", "service@t1"]
    assert await names(await sign_in(api, api.token("admin", []))) == ["admin@t1", "admin@t1"], "one's own"
    assert await names(all_) == ["admin@t1", "admin@t1", "dispatcher@t1", "service@t1", "service@t1"]
    (mine,) = (await by(api, north, path=ALL)).json["sessions"]
    assert mine["current"] is True
    assert mine["address"] == "127.0.0.1"
    assert mine["user_agent"].startswith("Firefox")
    assert len(mine["user_agent"]) == 200 and mine["user_agent"].isprintable()
    assert abs(mine["created_at"] - time.time() * 1000) < 60_000
    assert north.partition(".")[2] not in (await by(api, all_, path=ALL)).body.decode()


async def test_pages_of_the_list_follow_each_other(api: Api) -> None:
    values = [await sign_in(api, api.token("admin")) for _ in range(3)]
    first = (await by(api, values[0], path=f"{ALL}?limit=2")).json
    second = (await by(api, values[0], path=f"{ALL}?limit=2&cursor={first['next_cursor']}")).json
    ids = [one["session_id"] for one in (*first["sessions"], *second["sessions"])]
    assert sorted(ids) == sorted(value.partition(".")[0] for value in values)
    assert second["next_cursor"] is None
    assert (await by(api, values[0], path=f"{ALL}?cursor=AAAA")).code == "invalid"


async def test_a_session_of_somebody_else_is_like_none(api: Api) -> None:
    admin = await sign_in(api, api.token("admin"))
    mine = await sign_in(api, api.token("dispatcher"))
    foreign = await sign_in(api, api.token("admin", tenant="t2"))

    async def end(value: str, victim: str) -> Reply:
        return await by(api, value, "DELETE", f"{ALL}/{victim.partition('.')[0]}", headers=OURS)

    nobody = await end(admin, secrets.token_urlsafe(16))
    assert nobody.code == "not_found"
    assert (await end(admin, foreign)).body == nobody.body, "another tenant's"
    assert (await end(mine, admin)).body == nobody.body, "a colleague's"
    for value in (admin, foreign, mine):
        assert (await by(api, value)).status == 200
    assert (await end(admin, mine)).status == 200
    assert (await by(api, mine)).code == "unauthenticated"
    driver = api.token("driver", ["north"], driver="d1")
    reply = await api.call("DELETE", f"{ALL}/{admin.partition('.')[0]}", driver)
    assert reply.body == nobody.body


async def test_an_admin_of_a_vendor_ends_the_sessions_of_that_vendor_alone(api: Api) -> None:
    north, south, whole = [
        await sign_in(api, api.token("dispatcher", vendors)) for vendors in (["north"], ["south"], None)
    ]
    by_north = await sign_in(api, api.token("service", ["north"]))

    async def end(victim: str) -> Reply:
        return await by(api, by_north, "DELETE", f"{ALL}/{victim.partition('.')[0]}", headers=OURS)

    assert (await end(south)).code == (await end(whole)).code == "not_found"
    assert (await end(north)).status == 200
    assert [(await by(api, one)).status for one in (north, south, whole)] == [401, 200, 200]
