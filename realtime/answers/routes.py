"""Puts the page onto an application: ``/a`` and its files are read, ``/answers/view`` and ``/answers/act``
take the token in a POST. No GET or HEAD changes anything: previews and scanners open every link.
"""

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from realtime.answers.desk import AnswerDesk, Shown
from realtime.bodies import BODY_TIMEOUT_S, CLIENT_CLOSED_REQUEST, ClientGone, read_body
from realtime.protocol import HTTP_STATUS, Code, Refused

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.Response]]
Work = Callable[[bytes], Awaitable[Shown]]

STATIC: Final = Path(__file__).parent / "static"
MAX_BODY_BYTES: Final = 16 * 1024
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


def add_answers(app: web.Application, desk: AnswerDesk, *, body_timeout_s: float = BODY_TIMEOUT_S) -> None:
    """Adds the page and what its script posts to. A body has ``body_timeout_s`` to come."""
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file((STATIC / name).read_bytes(), kind))

    async def view(request: web.Request) -> web.Response:
        return await _answered(request, lambda raw: desk.view(_decoded(raw, Seen).token), body_timeout_s)

    async def act(request: web.Request) -> web.Response:
        async def done(raw: bytes) -> Shown:
            asked = _decoded(raw, Act)
            return await desk.act(asked.token, asked.act, asked.text)

        return await _answered(request, done, body_timeout_s)

    app.router.add_post("/answers/view", view)
    app.router.add_post("/answers/act", act)


def _file(body: bytes, kind: str) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return serve


async def _answered(request: web.Request, work: Work, body_timeout_s: float) -> web.Response:
    try:
        raw = await _body(request, body_timeout_s)
        body, status = msgspec.json.encode(await work(raw)), 200
    except ClientGone as gone:
        body, status = msgspec.json.encode(gone.as_answer()), CLIENT_CLOSED_REQUEST
    except Refused as refusal:
        body, status = msgspec.json.encode(refusal.as_answer()), HTTP_STATUS[refusal.code]
    except Exception as error:  # its own text may quote what must not be logged
        log.error("an answer failed: %s", type(error).__name__)
        ours = Refused(Code.INTERNAL, "request failed", retry_after_s=2)
        body, status = msgspec.json.encode(ours.as_answer()), 500
    return web.Response(body=body, status=status, content_type="application/json", headers=HEADERS)


async def _body(request: web.Request, timeout_s: float) -> bytes:
    if request.content_type != "application/json":  # what another site's form can send without asking
        raise Refused(Code.INVALID, "the body is not json")
    return await read_body(request, MAX_BODY_BYTES, timeout_s=timeout_s)


def _decoded(raw: bytes, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Refused(Code.INVALID, "the body is not what is asked for") from error
