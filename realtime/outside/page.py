"""What a person sees and does at the stand-ins: the list, the answers, the faults; on this machine alone.

``GET /`` is the page, ``GET /_sent`` the list, ``PUT /_control`` tells a provider how to be, ``POST /_reply``
writes back to a text message, ``POST /_press`` presses a key in a call, ``POST /_hang_up`` ends one.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from realtime.outside.sent import MOST, SentItem, SentReply, Talks, sent
from realtime.outside.servers import Mode, Provider, Servers
from realtime.outside.twilio_words import Sent
from realtime.urls import is_loopback

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

STATIC: Final = Path(__file__).parent / "static"
BODY_BYTES: Final = 16 * 1024
UNANSWERED: Final = "(nothing is said back)"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Control(Struct, forbid_unknown_fields=True):
    """``PUT /_control``."""

    provider: Provider
    mode: Mode


class Reply(Struct, forbid_unknown_fields=True):
    """``POST /_reply``: by whoever got the text message ``id``."""

    id: str
    text: Annotated[str, Meta(min_length=1, max_length=1_600)]


class PressRequest(Struct, forbid_unknown_fields=True):
    """``POST /_press``: by whoever is called by ``id``."""

    id: str
    digits: Annotated[str, Meta(pattern=r"^[0-9*#]{1,10}$(?!\n)")]


class HangUp(Struct, forbid_unknown_fields=True):
    """``POST /_hang_up``."""

    id: str


class Listed(Struct):
    """``GET /_sent``."""

    sent: list[SentItem]
    providers: dict[Provider, Mode]


class SandboxPage:
    """The page and its calls for one set of servers."""

    def __init__(self, servers: Servers) -> None:
        self._servers: Final = servers
        self._talks: Final = Talks()
        self._busy: Final = set[str]()
        self.app: Final = web.Application(middlewares=[_guard], client_max_size=BODY_BYTES)
        for path, (name, kind) in _FILES.items():
            self.app.router.add_get(path, _file((STATIC / name).read_bytes(), kind))
        self.app.router.add_get("/readyz", _ready)
        self.app.router.add_get("/_sent", self._sent)
        self.app.router.add_get("/_control", self._modes)
        self.app.router.add_put("/_control", self._control)
        self.app.router.add_post("/_reply", self._reply)
        self.app.router.add_post("/_press", self._press)
        self.app.router.add_post("/_hang_up", self._hang_up)

    async def _sent(self, request: web.Request) -> web.Response:
        asked = request.query.get("limit", str(MOST))
        if not asked.isascii() or not asked.isdigit() or not 1 <= len(asked) <= 6:
            return _refused(400, "limit is not a number")
        return _json(Listed(sent(self._servers, self._talks, int(asked)), self._servers.modes))

    async def _modes(self, request: web.Request) -> web.Response:
        return _json(self._servers.modes)

    async def _control(self, request: web.Request) -> web.Response:
        asked = await _body(request, Control)
        self._servers.set_mode(asked.provider, asked.mode)
        return _json(self._servers.modes)

    async def _reply(self, request: web.Request) -> web.Response:
        asked = await _body(request, Reply)
        message = self._servers.twilio.find(asked.id)
        if message is None or message.is_call:
            return _refused(404, "no such message")
        words = await _heard(self._servers.twilio.reply(message.to, asked.text))
        return self._told(message, asked.text, words)

    async def _press(self, request: web.Request) -> web.Response:
        asked = await _body(request, PressRequest)
        call = self._ringing(asked.id)
        self._busy.add(call.sid)
        try:
            words = await _heard(self._servers.twilio.press(call, asked.digits))
        finally:
            self._busy.discard(call.sid)
        return self._told(call, asked.digits, words)

    async def _hang_up(self, request: web.Request) -> web.Response:
        asked = await _body(request, HangUp)
        await self._servers.twilio.hang_up(self._ringing(asked.id))
        return _json({"ok": True})

    def _ringing(self, sid: str) -> Sent:
        """A call that can still be taken, once."""
        call = self._servers.twilio.find(sid)
        if call is None or not call.is_call:
            raise _Refused(404, "no such call")
        if call.status not in ("initiated", "ringing") or sid in self._busy:
            raise _Refused(409, "the call is over")
        return call

    def _told(self, one: Sent, text: str, words: list[str]) -> web.Response:
        answer = [SentReply("wayguard", word) for word in words or [UNANSWERED]]
        self._talks.add(one.sid, SentReply("person", text), *answer)
        return _json({"ok": True, "answer": words})


async def _heard(answer: Awaitable[list[str]]) -> list[str]:
    """What is said back; nothing when that is no TwiML, such as an error."""
    try:
        return await answer
    except ValueError:
        return []


class _Refused(Exception):
    """``args``: a status and a short fact."""


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only this machine's own pages: a name that somebody else points here, or another site, is refused."""
    here = f"http://{request.host}"
    if not is_loopback(here):
        return _refused(403, "not by this name")
    if request.method not in ("GET", "HEAD"):
        if request.content_type != "application/json":  # what another site can send without asking first
            return _refused(415, "the body is not json")
        if urlsplit(request.headers.get("Origin", here)).netloc != request.host:
            return _refused(403, "not from there")
    try:
        return await handler(request)
    except _Refused as refusal:
        return _refused(*refusal.args)


async def _body(request: web.Request, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=shape)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _Refused(400, "the body is not what is asked for") from None


def _file(body: bytes, kind: str) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return serve


async def _ready(request: web.Request) -> web.Response:
    return _json({"ok": True})


def _json(content: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(content), content_type="application/json", headers=HEADERS)


def _refused(status: int, message: str) -> web.Response:
    body = msgspec.json.encode({"error": message})
    return web.Response(body=body, status=status, content_type="application/json", headers=HEADERS)
