"""A receiver of webhooks and of heartbeats: checks every signature, keeps what came."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from alerts.notifiers.webhook import DELIVERY_HEADER, SIGNATURE_HEADER, is_signed
from realtime.outside.web import StandIn

KEPT: Final = 1_000


class Hook(msgspec.Struct, frozen=True):
    """One webhook that was taken. ``signed``: whether its signature was right."""

    name: str
    delivery: str
    signed: bool
    body: dict[str, Any]


def _wall_s() -> int:
    return int(time.time())


class Sink(StandIn):
    """``POST /hooks/{name}`` is a webhook, ``/beat`` a heartbeat, ``/away`` sends elsewhere.

    ``secret_of`` gives the secret of a hook's name; what is signed wrongly is answered 401, and kept as such.
    """

    def __init__(
        self,
        secret_of: Callable[[str], str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        now_s: Callable[[], int] = _wall_s,
    ) -> None:
        super().__init__(host, port)
        self._secret_of = secret_of
        self._now_s = now_s
        self.hooks: deque[Hook] = deque(maxlen=KEPT)
        self.beats = 0
        self.elsewhere = ""
        self.app.router.add_post("/hooks/{name}", self._hook)
        self.app.router.add_route("*", "/beat", self._beat)
        self.app.router.add_post("/away", self._away)

    def hook_url(self, name: str) -> str:
        """Where the webhook called ``name`` goes."""
        return f"{self.url}/hooks/{name}"

    async def _hook(self, request: web.Request) -> web.Response:
        body, name = await request.read(), request.match_info["name"]
        header = request.headers.get(SIGNATURE_HEADER, "")
        signed = is_signed(self._secret_of(name), body, header, self._now_s())
        try:
            content = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return web.json_response({"error": "not json"}, status=400)
        self.hooks.append(Hook(name, request.headers.get(DELIVERY_HEADER, ""), signed, content))
        return web.json_response({"ok": signed}, status=200 if signed else 401)

    async def _beat(self, request: web.Request) -> web.Response:
        self.beats += 1
        return web.json_response({"ok": True})

    async def _away(self, request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": self.elsewhere})
