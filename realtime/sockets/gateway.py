"""The Socket.IO server of one instance: lets clients in, routes their events, ends them with a reason."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from msgspec import Raw
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from realtime import metrics
from realtime.admission import Admission
from realtime.auth import Principal
from realtime.fanout import frames
from realtime.fanout.engine import EngineSocket
from realtime.fanout.server import FanoutServer, Reply
from realtime.limits import TokenBucket
from realtime.live.presence import Reason
from realtime.protocol import Code, Refused
from realtime.sessions.cookie import SessionCookie
from realtime.settings import Settings
from realtime.sockets import driver, watch
from realtime.sockets.address import Addresses, is_own_origin
from realtime.sockets.connection import Connection, Connections, Limiter
from realtime.sockets.driver import DriverEvents
from realtime.sockets.events import internal
from realtime.sockets.links import Links
from realtime.sockets.watch import WatchEvents
from realtime.store.database import Database

log = logging.getLogger(__name__)

EXPIRY_CHECK_S: Final = 1.0
SHARES_CHECK_S: Final = 3.0
SESSIONS_CHECK_S: Final = 3.0
MAX_AUTH_KEYS: Final = 8
_BY_LESS: Final = frozenset({Code.TOKEN_EXPIRED, Code.UNAVAILABLE, Code.RATE_LIMITED, Code.UNAUTHENTICATED})
"""What keeps a driver out, and not its SOS; a token of the future is one that is not valid yet."""
SOS_ONLY_S: Final = {Code.TOKEN_EXPIRED: 1_800.0}
"""How long a driver that was let in for an SOS alone may stay; else `SOS_ONLY_SHORT_S`."""
SOS_ONLY_SHORT_S: Final = 30.0
_SOS_FRAME: Final = '["sos"'
_KEPT: Final = ("REMOTE_ADDR", "HTTP_USER_AGENT")
"""What a second namespace of a session needs of its request; the rest is 5 KiB a client that idles."""


class Gateway:
    """``/driver`` and ``/watch`` on one server. ``attach``, then ``start``; ``drain``, then ``stop``."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        admission: Admission,
        limiter: Limiter,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._limiter = limiter
        self._addresses = Addresses(settings.trusted_proxies)
        self._cookie = SessionCookie.at(settings.public_url)
        self.connections = Connections()
        self.links = Links(db, now_ms)
        self.draining = False
        self.open_answer: Callable[[object], Awaitable[Principal]] | None = None
        """Lets in who holds the answer link of an alert; set by the wiring."""
        self._driver: DriverEvents | None = None
        self._watch: WatchEvents | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.server = self._make_server()

    def _make_server(self) -> FanoutServer:
        settings = self._settings
        server = FanoutServer(
            router=self,
            connect_timeout_s=settings.connect_timeout_s,
            server_name=settings.instance_name,
            buffer_limit_bytes=settings.viewer_buffer_bytes,
            remote_address=self._addresses.of,
            max_http_buffer_size=settings.max_frame_bytes,
            ping_interval=settings.ping_interval_s,
            ping_timeout=settings.ping_timeout_s,
            cors_allowed_origins=self._addresses.origin_rule(settings),
            logger=False,
            engineio_logger=False,
        )
        server.eio.refuse_origin = _refuse_origin
        for namespace in (driver.NAMESPACE, watch.NAMESPACE):
            server.on("connect", self._connector(namespace), namespace=namespace)
            server.on("disconnect", self._disconnector(namespace), namespace=namespace)
        return server

    def attach(self, app: web.Application, driver_events: DriverEvents, watch_events: WatchEvents) -> None:
        """Serve on ``app`` with these handlers."""
        self._driver = driver_events
        self._watch = watch_events
        self.server.attach(app)

    def start(self) -> None:
        """Begin to end connections whose credentials have."""
        self._tasks = [
            asyncio.ensure_future(_every(EXPIRY_CHECK_S, self._end_expired)),
            asyncio.ensure_future(_every(SHARES_CHECK_S, self._look_at_links)),
            asyncio.ensure_future(_every(SESSIONS_CHECK_S, self._end_ended_sessions)),
        ]

    # --- coming and going

    def _connector(self, namespace: str) -> Callable[..., Any]:
        async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
            try:
                async with asyncio.timeout(self._settings.connect_timeout_s):
                    await self._connect(namespace, sid, environ, auth)
            except Refused as refusal:
                self._refuse(namespace, refusal)
            except TimeoutError:
                self._refuse(namespace, Refused(Code.UNAVAILABLE, "took too long", retry_after_s=2))
            except Exception:
                log.exception("connecting failed")
                self._refuse(namespace, internal())

        return connect

    def _refuse(self, namespace: str, refusal: Refused) -> None:
        metrics.CONNECTS_REFUSED.labels(namespace, refusal.code.value).inc()
        raise SocketRefused(refusal.message, refusal.as_answer()["error"]) from None

    async def _connect(self, namespace: str, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if self.draining:
            raise Refused(Code.DRAINING, "instance is draining", retry_after_s=1)
        eio_sid = self.server.manager.eio_sid_from_sid(sid, namespace)
        assert self._driver is not None
        principal, epoch, only_sos = await self._let_in(namespace, environ, auth)
        socket = self.server.socket_of(eio_sid) if eio_sid else None
        if socket is None:
            raise Refused(Code.UNAVAILABLE, "client has gone")
        self.server.admitted(socket.sid)
        self.server.environ[socket.sid] = {name: environ[name] for name in _KEPT if name in environ}
        connection = Connection(
            socket, namespace, principal, self._bucket(), _transport(socket), epoch, only_sos
        )
        if only_sos is not None:
            stay_s = SOS_ONLY_S.get(only_sos.code, SOS_ONLY_SHORT_S)
            connection.until_s = asyncio.get_running_loop().time() + stay_s
        self.connections.add(connection)
        metrics.CONNECTIONS.labels(namespace, connection.transport).inc()
        if namespace == driver.NAMESPACE:
            self._driver.joined(connection)

    async def _let_in(
        self, namespace: str, environ: dict[str, Any], auth: Any
    ) -> tuple[Principal, int, Refused | None]:
        """Who it is, a driver's epoch, and why it is let in for an SOS alone, if it is: who says ``sos`` in
        the connect payload wants in by less rather than not at all. Raises Refused.
        """
        assert self._driver is not None
        assert self._watch is not None
        try:
            principal = await self._principal(namespace, environ, auth)
            await self._limiter.check(principal, "connect")
            if namespace == driver.NAMESPACE:
                return principal, await self._driver.admit(principal), None
        except Refused as refusal:
            wants = namespace == driver.NAMESPACE and isinstance(auth, dict) and auth.get("sos") is True
            if not wants or refusal.code not in _BY_LESS:
                raise
            return await self._admission.authenticate_sos(auth.get("token")), 0, refusal
        agent = str(environ.get("HTTP_USER_AGENT", ""))
        await self._watch.admit(principal, str(environ.get("REMOTE_ADDR", "")), agent)
        return principal, 0, None

    async def _principal(self, namespace: str, environ: dict[str, Any], auth: Any) -> Principal:
        if not isinstance(auth, dict) or len(auth) > MAX_AUTH_KEYS:
            raise Refused(Code.UNAUTHENTICATED, "no credentials in the connect payload")
        if namespace == watch.NAMESPACE and "share" in auth:
            return await self._admission.open_share(auth["share"])
        if namespace == watch.NAMESPACE and "answer" in auth and self.open_answer is not None:
            return await self.open_answer(auth["answer"])
        if namespace == watch.NAMESPACE and auth.get("session") is True and "token" not in auth:
            return await self._open_session(environ)
        return await self._admission.authenticate(auth.get("token"))

    async def _open_session(self, environ: dict[str, Any]) -> Principal:
        """Who holds the cookie of the handshake, which browsers send along with whoever's page asks them."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not is_own_origin(self._settings, origin, environ):
            raise Refused(Code.ORIGIN_REFUSED, "a session is for our own pages")
        value = self._cookie.given([environ.get("HTTP_COOKIE", "")])
        return await self._admission.authenticate_session(value, new=True)

    def _bucket(self) -> TokenBucket:
        settings = self._settings
        return TokenBucket.full(settings.driver_points_per_s, settings.driver_points_burst, time.monotonic())

    def _disconnector(self, namespace: str) -> Callable[..., Any]:
        def disconnect(sid: str, reason: str) -> None:
            eio_sid = self.server.manager.eio_sid_from_sid(sid, namespace)
            connection = self.connections.remove(eio_sid, namespace) if eio_sid else None
            if connection is None:
                return
            metrics.CONNECTIONS.labels(namespace, connection.transport).dec()
            if not self.connections.any_of(connection.socket.sid):
                self.server.expect(connection.socket.sid)
            assert self._driver is not None
            assert self._watch is not None
            if namespace == driver.NAMESPACE:
                self._driver.left(connection, self._why(connection, reason))
            else:
                self._watch.left(connection)

        return disconnect

    def _why(self, connection: Connection, reason: str) -> Reason:
        if self.draining:
            return Reason.DRAINED
        if connection.closing:
            return Reason.TOKEN
        return Reason.LEFT if reason == self.server.reason.CLIENT_DISCONNECT else Reason.LOST

    # --- events (Router)

    def on_event(
        self, socket: EngineSocket, namespace: str, name: str, args: list[Raw], reply: Reply
    ) -> None:
        """Route one event of a client that was let in."""
        connection = self.connections.get(socket.sid, namespace)
        if connection is None or connection.closing:
            reply(_encoded(Refused(Code.UNAUTHENTICATED, "not connected to this namespace")))
            return
        assert self._driver is not None
        assert self._watch is not None
        refusal = self._still_welcome(connection)
        if refusal is not None and refusal.code is Code.TOKEN_EXPIRED and self._is_sos(connection, name):
            self._driver.events.dispatch(connection, name, args, reply)  # the upkeep ends it in a moment
        elif refusal is not None:
            reply(_encoded(refusal))
            connection.end(refusal)
        elif connection.only_sos is not None:
            if self._is_sos(connection, name):
                self._driver.events.dispatch(connection, name, args, reply)
            else:
                reply(_encoded(connection.only_sos))
        elif namespace == driver.NAMESPACE:
            self._driver.heard(connection)
            self._driver.events.dispatch(connection, name, args, reply)
        else:
            self._watch.events.dispatch(connection, name, args, reply)

    def on_fault(
        self, socket: EngineSocket, namespace: str, fault: str, reply: Reply, body: str = ""
    ) -> None:
        """Answer a frame that is no event, where it can be answered. An SOS is made of what can be read."""
        if namespace == driver.NAMESPACE and body.startswith(_SOS_FRAME):
            connection = self.connections.get(socket.sid, namespace)
            if connection is not None and not connection.closing:
                assert self._driver is not None
                payload = body[len(_SOS_FRAME) :].lstrip(", ").removesuffix("]").encode(errors="replace")
                self._driver.events.dispatch(connection, "sos", [Raw(payload)], reply)
                return
        code = Code(fault)
        metrics.ACKS.labels("other", code.value).inc()
        text = "binary is not taken" if code is Code.BINARY_REFUSED else "frame is not valid json"
        reply(_encoded(Refused(code, text)))

    def _is_sos(self, connection: Connection, name: str) -> bool:
        """Whether that is what a driver may say with less than a token that is good for everything."""
        return connection.namespace == driver.NAMESPACE and name in driver.SOS

    def principal_of(self, socket: EngineSocket) -> Principal | None:
        """Who watches by ``socket``."""
        connection = self.connections.get(socket.sid, watch.NAMESPACE)
        return None if connection is None else connection.principal

    def _still_welcome(self, connection: Connection) -> Refused | None:
        """Checked on every message, not only when somebody comes in."""
        if connection.only_sos is not None:
            if self._admission.is_revoked(connection.principal):
                return Refused(Code.REVOKED, "token was revoked")
            over = asyncio.get_running_loop().time() > connection.until_s
            return connection.only_sos if over else None
        if self.links.is_over(connection):
            return Refused(Code.TOKEN_EXPIRED, "credentials have expired")
        if self._admission.is_revoked(connection.principal):
            return Refused(Code.REVOKED, "token was revoked")
        return None

    # --- ends

    async def _end_expired(self) -> None:
        for connection in self.connections:
            if (refusal := self._still_welcome(connection)) is not None:
                connection.end(refusal)

    async def _look_at_links(self) -> None:
        await self.links.look(self.connections)

    async def _end_ended_sessions(self) -> None:
        open_: dict[str, list[Connection]] = {}
        for connection in self.connections:
            if connection.principal.session is not None:
                open_.setdefault(connection.principal.session, []).append(connection)
        try:
            ended = await self._admission.ended_among(open_)
        except Refused:
            return  # open ones stay while Redis cannot be asked
        for session_id in ended:
            for connection in open_[session_id]:
                connection.end(Refused(Code.REVOKED, "session has ended"))

    def stalled(self, socket: EngineSocket) -> None:
        """A viewer that reads nothing: nothing more can be said to it."""
        log.info("a viewer made no progress for %g s and was cut off", self._settings.viewer_stall_s)
        socket.abort(self.server.reason.TRANSPORT_ERROR)

    async def drain(self) -> None:
        """Let nobody in, tell everybody when to go, wait that long, then close what is left."""
        self.draining = True
        spread_ms = round(self._settings.drain_s * 1000)
        for connection in self.connections:
            connection.emit("drain", {"after_ms": 0, "spread_ms": spread_ms})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_s):
                await self.connections.emptied()

    async def stop(self) -> None:
        """End every connection and the upkeep."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.end(Refused(Code.DRAINING, "instance is going away", retry_after_s=1))
        for socket in list(self.server.eio.sockets.values()):
            await socket.close(wait=False)


def _transport(socket: EngineSocket) -> str:
    return "polling" if socket.wire is None else "websocket"


def _encoded(refusal: Refused) -> bytes:
    return frames.json_bytes(refusal.as_answer())


def _refuse_origin(origin: str) -> web.Response:
    refusal = Refused(Code.ORIGIN_REFUSED, "origin is not allowed")
    return web.Response(body=_encoded(refusal), status=403, content_type="application/json")


async def _every(pause_s: float, action: Callable[[], Any]) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await action()
        except Exception:
            log.exception("socket upkeep failed")
