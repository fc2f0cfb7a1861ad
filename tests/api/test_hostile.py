"""Whatever comes in over HTTP: a coded error, nothing changed, the process alive, and never a traceback."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from realtime.api.framework.limits import RequestLimits
from realtime.protocol import Code
from tests.api.harness import SHARE_TOKEN, Api, Bounds, refused, running
from tests.engines_fixtures import TEMPLATE, database

JOURNEY = "/api/v1/journeys/0199d2c8-0000-7000-8000-000000000001"
SHARES = f"{JOURNEY}/shares"
DEEP = b"[" * 100_000


@pytest.fixture(scope="module")
async def hostile(postgres_server: Any) -> AsyncIterator[Api]:
    """One API for all the cases: none of them may hurt the next."""
    with database(postgres_server, "hostile", TEMPLATE) as url:
        async with running(url, max_frame_bytes=4_096) as one:
            yield one


BAD_REQUESTS: list[tuple[str, str, str, dict[str, Any], int, str]] = [
    ("unknown route", "GET", "/api/v1/nonsense", {}, 404, "not_found"),
    ("unknown version", "GET", "/api/v2/journeys", {}, 404, "not_found"),
    ("two trailing slashes", "GET", "/api/v1/journeys//", {}, 404, "not_found"),
    ("bare api", "GET", "/api", {}, 404, "not_found"),
    ("dots", "GET", "/api/v1/vendors/../positions", {}, 400, "invalid"),
    ("wrong method", "PUT", "/api/v1/journeys", {}, 405, "unknown_event"),
    ("head", "DELETE", "/healthz", {}, 405, "unknown_event"),
    ("invented method", "PROPFIND", "/api/v1/journeys", {}, 405, "unknown_event"),
    ("vendor with a slash", "GET", "/api/v1/vendors/a%2Fb/positions", {}, 400, "invalid"),
    ("vendor with a NUL", "GET", "/api/v1/vendors/a%00b/positions", {}, 400, "invalid"),
    ("vendor with a newline", "GET", "/api/v1/vendors/north%0A/positions", {}, 400, "invalid"),
    ("vendor of dots", "GET", "/api/v1/vendors/..%2E/positions", {}, 400, "invalid"),
    ("vendor not ascii", "GET", "/api/v1/vendors/n%C3%B6rd/positions", {}, 400, "invalid"),
    ("vendor not utf-8", "GET", "/api/v1/vendors/%ff%fe/positions", {}, 400, "invalid"),
    ("vendor of 65", "GET", f"/api/v1/vendors/{'x' * 65}/positions", {}, 400, "invalid"),
    ("vendor of 10,000", "GET", f"/api/v1/vendors/{'x' * 10_000}/positions", {}, 400, "invalid"),
    ("journey id", "GET", "/api/v1/journeys/7", {}, 400, "invalid"),
    ("journey id of 10,000", "GET", f"/api/v1/journeys/{'0' * 10_000}", {}, 400, "invalid"),
    ("share id with a quote", "DELETE", "/api/v1/shares/a'or'1", {}, 400, "invalid"),
    ("share id of 10,000", "DELETE", f"/api/v1/shares/{'s' * 10_000}", {}, 400, "invalid"),
    ("limit 0", "GET", "/api/v1/journeys?limit=0", {}, 400, "invalid"),
    ("limit a word", "GET", "/api/v1/journeys?limit=many", {}, 400, "invalid"),
    ("limit 2^63", "GET", f"/api/v1/journeys?limit={2**63}", {}, 400, "invalid"),
    ("limit NaN", "GET", "/api/v1/journeys?limit=NaN", {}, 400, "invalid"),
    ("limit twice", "GET", "/api/v1/journeys?limit=1&limit=2", {}, 400, "invalid"),
    ("from before 1970", "GET", "/api/v1/journeys?from=-1", {}, 400, "invalid"),
    ("from in year 10000", "GET", "/api/v1/journeys?from=253402300800000", {}, 400, "invalid"),
    ("driver with a NUL", "GET", "/api/v1/journeys?driver=a%00", {}, 400, "invalid"),
    ("since -1", "GET", f"{JOURNEY}/points?since_seq=-1", {}, 400, "invalid"),
    ("since 2^31", "GET", f"{JOURNEY}/points?since_seq=2147483648", {}, 400, "invalid"),
    ("limit of points", "GET", f"{JOURNEY}/points?limit=5001", {}, 400, "invalid"),
    ("format", "GET", f"{JOURNEY}/points?format=kml", {}, 400, "invalid"),
    ("unknown parameter", "GET", "/api/v1/journeys?vender=north", {}, 400, "invalid"),
    ("cursor", "GET", "/api/v1/journeys?cursor=%27%3B--", {}, 400, "invalid"),
    ("cursor of another list", "GET", "/api/v1/journeys?cursor=ZHJpdmVyOmQx", {}, 400, "invalid"),
    ("cursor no uuid", "GET", "/api/v1/journeys?cursor=am91cm5leTox", {}, 400, "invalid"),
    ("cursor of 10,000", "GET", f"/api/v1/journeys?cursor={'A' * 10_000}", {}, 400, "invalid"),
    ("no body", "POST", SHARES, {}, 400, "malformed"),
    ("half a body", "POST", SHARES, {"data": b'{"scope":'}, 400, "malformed"),
    ("not json", "POST", SHARES, {"data": b"scope=live"}, 400, "malformed"),
    ("not utf-8", "POST", SHARES, {"data": b'{"scope": "\xff"}'}, 400, "malformed"),
    ("an array", "POST", SHARES, {"data": b"[1]"}, 400, "invalid"),
    ("a null", "POST", SHARES, {"data": b"null"}, 400, "invalid"),
    ("NaN", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":NaN}'}, 400, "malformed"),
    ("Infinity", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":1e999}'}, 400, "invalid"),
    ("deep arrays", "POST", SHARES, {"data": b'{"scope":' + DEEP[:4_000]}, 400, "invalid"),
    ("deep unknown", "POST", SHARES, {"data": b'{"zz":' + DEEP[:4_000]}, 400, "invalid"),
    ("a word for a number", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":"7"}'}, 400, "invalid"),
    ("a fraction", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":1.5}'}, 400, "invalid"),
    ("no time", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":0}'}, 400, "invalid"),
    ("for ever", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":9e18}'}, 400, "invalid"),
    (
        "2^63 seconds",
        "POST",
        SHARES,
        {"data": b'{"scope":"live","expires_in_s":9223372036854775808}'},
        400,
        "invalid",
    ),
    ("scope", "POST", SHARES, {"data": b'{"scope":"all","expires_in_s":9}'}, 400, "invalid"),
    ("unknown field", "POST", SHARES, {"data": b'{"scope":"live","expires_in_s":9,"a":1}'}, 400, "invalid"),
    ("missing field", "POST", SHARES, {"data": b'{"scope":"live"}'}, 400, "invalid"),
    ("large body", "POST", SHARES, {"data": b" " * 4_097}, 413, "too_large"),
    (
        "gzip that is none",
        "POST",
        SHARES,
        {"data": b"not gzip", "headers": {"Content-Encoding": "gzip"}},
        400,
        "malformed",
    ),
    (
        "gzip bomb",
        "POST",
        SHARES,
        {"data": gzip.compress(bytes(3_000_000)), "headers": {"Content-Encoding": "gzip"}},
        413,
        "too_large",
    ),
    ("no token", "GET", JOURNEY, {"token": None}, 401, "unauthenticated"),
    (
        "basic",
        "GET",
        JOURNEY,
        {"token": None, "headers": {"Authorization": "Basic eDp5"}},
        401,
        "unauthenticated",
    ),
    (
        "bearer of nothing",
        "GET",
        JOURNEY,
        {"token": None, "headers": {"Authorization": "Bearer "}},
        401,
        "unauthenticated",
    ),
    ("not a token", "GET", JOURNEY, {"token": "a.b.c"}, 401, "unauthenticated"),
    ("alg none", "GET", JOURNEY, {"token": "eyJhbGciOiJub25lIn0.e30."}, 401, "unauthenticated"),
    ("token of 10,000", "GET", JOURNEY, {"token": "x" * 10_000}, 401, "unauthenticated"),
    ("token in the query", "GET", f"{JOURNEY}?token=abc", {}, 401, "unauthenticated"),
    ("access_token in the query", "GET", "/api/v1/journeys?Access_Token=abc", {}, 401, "unauthenticated"),
    ("a share", "GET", JOURNEY, {"token": SHARE_TOKEN}, 403, "forbidden"),
    ("a share posting", "POST", SHARES, {"token": SHARE_TOKEN, "json": {}}, 403, "forbidden"),
]


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "code"),
    [case[1:] for case in BAD_REQUESTS],
    ids=[case[0] for case in BAD_REQUESTS],
)
async def test_a_bad_request_gets_a_code_and_changes_nothing(
    hostile: Api, method: str, path: str, more: dict[str, Any], status: int, code: str
) -> None:
    reply = await hostile.call(method, path, **dict(more))
    assert (reply.status, reply.code) == (status, code)
    message = reply.json["error"]["message"]
    assert 0 < len(message) <= 160
    assert "Traceback" not in message
    assert reply.headers["Cache-Control"] == "no-store"
    assert ("WWW-Authenticate" in reply.headers) == (status == 401)
    assert (await hostile.get("/healthz", None)).status == 200


async def test_the_cases_are_at_least_thirty() -> None:
    assert len(BAD_REQUESTS) >= 30


async def test_bad_json_for_an_existing_journey_makes_no_share(hostile: Api) -> None:
    journey = await hostile.journey()
    path = f"/api/v1/journeys/{journey}/shares"
    for body in (b"{", b"[]", b'{"scope":"live","expires_in_s":-1}'):
        await hostile.call("POST", path, data=body)
    assert (await hostile.get(path)).json["shares"] == []


async def test_expired_and_foreign_tokens_are_told_apart(hostile: Api) -> None:
    expired = await hostile.get(JOURNEY, hostile.token(ttl_s=-60))
    assert (expired.status, expired.code) == (401, "token_expired")
    header, claims, _ = hostile.token().split(".")
    forged = await hostile.get(JOURNEY, f"{header}.{claims}.{'A' * 43}")
    assert (forged.status, forged.code) == (401, "unauthenticated")


async def test_an_error_echoes_nothing_the_caller_sent(hostile: Api) -> None:
    journey = await hostile.journey()
    path = f"/api/v1/journeys/{journey}"
    for reply in (
        await hostile.get(f"{path}/points?format=evil"),
        await hostile.get("/api/v1/journeys?evil=1"),
        await hostile.get("/api/v1/journeys?limit=evil"),
        await hostile.get("/api/v1/vendors/evil%0A/positions"),
        await hostile.get("/api/v1/journeys/evil"),
        await hostile.get("/api/v1/evil"),
        await hostile.call("POST", f"{path}/shares", data=b'{"scope":"evil","expires_in_s":1}'),
        await hostile.call("POST", f"{path}/shares", data=b'{"evil":1}'),
        await hostile.call("POST", f"{path}/shares", data=b'{"scope":{"evil":1}}'),
        await hostile.call("POST", f"{path}/shares", data=b"evil"),
    ):
        assert reply.status in (400, 404)
        assert b"evil" not in reply.body


async def test_two_authorization_headers_are_one_too_many(hostile: Api) -> None:
    bearer = f"Bearer {hostile.token()}"
    headers = [("Authorization", bearer), ("Authorization", bearer)]
    async with hostile.session.get(hostile.url + JOURNEY, headers=headers) as response:
        assert response.status == 401


@pytest.mark.parametrize("bounds", [Bounds(RequestLimits(body_timeout_s=0.05))], ids=["impatient"])
async def test_a_body_that_comes_too_slowly_is_refused(api: Api) -> None:
    go_on = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"{"
        await go_on.wait()

    reply = await api.call("POST", SHARES, data=slowly())
    go_on.set()
    assert (reply.status, reply.code) == (408, "stalled")


@pytest.mark.parametrize("bounds", [Bounds(RequestLimits(request_timeout_s=0.05))], ids=["impatient"])
async def test_a_request_that_takes_too_long_is_unavailable(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def never(*args: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(api.fakes, "of_vendor", never)
    reply = await api.get("/api/v1/vendors/north/positions")
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (503, "unavailable", "1")


async def test_an_unexpected_error_is_logged_under_an_id_without_its_text(
    hostile: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = RuntimeError("lat 53.4, secret hunter2")
    monkeypatch.setitem(hostile.fakes.failures, "of_vendor", secret)
    with caplog.at_level(logging.ERROR):
        reply = await hostile.get("/api/v1/vendors/north/positions")
    assert (reply.status, reply.code) == (500, "internal")
    incident = reply.json["error"]["incident"]
    assert incident in caplog.text
    assert "RuntimeError" in caplog.text
    for hidden in ("hunter2", "53.4", "north"):
        assert hidden not in caplog.text
        assert hidden.encode() not in reply.body


@pytest.mark.parametrize("code", [code for code in Code if code is not Code.INTERNAL])
async def test_every_code_a_port_may_refuse_with_reaches_the_client(
    hostile: Api, code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hostile.fakes.failures, "authenticate", refused(code, retry_after_s=2.1))
    reply = await hostile.get("/api/v1/vendors/north/positions")
    assert reply.code == code
    assert 400 <= reply.status < 600
    assert reply.headers["Retry-After"] == "3"
    assert reply.json["error"]["retry_after_s"] == 2.1


async def test_a_limit_is_asked_for_each_operation_by_its_name(api: Api) -> None:
    await api.get("/api/v1/journeys")
    await api.get(f"/api/v1/journeys/{uuid4()}")
    assert api.fakes.limited == [("dispatcher@t1", "list_journeys"), ("dispatcher@t1", "get_journey")]
    api.fakes.failures["check"] = refused(Code.RATE_LIMITED, retry_after_s=0.2)
    reply = await api.get("/api/v1/journeys")
    assert (reply.status, reply.code, reply.headers["Retry-After"]) == (429, "rate_limited", "1")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hunter2" + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hunter2\x01\r\n\r\n",
        b"GET /healthz?hunter2=" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"hunter2\r\n\r\n",
    ],
    ids=["long header", "control character", "long line", "not http"],
)
async def test_what_is_not_http_is_refused_and_not_quoted_in_the_log(
    hostile: Api, caplog: pytest.LogCaptureFixture, request_: bytes
) -> None:
    port = hostile.url.rpartition(":")[2]
    with caplog.at_level(logging.DEBUG):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(request_)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.0 400 ")
    assert "request cannot be read" in caplog.text
    assert "hunter2" not in caplog.text
    assert (await hostile.get("/healthz", None)).status == 200
