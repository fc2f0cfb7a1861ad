"""Puts the page onto an application: ``/a`` and its files are read, ``/answers/view`` and ``/answers/act``
take the token in a POST. No GET or HEAD changes anything: previews and scanners open every link.

The page is served at every address that begins with ``/a`` and goes on with a character that no token has
(`realtime.pages.routes.at`). It is small and whole by itself, made once for each language that a browser
may wish. The map is an addition of its script (`pages/web/src/contact/answer.ts`) that the page does not wait
for: without it, late or failed, everything else works.
"""

import html
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Struct

from realtime.answers.desk import AnswerDesk, Shown
from realtime.answers.language import wished
from realtime.answers.words import BEFORE, TEXTS
from realtime.http.bodies import BODY_TIMEOUT_S, CLIENT_CLOSED_REQUEST, ClientGone, read_body
from realtime.pages.routes import at, content_security_policy, origin_of
from realtime.pages.wrong import EMERGENCY
from realtime.protocol import HTTP_STATUS, Code, Refused
from realtime.settings import Settings

log = logging.getLogger(__name__)

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.Response]]
Work = Callable[[bytes], Awaitable[Shown]]

STATIC: Final = Path(__file__).parent / "static"
MAX_BODY_BYTES: Final = 16 * 1024
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}
_FILES: Final = {
    "/answers/page.js": ("page.js", "text/javascript"),
    "/answers/page.css": ("page.css", "text/css"),
}
_SLOT: Final = re.compile(r"\{(\w+)\}")


class AnswerPageView(Struct):
    """``/answers/view``."""

    token: str


class Act(Struct):
    """``/answers/act``."""

    token: str
    act: str
    text: str = ""
    eta_s: int | None = None


def add_answers(
    app: web.Application,
    desk: AnswerDesk,
    settings: Settings | None = None,
    *,
    body_timeout_s: float = BODY_TIMEOUT_S,
) -> None:
    """Adds the page and what its script posts to. A body has ``body_timeout_s`` to come. ``settings``: what
    the page's map may load; default: nothing of other origins.
    """
    settings = settings or Settings()
    headers, public = _headers(settings), _map_origin(settings)
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _file((STATIC / name).read_bytes(), kind, headers))
    pages = {language: _page(language, public) for language in TEXTS}
    page_headers = {**headers, "Vary": "Accept-Language"}

    async def page(request: web.Request) -> web.Response:
        body = pages[wished(request.headers.get("Accept-Language", ""), pages)]
        return web.Response(body=body, content_type="text/html", charset="utf-8", headers=page_headers)

    async def view(request: web.Request) -> web.Response:
        return await _answered(
            request, lambda raw: desk.view(_decoded(raw, AnswerPageView).token), body_timeout_s
        )

    async def act(request: web.Request) -> web.Response:
        async def done(raw: bytes) -> Shown:
            asked = _decoded(raw, Act)
            return await desk.act(asked.token, asked.act, asked.text, asked.eta_s)

        return await _answered(request, done, body_timeout_s)

    app.router.add_get(at("a"), page)
    app.router.add_post("/answers/view", view)
    app.router.add_post("/answers/act", act)


def _map_origin(settings: Settings) -> str:
    """Where the page's map is, when that is not where the page is: links begin with SAFETY_URL, where there
    is nothing but what an SOS needs.
    """
    safety, public = (origin_of(url) for url in (settings.safety_url, settings.public_url))
    return public if safety and safety != public else ""


def _headers(settings: Settings) -> dict[str, str]:
    policy = content_security_policy(settings)
    if not (public := _map_origin(settings)):
        return {**HEADERS, "X-Frame-Options": "DENY", "Content-Security-Policy": policy}
    # The page at SAFETY_URL shows that at PUBLIC_URL in a frame, of which only the map is seen.
    framed = policy.replace("frame-ancestors 'none'", f"frame-ancestors {origin_of(settings.safety_url)}")
    return {**HEADERS, "Content-Security-Policy": f"{framed}; frame-src {public}"}


def _page(language: str, public: str) -> bytes:
    """The page in one language: ``{name}`` in the file is a text of `BEFORE`."""
    said = {name: html.escape(TEXTS[language][name]).replace("{number}", EMERGENCY) for name in BEFORE}
    said |= {"language": language, "public": html.escape(public)}
    template = (STATIC / "page.html").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: said[slot[1]], template).encode()


def _file(body: bytes, kind: str, headers: dict[str, str]) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=headers)

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
