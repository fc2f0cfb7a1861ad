"""A body that a client does not send as it should: its own fault, said in one line, wherever it is read."""

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web

from realtime.answers.routes import add_answers
from realtime.api.framework import errors
from realtime.api.routes import SERVER_LIMITS
from realtime.hooks.routes import add_hooks
from realtime.http.bodies import read_body, read_what_comes
from realtime.metrics import registry
from realtime.protocol import Code, Refused
from realtime.settings import Settings

DEADLINE_S = 0.2
TWILIO = {"twilio_account_sid": "AC1", "twilio_auth_token": "x", "twilio_from": "+15005550006"}
API, VIEW, ACT, HOOK, POLL = (
    "/api/v1/things",
    "/answers/view",
    "/answers/act",
    "/hooks/twilio/status/0190a000-0000-7000-8000-000000000001",
    "/socket.io/",
)
READERS = (API, VIEW, ACT, HOOK)


class NoDesk:
    """Is never asked: no body of these tests is whole."""

    view = act = None


async def thing(request: web.Request) -> web.Response:
    """An operation as `realtime.api.framework.operation` reads it."""
    try:
        return web.json_response(json.loads(await read_body(request, 1_000, timeout_s=DEADLINE_S)))
    except ValueError as error:
        raise Refused(Code.MALFORMED, "the body is not json") from error


async def closed(request: web.Request) -> web.Response:
    """An operation that refuses before it reads."""
    raise Refused(Code.UNAUTHENTICATED, "no token")


async def whatever(request: web.Request) -> web.Response:
    """An SOS as `realtime.api.alerts.sos` reads it."""
    return web.Response(body=await read_what_comes(request, 1_000, 10_000, DEADLINE_S))


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    """An application with every handler that reads a body; where it listens."""
    app = web.Application(middlewares=[errors.middleware])
    app.router.add_post(API, thing)
    app.router.add_post("/api/v1/sos", whatever)
    app.router.add_post("/api/v1/closed", closed)
    errors.hush_the_parser()
    add_answers(app, cast(Any, NoDesk()), body_timeout_s=DEADLINE_S)
    add_hooks(app, cast(Any, NoDesk()), Settings(**TWILIO), body_timeout_s=DEADLINE_S)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **SERVER_LIMITS)  # type: ignore[arg-type]
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0][1]
    await runner.cleanup()


Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def head(path: str, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers, "", "")
    return "\r\n".join(lines).encode()


async def posted(port: int, *parts: bytes, closes: bool = False, pause_s: float = 0.0) -> int:
    """Send ``parts`` with a pause after each; the status of the answer, 0 when we close before it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)
        if closes:
            return 0
        async with asyncio.timeout(20.0):
            return int((await reader.readuntil(b"\r\n")).split()[1])
    except ConnectionError:
        return -1
    finally:
        writer.close()


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    return [
        (record.levelno, record.getMessage())
        for record in caplog.records
        if record.name.startswith(("realtime", "aiohttp"))
    ]


async def one_line(caplog: pytest.LogCaptureFixture, path: str) -> str:
    """Wait for the one line that is logged, at INFO, without a traceback."""
    async with asyncio.timeout(20.0):
        while not lines(caplog):
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # anything more would have come by now
    ((level, text),) = lines(caplog)
    assert level == logging.INFO
    assert "\n" not in text
    assert path.rpartition("/")[0] in text.replace("{attempt_id}", "")
    return text


@pytest.mark.parametrize("path", READERS)
async def test_a_client_that_disconnects_in_a_body_is_one_line_and_no_error(
    port: int, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await posted(port, head(path, "Content-Length: 100") + b'{"token', closes=True)
    assert "disconnected" in await one_line(caplog, path)


async def test_a_client_that_disconnects_is_counted_as_499(port: int) -> None:
    def counted() -> float:
        labels = {"method": "POST", "route": API, "status": "499"}
        return registry.REGISTRY.get_sample_value("wayguard_http_requests_total", labels) or 0.0

    before = counted()
    await posted(port, head(API, "Content-Length: 100") + b"{", closes=True)
    async with asyncio.timeout(20.0):
        while counted() == before:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", READERS)
async def test_one_byte_now_and_then_gains_no_time(
    port: int, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused although the whole body comes in the end, with no pause as long as the deadline."""
    caplog.set_level(logging.INFO)
    drips = [head(path, "Content-Length: 6"), *[b"x"] * 6]
    assert await posted(port, *drips, pause_s=DEADLINE_S * 0.6) in (408, -1)
    assert "too slowly" in await one_line(caplog, path)


@pytest.mark.parametrize("path", READERS)
async def test_a_body_that_stalls_is_408(port: int, path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert await posted(port, head(path, "Content-Length: 1000") + b"{") == 408
    assert "too slowly" in await one_line(caplog, path)


GZIP = "Content-Encoding: gzip"
BROKEN = {
    "no gzip": (head, (GZIP, "Content-Length: 8"), b"no gzip!"),
    "cut gzip": (head, (GZIP, "Content-Length: 12"), gzip.compress(b"{}" * 50)[:12]),
    "no deflate": (head, ("Content-Encoding: deflate", "Content-Length: 4"), b"\xff\xff\xff\xff"),
    "bad chunk": (head, ("Transfer-Encoding: chunked",), b"zz\r\nxx\r\n"),
    "bad chunk end": (head, ("Transfer-Encoding: chunked",), b"2\r\n{}xxxx\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("path", READERS)
async def test_a_body_that_cannot_be_decoded_is_refused_in_one_line(
    port: int, path: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make, headers, body = BROKEN[fault]
    # aiohttp does not tell the reader of a body of bad chunks, so that one stalls. The balancer refuses it.
    status = 408 if "chunk" in fault else 400
    assert await posted(port, make(path, *headers), body, pause_s=0.02) == status
    if fault != "cut gzip":  # decoded as far as it goes, which is no json and no form
        assert [level for level, _ in lines(caplog)] == [logging.INFO]


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_body_that_nobody_read_is_no_error_either(
    port: int, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make, headers, body = BROKEN[fault]
    assert await posted(port, make("/api/v1/closed", *headers) + body) in (400, 401)
    await asyncio.sleep(0.05)
    assert all(level == logging.INFO and "\n" not in text for level, text in lines(caplog))


async def test_an_sos_is_taken_from_whatever_came(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sos = "/api/v1/sos"
    assert await posted(port, head(sos, "Content-Length: 100") + b"{") == 200
    assert "as far as it came" in await one_line(caplog, sos)
    assert await posted(port, head(sos, GZIP, "Content-Length: 8") + b"no gzip!") == 200
    assert all(level == logging.INFO for level, _ in lines(caplog))


async def test_every_code_of_a_body_has_a_status_at_every_edge() -> None:
    from realtime.protocol import HTTP_STATUS

    for code in (Code.STALLED, Code.MALFORMED, Code.TOO_LARGE):
        assert HTTP_STATUS[code] in (400, 408, 413)
    assert Refused(Code.STALLED, "x").retryable
