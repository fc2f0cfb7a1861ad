"""The Engine.IO server: python-engineio's events and options, sessions and requests of our own.

The protocol: https://socket.io/docs/v4/engine-io-protocol. JSONP is not spoken (revision 4 dropped it).
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import engineio
from aiohttp import web

from realtime.fanout.engineio import polling
from realtime.fanout.engineio.frames import NOOP, Frame, json_bytes
from realtime.fanout.engineio.pacing import NewcomerPacer
from realtime.fanout.engineio.polling import BodyError
from realtime.fanout.engineio.requests import BadRequest, RequestFault, environ_of, refusal
from realtime.fanout.engineio.session import HARD_LIMIT_FACTOR, UPGRADE_POLL_S, EngineSocket
from realtime.fanout.engineio.timeouts import TimeoutQueue
from realtime.fanout.engineio.upgrade import Probe
from realtime.fanout.engineio.websocket import CLOSE_GRACE_S, TakenOver, WebSocket, accept_key, take_over

PACKETS_AT_ONCE: Final = 256
"""Packets of one POST taken before others get their turn."""
MAX_SESSIONS: Final = 100_000
"""Of one process; polling sessions hold no descriptor, so descriptors do not bound them."""

Receiver = Callable[[EngineSocket, str | bytes], Awaitable[None] | None]
"""Takes each message of a client, in order: text without its type digit, or the bytes of a binary one. What
it returns is awaited before the client's next message."""


class EngineServer(engineio.AsyncServer):
    """``engineio.AsyncServer`` with direct sockets, sids that name their server, and one background set.

    ``server_name`` begins every sid, so that a load balancer can route by it. ``buffer_limit_bytes`` is the
    soft limit of unread bytes a client. ``remote_address`` maps an aiohttp request to the client's address,
    ``subscriber`` that address to the subscriber who has it: the handshakes of one wait for each other.
    ``receiver``, when set, takes every message instead of the ``message`` handler. From ``max_sessions`` on,
    newcomers are answered 503. ``close_grace_s`` is how long a client may take to end its half.
    """

    def __init__(
        self,
        *,
        server_name: str = "w1",
        buffer_limit_bytes: int = 256 * 1024,
        remote_address: Callable[[web.Request], str] | None = None,
        subscriber: Callable[[str], str] = str,
        max_sessions: int = MAX_SESSIONS,
        close_grace_s: float = CLOSE_GRACE_S,
        **options: Any,
    ) -> None:
        super().__init__(monitor_clients=False, **options)
        self.server_name = server_name
        self.buffer_limit_bytes = buffer_limit_bytes
        self.max_sessions = max_sessions
        self.receiver: Receiver | None = None
        self._remote_address = remote_address or _peer
        self.subscriber = subscriber
        self.newcomers = NewcomerPacer()
        self._tasks: set[asyncio.Task[Any]] = set()
        self.quiet: TimeoutQueue[EngineSocket] = TimeoutQueue(self.ping_interval, EngineSocket.ping)
        self.unanswered: TimeoutQueue[EngineSocket] = TimeoutQueue(self.ping_timeout, EngineSocket.no_pong)
        self.farewells: TimeoutQueue[EngineSocket] = TimeoutQueue(close_grace_s, EngineSocket.finish)
        self.probes: TimeoutQueue[Probe] = TimeoutQueue(self.ping_timeout, Probe.fail)
        self.closing_websockets: TimeoutQueue[WebSocket] = TimeoutQueue(close_grace_s, WebSocket.abort)

    @property
    def hard_limit_bytes(self) -> int:
        """Unread bytes beyond which a client that asks for more is cut off."""
        return self.buffer_limit_bytes * HARD_LIMIT_FACTOR

    def generate_id(self) -> str:
        return f"{self.server_name}.{secrets.token_urlsafe(18)}"

    def background(self, coroutine: Any) -> None:
        """Run ``coroutine`` to its end, holding a reference to it."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def deliver(self, socket: EngineSocket, message: str | bytes) -> Awaitable[None] | None:
        """Hand one message on; what is returned must be awaited before the client's next one."""
        if self.receiver is not None:
            return self.receiver(socket, message)
        if "message" not in self.handlers:
            return None
        triggered: Awaitable[None] = self._trigger_event("message", socket.sid, message, run_async=False)
        if not self.async_handlers:
            return triggered
        self.background(triggered)
        return None

    # --- the application that serves it

    def attach(self, app: web.Application, engineio_path: str = "engine.io") -> None:
        """Serve at this path of ``app``, with and without the slash at its end, every method: a wrong one has
        the protocol's answer.
        """
        super().attach(app, engineio_path)
        for slash in ("/", ""):
            app.router.add_route("*", f"/{engineio_path.strip('/')}{slash}", self.handle_request)
        app.on_shutdown.append(self._cut_all)

    async def _cut_all(self, app: web.Application) -> None:
        """aiohttp knows nothing of the connections taken over: they are ended here."""
        for session in list(self.sockets.values()):
            await session.close(wait=False, abort=True)
        for websocket in [*self.closing_websockets, *(p.websocket for p in self.probes)]:
            if websocket is not None:
                websocket.abort()

    # --- requests

    async def handle_request(self, request: web.Request) -> web.StreamResponse:
        environ = environ_of(request, self._remote_address(request))
        origin = request.headers.get("Origin")
        if origin and self.cors_allowed_origins not in ("*", []):
            allowed = self._cors_allowed_origins(environ)
            if allowed is not None and origin not in allowed:
                return self.refuse_origin(origin)
        headers = dict(self._cors_headers(environ))
        try:
            return await self._answer(request, environ, headers)
        except BadRequest as bad:
            return refusal(bad.fault, headers)

    def refuse_origin(self, origin: str) -> web.Response:
        """The answer to a foreign web origin; may be replaced on the instance."""
        return web.json_response({"code": 4, "message": "origin is not allowed"}, status=403)

    async def _answer(
        self, request: web.Request, environ: dict[str, Any], headers: dict[str, str]
    ) -> web.StreamResponse:
        """The request is checked in this order, then answered by one of five."""
        query = request.query
        if request.method == "OPTIONS":
            return web.Response(headers=headers)
        transport = query.get("transport", "").lower()
        if transport not in self.transports:
            raise BadRequest(RequestFault.TRANSPORT)
        if "j" in query:
            raise BadRequest(RequestFault.REQUEST)
        sid = query.get("sid")
        if sid is None:
            if request.method != "GET":
                raise BadRequest(RequestFault.METHOD)
            if query.get("EIO") != "4":
                raise BadRequest(RequestFault.VERSION)
            if len(self.sockets) >= self.max_sessions:
                return refusal(RequestFault.REQUEST, headers, status=503)
            await self.newcomers.admit(self.subscriber(environ["REMOTE_ADDR"]))
            if transport == "websocket":
                return await self._open_websocket(request, environ, headers)
            return await self._open_polling(environ, headers)
        session: EngineSocket | None = self.sockets.get(sid)
        if session is None or not session.connected:
            raise BadRequest(RequestFault.SESSION)
        if transport == "websocket":
            return self._open_probe(session, request)
        if session.upgraded:
            raise BadRequest(RequestFault.REQUEST)
        if request.method == "GET":
            return await self._poll(session, request, headers)
        if request.method == "POST":
            return await self._post(session, request, headers)
        raise BadRequest(RequestFault.METHOD)

    # --- handshake

    async def _open_websocket(
        self, request: web.Request, environ: dict[str, Any], headers: dict[str, str]
    ) -> web.StreamResponse:
        accept = accept_key(request)
        if accept is None:
            raise BadRequest(RequestFault.REQUEST)
        session = self._new_session([])
        refused = await self._refused(session, environ, headers)
        if refused is not None:
            return refused
        try:
            websocket, behind = take_over(
                request, accept, session, self.max_http_buffer_size, self.closing_websockets
            )
        except ConnectionResetError:
            session.end(self.reason.TRANSPORT_CLOSE)
            raise
        session.go_direct(websocket)
        session.schedule_ping()
        if behind:
            websocket.data_received(behind)
        return TakenOver()

    async def _open_polling(self, environ: dict[str, Any], headers: dict[str, str]) -> web.StreamResponse:
        may_upgrade = self.allow_upgrades and "websocket" in self.transports
        session = self._new_session(["websocket"] if may_upgrade else [])
        refused = await self._refused(session, environ, headers)
        if refused is not None:
            return refused
        session.connected = True
        session.schedule_ping()
        if self.cookie:
            cookie = self.cookie if isinstance(self.cookie, dict) else _cookie(self.cookie)
            headers["Set-Cookie"] = self._generate_sid_cookie(session.sid, cookie)
        outbox = session.outbox
        return self._payload(
            outbox.take() if outbox else [], environ.get("HTTP_ACCEPT_ENCODING", ""), headers
        )

    def _new_session(self, upgrades: list[str]) -> EngineSocket:
        sid = self.generate_id()
        session = EngineSocket(self, sid)
        self.sockets[sid] = session
        opening = {
            "sid": sid,
            "upgrades": upgrades,
            "pingTimeout": round(self.ping_timeout * 1000),
            "pingInterval": round((self.ping_interval + self.ping_interval_grace_period) * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        session.write(Frame(b"0" + json_bytes(opening)))
        return session

    async def _refused(
        self, session: EngineSocket, environ: dict[str, Any], headers: dict[str, str]
    ) -> web.Response | None:
        """Ask the ``connect`` handler; None lets the client in."""
        accepted = await self._trigger_event("connect", session.sid, environ, run_async=False)
        if accepted is None or accepted is True:
            return None
        session.closing = True
        session.finish()
        body = json_bytes(accepted or "Unauthorized")
        return web.Response(body=body, status=401, headers=headers, content_type="application/json")

    def _open_probe(self, session: EngineSocket, request: web.Request) -> web.StreamResponse:
        """A websocket beside a session: it may take a polling one over. Beside one that has a websocket it is
        accepted and closed at once, as the reference server does.
        """
        accept = accept_key(request)
        if accept is None or not self.allow_upgrades or session.is_leaving:
            raise BadRequest(RequestFault.REQUEST)
        probe = Probe(session)
        websocket, behind = take_over(
            request, accept, probe, self.max_http_buffer_size, self.closing_websockets
        )
        probe.websocket = websocket
        if session.upgraded:
            probe.fail()
            return TakenOver()
        self.probes.add(probe)
        if behind:
            websocket.data_received(behind)
        return TakenOver()

    # --- polling

    async def _poll(
        self, session: EngineSocket, request: web.Request, headers: dict[str, str]
    ) -> web.StreamResponse:
        outbox = session.outbox
        if outbox is None:
            raise BadRequest(RequestFault.SESSION)
        if outbox.is_polled:
            session.end(self.reason.TRANSPORT_ERROR, abort=False)
            raise BadRequest(RequestFault.REQUEST)

        def gone(error: BaseException) -> None:
            session.end(self.reason.TRANSPORT_ERROR)

        request._cancel = gone  # type: ignore[method-assign,assignment]  # aiohttp's word that the client has gone
        try:
            ready = await outbox.poll(UPGRADE_POLL_S if session.probe is not None else None)
        finally:
            del request._cancel
        if session.closing and session.outbox is outbox and ready and ready[-1].packet == b"1":
            session.finish()
        return self._payload(ready or [_NOOP], request.headers.get("Accept-Encoding", ""), headers)

    def _payload(self, ready: list[Frame], encodings: str, headers: dict[str, str]) -> web.Response:
        body = polling.payload_of(ready)
        if self.http_compression and len(body) >= self.compression_threshold and "gzip" in encodings:
            body = polling.gzipped(body)
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=body, headers=headers, content_type="text/plain", charset="utf-8")

    async def _post(
        self, session: EngineSocket, request: web.Request, headers: dict[str, str]
    ) -> web.StreamResponse:
        if session.closing:
            raise BadRequest(RequestFault.SESSION)
        if session.is_posting:  # two bodies at once have no order
            session.end(self.reason.TRANSPORT_ERROR)
            raise BadRequest(RequestFault.REQUEST)
        session.is_posting = True
        try:
            body = await polling.body_of(request, self.max_http_buffer_size, self.ping_timeout)
            is_valid = await self._take(session, body)
        except BodyError:
            is_valid = False
        finally:
            session.is_posting = False
        if not is_valid:
            session.end(self.reason.TRANSPORT_ERROR)
            raise BadRequest(RequestFault.REQUEST)
        return web.Response(body=b"ok", headers=headers, content_type="text/plain")

    async def _take(self, session: EngineSocket, body: str) -> bool:
        """Hand the packets of ``body`` to ``session``. False at one that no client sends."""
        for number, encoded in enumerate(polling.packets_of(body), 1):
            if session.closing:
                return True
            if not session.received(encoded):
                return False
            await session.room()
            if number % PACKETS_AT_ONCE == 0:
                await asyncio.sleep(0)
        return True


def _peer(request: web.Request) -> str:
    return request.remote or ""


def _cookie(name: str) -> dict[str, str]:
    return {"name": name, "path": "/", "SameSite": "Lax"}


_NOOP: Final = Frame(NOOP)
