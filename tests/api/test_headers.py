"""What every response says of the server: no software, no version; and https for ever, where that is used."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web, web_response, web_server

from realtime.api.framework.ports import Condition
from realtime.api.routes import HSTS, add_worker_api, require_https
from realtime.pages.routes import add_pages
from realtime.settings import Settings
from tests.api.harness import served
from tests.api.test_about import desk

BANNER = ("python", "aiohttp", "engineio", "socketio", "bytearray", "b'", "/3.")


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """What a worker answers, and pages."""
    app = web.Application()
    add_worker_api(app, desk(), lambda: Condition({"postgres": False}))
    add_pages(app, Settings(), tmp_path)
    async with served(app) as url:
        yield int(url.rpartition(":")[2])


async def answer_to(port: int, request: bytes) -> str:
    """Everything that comes back, in lower case."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return (await reader.read(-1)).decode().lower()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /healthz HTTP/1.1", 200),
        (b"GET /readyz HTTP/1.1", 503),
        (b"POST /api/v1/sos HTTP/1.1", 401),
        (b"GET /nothing HTTP/1.1", 404),
        (b"GET /pages/nothing HTTP/1.1", 404),
        (b"GET /console HTTP/1.1", 503),
        (b"DELETE /healthz HTTP/1.1", 405),
        (b"B(EW /healthz HTTP/1.1", 400),
        (b"GET /healthz HTTP/9", 400),
        (b"nonsense", 400),
        (b"GET /" + b"x" * 40_000 + b" HTTP/1.1", 400),
    ],
)
async def test_no_response_names_software_or_a_version(port: int, request_line: bytes, status: int) -> None:
    answer = await answer_to(port, request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith((f"http/1.1 {status} ", f"http/1.0 {status} "))
    head = answer.partition("\r\n\r\n")[0]
    assert "server: wayguard\r\n" in head + "\r\n"
    assert [word for word in BANNER if word in answer.replace("http/1.", "")] == []


def test_aiohttp_takes_its_banner_and_its_protocol_from_where_they_are_replaced(port: int) -> None:
    assert web_response.SERVER_SOFTWARE == "wayguard"
    assert "RequestHandler" in web_server.Server.__call__.__code__.co_names
    assert "SERVER_SOFTWARE" in web_response.StreamResponse._prepare_headers.__code__.co_names


@pytest.mark.parametrize(
    ("public_url", "expected"), [("https://track.example", HSTS), ("http://127.0.0.1:8000", None)]
)
async def test_https_is_required_from_then_on_where_the_public_url_is_https(
    public_url: str, expected: str | None
) -> None:
    app = web.Application()
    add_worker_api(app, desk(), lambda: Condition({}))
    require_https(app, public_url)
    async with served(app) as url, aiohttp.ClientSession() as session:
        for path in ("/healthz", "/nothing", "/api/v1/nothing"):
            async with session.get(url + path) as answer:
                assert answer.headers.get("Strict-Transport-Security") == expected
