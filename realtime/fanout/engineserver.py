"""The Engine.IO server: python-engineio's, with sessions that write directly and sids naming their server."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, cast

import engineio
from aiohttp import web
from engineio import exceptions, packet

from realtime.fanout.engine import EngineSocket
from realtime.fanout.websocket import DirectWebSocket

Receiver = Callable[[EngineSocket, str | bytes], Awaitable[None] | None]
"""Takes each message of a client, in order: text without its type digit, or the bytes of a binary one. What
it returns is awaited before the client's next message."""


class EngineServer(engineio.AsyncServer):
    """``engineio.AsyncServer`` with direct sockets, sids that name their server, and one background set.

    ``server_name`` begins every sid, so that a load balancer can route by it. ``buffer_limit_bytes`` is the
    soft limit of unread bytes a client. ``remote_address`` maps an aiohttp request to the client's address.
    ``receiver``, when set, takes every message instead of the ``message`` handler.
    """

    def __init__(
        self,
        *,
        server_name: str = "w1",
        buffer_limit_bytes: int = 256 * 1024,
        remote_address: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(monitor_clients=False, **kwargs)
        self.server_name = server_name
        self.buffer_limit_bytes = buffer_limit_bytes
        self.receiver: Receiver | None = None
        self._remote_address = remote_address
        self._tasks: set[asyncio.Task[Any]] = set()
        self._async: dict[str, Any] = {
            **engineio.async_drivers.aiohttp._async,
            "websocket": DirectWebSocket,
            "translate_request": self._translate,
        }
        self._stock_translate = engineio.async_drivers.aiohttp.translate_request

    def generate_id(self) -> str:
        return f"{self.server_name}.{secrets.token_urlsafe(18)}"

    def background(self, coroutine: Any) -> None:
        """Run ``coroutine`` to its end, holding a reference to it."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _translate(self, request: web.Request) -> dict[str, Any]:
        environ = cast(dict[str, Any], self._stock_translate(request))
        if self._remote_address is not None:
            environ["REMOTE_ADDR"] = self._remote_address(request)
        return environ

    async def handle_request(self, request: web.Request) -> Any:
        origin = request.headers.get("Origin")
        if origin and self.cors_allowed_origins != "*":
            allowed = self._cors_allowed_origins(self._translate(request))
            if allowed is not None and origin not in allowed:
                return self.refuse_origin(origin)
        return await super().handle_request(request)

    def refuse_origin(self, origin: str) -> web.Response:
        """The answer to a foreign web origin; may be replaced on the instance."""
        return web.json_response({"code": 3, "message": "origin is not allowed"}, status=403)

    async def _handle_connect(self, environ: dict[str, Any], transport: str, jsonp_index: Any = None) -> Any:
        sid = self.generate_id()
        session = EngineSocket(self, sid)
        self.sockets[sid] = session
        opening = packet.Packet(
            packet.OPEN,
            {
                "sid": sid,
                "upgrades": self._upgrades(sid, transport),
                "pingTimeout": round(self.ping_timeout * 1000),
                "pingInterval": round(self.ping_interval * 1000),
                "maxPayload": self.max_http_buffer_size,
            },
        )
        await session.send(opening)
        accepted = await self._trigger_event("connect", sid, environ, run_async=False)
        if accepted is not None and accepted is not True:
            del self.sockets[sid]
            return self._unauthorized(accepted or None)
        session.schedule_ping()
        if transport == "websocket":
            return await session.handle_get_request(environ)
        session.connected = True
        try:
            return self._ok(await session.poll(), jsonp_index=jsonp_index)
        except exceptions.QueueEmpty:
            return self._bad_request()
