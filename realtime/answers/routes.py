"""Puts the page onto an application: ``/a`` and its files are read, ``/answers/view`` and ``/answers/act``
take the token in a POST. No GET or HEAD changes anything: previews and scanners open every link.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from realtime.answers.desk import AnswerDesk, Shown
from realtime.protocol import HTTP_STATUS, Code, Refused

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.Response]]
Work = Callable[[bytes], Awaitable[Shown]]

STATIC: Final = Path(__file__).parent / "static"
MAX_BODY_BYTES: Final = 16 * 1024
BODY_TIMEOUT_S: Final = 10.0
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
}
_FILES: Final = {
    "/a": ("page.html", "text/html"),
    "/answers/page.js": ("page.js", "text/javascript"),
    "/answers/page.css": ("page.css", "text/css"),
}


class Seen(Struct):
    """``/answers/view``."""

    token: str


class Act(Struct):
    """``/answers/act``."""

    token: str
    act: str
    text: str = ""


def add_answers(app: web.Application, desk: AnswerDesk) -> None:
    """Adds the page and what its script posts to."""
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file((STATIC / name).read_bytes(), kind))

    async def view(request: web.Request) -> web.Response:
        return await _answered(request, lambda raw: desk.view(_decoded(raw, Seen).token))

    async def act(request: web.Request) -> web.Response:
        async def done(raw: bytes) -> Shown:
            asked = _decoded(raw, Act)
            return await desk.act(asked.token, asked.act, asked.text)

        return await _answered(request, done)

    app.router.add_post("/answers/view", view)
    app.router.add_post("/answers/act", act)


def _file(body: bytes, kind: str) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return serve


async def _answered(request: web.Request, work: Work) -> web.Response:
    try:
        raw = await _body(request)
        body, status = msgspec.json.encode(await work(raw)), 200
    except Refused as refusal:
        body, status = msgspec.json.encode(refusal.as_answer()), HTTP_STATUS[refusal.code]
    except Exception as error:  # its own text may quote what must not be logged
        log.error("an answer failed: %s", type(error).__name__)
        ours = Refused(Code.INTERNAL, "request failed", retry_after_s=2)
        body, status = msgspec.json.encode(ours.as_answer()), 500
    return web.Response(body=body, status=status, content_type="application/json", headers=HEADERS)


async def _body(request: web.Request) -> bytes:
    if request.content_type != "application/json":  # what another site's form can send without asking
        raise Refused(Code.INVALID, "the body is not json")
    raw = await asyncio.wait_for(request.content.read(MAX_BODY_BYTES + 1), BODY_TIMEOUT_S)
    while len(raw) <= MAX_BODY_BYTES and not request.content.at_eof():
        raw += await asyncio.wait_for(request.content.read(MAX_BODY_BYTES + 1), BODY_TIMEOUT_S)
    if len(raw) > MAX_BODY_BYTES:
        raise Refused(Code.TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return raw


def _decoded(raw: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, "the body is not what is asked for") from error
