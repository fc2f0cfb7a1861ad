"""The Socket.IO server of one instance: lets clients in, routes their events, ends them with a reason."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Raw
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from realtime.admission.authenticate import Admission
from realtime.auth.tokens import Principal
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio.server import FanoutServer, Refusals, Reply
from realtime.http.proxy import Addresses
from realtime.live.limiter import RedisLimiter
from realtime.live.presence import Reason
from realtime.metrics import instruments
from realtime.protocol import Code, Refused, finite
from realtime.rate_limits import TokenBucket, network_of_subscriber
from realtime.settings import Settings
from realtime.sockets import driver, watch
from realtime.sockets.authentication import Authentication
from realtime.sockets.connection import Connection, Connections
from realtime.sockets.dispatch import internal
from realtime.sockets.driver import DriverEvents
from realtime.sockets.expiry import ExpiryWatcher
from realtime.sockets.link_expiry import LinkExpiry
from realtime.sockets.timings import SOCKET_TIMINGS, SocketTimings
from realtime.sockets.watch import WatchEvents
from realtime.store.db.database import Database

log = logging.getLogger(__name__)

SOS_PAUSE_S: Final = 0.25
"""What a socket that was refused waits at most before it is let in for an SOS."""
_SOS_FRAME: Final = '["sos"'
_ARGS: Final = msgspec.json.Decoder(list[Raw])
_NAME: Final = msgspec.json.Decoder(str)
_KEPT: Final = ("REMOTE_ADDR", "HTTP_USER_AGENT")
"""What a second namespace of a session needs of its request; the rest is 5 KiB a client that idles."""
_CHECKED: Final = (
    *_KEPT,
    "HTTP_ORIGIN",
    "HTTP_COOKIE",
    "HTTP_HOST",
    "HTTP_X_FORWARDED_PROTO",
    "wsgi.url_scheme",
)
"""What the check of credentials needs besides."""


class Gateway:
    """``/driver`` and ``/watch`` on one server. ``attach``, then ``start``; ``drain``, then ``stop``."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        admission: Admission,
        limiter: RedisLimiter,
        now_ms: Callable[[], int],
        timings: SocketTimings = SOCKET_TIMINGS,
    ) -> None:
        self._settings = settings
        self._addresses = Addresses(settings.trusted_proxies)
        self.connections = Connections()
        self.door = Authentication(settings, admission, limiter)
        self.links = LinkExpiry(db, now_ms, timings.link_late_ms)
        self._stays = ExpiryWatcher(self.connections, admission, self.links, timings)
        self.draining = False
        self._driver: DriverEvents | None = None
        self._watch: WatchEvents | None = None
        self.server = self._make_server(timings)

    def _make_server(self, timings: SocketTimings) -> FanoutServer:
        settings = self._settings
        server = FanoutServer(
            router=self,
            connect_timeout_s=settings.connect_timeout_s,
            refusal_pause_s=functools.partial(_refusal_pause_s, timings),
            server_name=settings.instance_name,
            buffer_limit_bytes=settings.viewer_buffer_bytes,
            is_urgent=_wants_sos,
            kept_environ=_CHECKED,
            remote_address=self._addresses.of,
            subscriber=network_of_subscriber,
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
        self._stays.start()

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
        instruments.CONNECTS_REFUSED.labels(namespace, refusal.code.value).inc()
        raise SocketRefused(refusal.message, refusal.as_answer()["error"]) from None

    async def _connect(self, namespace: str, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if self.draining:
            raise Refused(Code.DRAINING, "instance is draining", retry_after_s=1)
        eio_sid = self.server.manager.eio_sid_from_sid(sid, namespace)
        admit = functools.partial(self._admit, namespace, environ)
        entry = await self.door.let_in(namespace, environ, auth, admit)
        socket = self.server.socket_of(eio_sid) if eio_sid else None
        if socket is None:
            raise Refused(Code.UNAVAILABLE, "client has gone")
        self.server.admitted(socket.sid)
        self.server.environ[socket.sid] = {name: environ[name] for name in _KEPT if name in environ}
        connection = Connection(
            socket,
            namespace,
            entry.principal,
            self._bucket(),
            _transport(socket),
            entry.epoch,
            entry.only_sos,
            entry.until_s,
        )
        self.connections.add(connection)
        instruments.CONNECTIONS.labels(namespace, connection.transport).inc()
        if namespace == driver.NAMESPACE:
            assert self._driver is not None
            self._driver.joined(connection)

    async def _admit(self, namespace: str, environ: dict[str, Any], principal: Principal) -> int:
        """What the namespace itself says of somebody: a driver's epoch, 0 for a viewer. Raises Refused."""
        if namespace == driver.NAMESPACE:
            assert self._driver is not None
            return await self._driver.admit(principal)
        assert self._watch is not None
        agent = str(environ.get("HTTP_USER_AGENT", ""))
        await self._watch.admit(principal, str(environ.get("REMOTE_ADDR", "")), agent)
        return 0

    def _bucket(self) -> TokenBucket:
        settings = self._settings
        return TokenBucket.full(settings.driver_points_per_s, settings.driver_points_burst, time.monotonic())

    def _disconnector(self, namespace: str) -> Callable[..., Any]:
        def disconnect(sid: str, reason: str) -> None:
            eio_sid = self.server.manager.eio_sid_from_sid(sid, namespace)
            connection = self.connections.remove(eio_sid, namespace) if eio_sid else None
            if connection is None:
                return
            instruments.CONNECTIONS.labels(namespace, connection.transport).dec()
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
        refusal = self._stays.over(connection)
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
        """Answer a frame that is no event, where it can be answered. An SOS is made of what can be read; a
        NaN or an infinity, which JSON has not, makes no other event malformed.
        """
        if namespace == driver.NAMESPACE and body.startswith(_SOS_FRAME):
            connection = self.connections.get(socket.sid, namespace)
            if connection is not None and not connection.closing:
                assert self._driver is not None
                payload = body[len(_SOS_FRAME) :].lstrip(", ").removesuffix("]").encode(errors="replace")
                self._driver.events.dispatch(connection, "sos", [Raw(payload)], reply)
                return
        event = _event_in(body) if fault == Code.MALFORMED else None
        if event is not None:
            self.on_event(socket, namespace, *event, reply)
            return
        code = Code(fault)
        instruments.ACKS.labels("other", code.value).inc()
        text = "binary is not taken" if code is Code.BINARY_REFUSED else "frame is not valid json"
        reply(_encoded(Refused(code, text)))

    def _is_sos(self, connection: Connection, name: str) -> bool:
        """Whether that is what a driver may say with less than a token that is good for everything."""
        return connection.namespace == driver.NAMESPACE and name in driver.SOS

    def principal_of(self, socket: EngineSocket) -> Principal | None:
        """Who watches by ``socket``."""
        connection = self.connections.get(socket.sid, watch.NAMESPACE)
        return None if connection is None else connection.principal

    # --- ends

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
        await self._stays.stop()
        for connection in self.connections:
            connection.end(Refused(Code.DRAINING, "the instance is shutting down", retry_after_s=1))
        for socket in list(self.server.eio.sockets.values()):
            await socket.close(wait=False)


def _refusal_pause_s(timings: SocketTimings, refusals: Refusals, namespace: str, auth: Any) -> float:
    """How long a socket waits for its next attempt; one that asks for an SOS waits briefly."""
    pauses_s = timings.refusal_pauses_s
    pause_s = pauses_s[min(refusals.session, len(pauses_s)) - 1]
    pause_s += min(refusals.sessions_beside * timings.crowd_pause_s, timings.max_crowd_pause_s)
    return min(pause_s, SOS_PAUSE_S) if _wants_sos(namespace, auth) else pause_s


def _wants_sos(namespace: str, auth: Any) -> bool:
    return namespace == driver.NAMESPACE and isinstance(auth, dict) and auth.get("sos") is True


def _transport(socket: EngineSocket) -> str:
    return "polling" if socket.wire is None else "websocket"


def _encoded(refusal: Refused) -> bytes:
    return frames.json_bytes(refusal.as_answer())


def _event_in(body: str) -> tuple[str, list[Raw]] | None:
    """The name and arguments of an event that is no JSON for its NaN or infinity alone; None where more is
    wrong.

    The arguments of ``positions`` are as they came, as its reader has to know which values were none.
    """
    encoded = body.encode(errors="replace")
    repaired = finite(encoded)
    if repaired == encoded:
        return None
    try:
        first, *args = _ARGS.decode(repaired)
        name = _NAME.decode(first)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if name == "positions" and len(args) == 1:
        args = [Raw(encoded[encoded.index(b",") + 1 : encoded.rindex(b"]")].strip())]
    return name, args


def _refuse_origin(origin: str) -> web.Response:
    refusal = Refused(Code.ORIGIN_REFUSED, "origin is not allowed")
    return web.Response(body=_encoded(refusal), status=403, content_type="application/json")
