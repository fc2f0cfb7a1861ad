"""``FanoutServer``: ``socketio.AsyncServer`` as a drop-in, on its own engine, client manager and bus.

How it differs from stock, what it costs and where its bounds are: docs/FANOUT.md.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

import socketio
from aiohttp import web
from socketio import exceptions

from realtime.bus.bus import RedisBus
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.server import EngineServer
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio import packets
from realtime.fanout.socketio.dispatch import Inbox
from realtime.fanout.socketio.members import Member, MemberState
from realtime.fanout.socketio.packets import ClassCodec, Codec, Json, NativeCodec
from realtime.fanout.socketio.redis_manager import RedisManager
from realtime.fanout.socketio.rooms import FanoutManager
from realtime.fanout.socketio.router import Reply, RoutedInbox, Router, parse_header

__all__ = ["FanoutServer", "Reply", "Router", "parse_header"]

log = logging.getLogger(__name__)

TIMEOUT_SPREAD: Final = 0.5
"""A session that joins no namespace is closed up to this share of its time later, at random: sessions that
were opened together, and come back when they are closed, do not come back together.
"""


class Refusals(NamedTuple):
    """How often connects were refused before this one."""

    session: int
    """Refused connects of this session."""
    sessions_beside: int
    """Other open sessions of the same subscriber that had a connect refused."""


class FanoutServer(socketio.AsyncServer):
    """``socketio.AsyncServer`` on EngineServer. Options are the stock ones, those of EngineServer, and:

    ``router`` takes every event of every namespace, raw and at once, instead of handlers; it refuses binary.
    ``connect_timeout_s`` closes a session that is in no namespace for that long, or up to half as long again.
    ``refusal_pause_s``: the seconds that a session which was refused waits until its next connect is checked,
    by `Refusals`, the namespace and the connect payload. Its other packets wait too.
    ``is_urgent``: whether a connect, by its namespace and payload, does not wait behind others of the same
    subscriber. Handshakes and connects wait for each other when more come than `NewcomerPacer` admits.
    ``kept_environ``: the names in a handshake's environ that connect handlers get; None: all of them. The
    whole holds the request and what aiohttp made for it, for as long as the session lasts.
    ``max_attachments`` and ``max_binary_bytes`` bound one binary packet of a client; the latter is four
    times ``max_http_buffer_size`` unless given. ``client_manager`` is a FanoutManager; ``redis_url`` is short
    for a RedisManager on that Redis: rooms then span every process with the same one.
    """

    manager: FanoutManager

    def __init__(
        self,
        client_manager: FanoutManager | None = None,
        logger: Any = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: Any = None,
        *,
        router: Router | None = None,
        connect_timeout_s: float = 10.0,
        refusal_pause_s: Callable[[Refusals, str, Any], float] | None = None,
        is_urgent: Callable[[str, Any], bool] | None = None,
        kept_environ: Collection[str] | None = None,
        max_attachments: int = 64,
        max_binary_bytes: int | None = None,
        redis_url: str | None = None,
        **options: Any,
    ) -> None:
        if client_manager is not None and not isinstance(client_manager, FanoutManager):
            raise ValueError(f"client manager is a {type(client_manager).__name__}, not a FanoutManager")
        if client_manager is None and redis_url is not None:
            client_manager = RedisManager(RedisBus(redis_url, prefix="sio:"))
        options.setdefault("async_mode", "aiohttp")
        serializer = options.get("serializer", "default")
        super().__init__(
            client_manager or FanoutManager(), logger, json, async_handlers, namespaces, **options
        )
        self.codec: Codec = (
            NativeCodec(Json(json)) if serializer == "default" else ClassCodec(self.packet_class)
        )
        self._inbox: Inbox | RoutedInbox = Inbox(
            self,
            max_attachments=max_attachments,
            max_binary_bytes=max_binary_bytes or 4 * self.eio.max_http_buffer_size,
        )
        if router is not None:
            self.namespaces = namespaces or []
            self._inbox = RoutedInbox(self, router)
        self.eio.receiver = self._inbox.receive
        self._connect_timeout_s = connect_timeout_s
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._refusal_pause_s = refusal_pause_s or (lambda refusals, namespace, data: 0.0)
        self._kept_environ = kept_environ
        self._is_urgent = is_urgent or (lambda namespace, data: False)
        self._refusals: dict[str, int] = {}
        self._refused_sessions: Counter[str] = Counter()

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    def attach(self, app: web.Application, socketio_path: str = "socket.io") -> None:
        """Serve on ``app``; what the manager needs begins and ends with it."""
        super().attach(app, socketio_path)
        app.on_startup.append(self._begin)
        app.on_cleanup.append(self._finish)

    async def _begin(self, app: web.Application) -> None:
        self.manager_initialized = True
        self.manager.initialize()

    async def _finish(self, app: web.Application) -> None:
        await self.manager.stop()

    async def shutdown(self) -> None:
        """Stop what runs in the background."""
        await super().shutdown()
        await self.manager.stop()

    def socket_of(self, eio_sid: str) -> EngineSocket | None:
        """The live session of ``eio_sid``."""
        session = self.eio.sockets.get(eio_sid)
        return session if isinstance(session, EngineSocket) and not session.closed else None

    # --- sessions

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        if (kept := self._kept_environ) is not None:
            environ = {name: environ[name] for name in kept if name in environ}
        await super()._handle_eio_connect(eio_sid, environ)
        self.expect(eio_sid)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        """Stock's way in, for an engine whose ``receiver`` was taken away."""
        session = self.socket_of(eio_sid)
        if session is not None and (pending := self._inbox.receive(session, data)) is not None:
            await pending

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self.admitted(eio_sid)
        for member in self.manager.members_of(eio_sid):
            await self._handle_disconnect(eio_sid, member.namespace, reason)
        self._inbox.forget(eio_sid)
        if self._refusals.pop(eio_sid, 0):
            self._forget_refused(self._subscriber(eio_sid))
        self.environ.pop(eio_sid, None)

    def expect(self, eio_sid: str) -> None:
        """The session is in no namespace: it is closed unless it joins one in time.

        A deadline that runs goes on: one that is refused again and again gains no time by it.
        """
        if eio_sid in self._deadlines:
            return
        session = self.socket_of(eio_sid)
        if session is not None and not session.is_leaving:
            loop = asyncio.get_running_loop()
            timeout_s = self._connect_timeout_s * random.uniform(1.0, 1.0 + TIMEOUT_SPREAD)  # noqa: S311
            self._deadlines[eio_sid] = loop.call_later(timeout_s, self._too_quiet, eio_sid)

    def _too_quiet(self, eio_sid: str) -> None:
        self._deadlines.pop(eio_sid, None)
        if (session := self.socket_of(eio_sid)) is not None:
            self.eio.background(session.close(wait=False, reason=self.reason.SERVER_DISCONNECT))

    def admitted(self, eio_sid: str) -> None:
        """The session has joined a namespace: it may stay."""
        if (deadline := self._deadlines.pop(eio_sid, None)) is not None:
            deadline.cancel()

    # --- joining a namespace

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        namespace = namespace or "/"
        subscriber = self._subscriber(eio_sid)
        if refused := self._refusals.get(eio_sid, 0):
            refusals = Refusals(refused, self._refused_sessions[subscriber] - 1)
            await asyncio.sleep(self._refusal_pause_s(refusals, namespace, data))
        await self.eio.newcomers.admit((subscriber, namespace, self._is_urgent(namespace, data)))
        session = self.socket_of(eio_sid)
        if session is None:
            return
        refusal = None
        if not self._is_open(namespace):
            refusal = {"message": "Invalid namespace"}
        elif self.manager.member_of(eio_sid, namespace) is not None:
            refusal = {"message": "Already connected"}
        if refusal is not None:
            _write(session, self.codec.encode(packets.CONNECT_ERROR, namespace, refusal))
            return
        sid = await self.manager.pre_connect(eio_sid, namespace)
        member = self.manager.member(sid, namespace)
        if member is None:
            return
        try:
            await self._admit(member, data)
        finally:
            if member.state is not MemberState.JOINED:
                await self.manager.disconnect(member.sid, namespace, ignore_queue=True)

    def _is_open(self, namespace: str) -> bool:
        return (
            namespace in self.handlers
            or namespace in self.namespace_handlers
            or self.namespaces == "*"
            or namespace in self.namespaces
        )

    async def _admit(self, member: Member, data: Any) -> None:
        """Ask the connect handler, and tell the client. Ends with the member joined, or on its way out."""
        if self.always_connect:
            self._let_in(member)
        refusal = await self._refusal(member, data)
        if refusal is None:
            if member.state is MemberState.PENDING:
                self._let_in(member)
            elif member.farewell is not None:  # it went while the handler ran, which has let it in
                await self._said_goodbye(member, member.farewell)
            return
        if not member.session.is_leaving:
            self._note_refused(member.session.sid)
        if self.always_connect:
            member.write(self.codec.encode(packets.DISCONNECT, member.namespace))
        elif member.state is MemberState.PENDING:
            _write(member.session, self.codec.encode(packets.CONNECT_ERROR, member.namespace, refusal))
        member.state = MemberState.LEAVING

    def _subscriber(self, eio_sid: str) -> str:
        environ = self.environ.get(eio_sid, {})
        subscriber: str = self.eio.subscriber(environ.get("REMOTE_ADDR", ""))
        return subscriber

    def _note_refused(self, eio_sid: str) -> None:
        before = self._refusals.get(eio_sid, 0)
        self._refusals[eio_sid] = before + 1
        if not before:
            self._refused_sessions[self._subscriber(eio_sid)] += 1

    def _forget_refused(self, subscriber: str) -> None:
        self._refused_sessions[subscriber] -= 1
        if not self._refused_sessions[subscriber]:
            del self._refused_sessions[subscriber]

    def _let_in(self, member: Member) -> None:
        eio_sid = member.session.sid
        self.admitted(eio_sid)
        self._inbox.joined(eio_sid, member.namespace)
        member.let_in(self.codec.encode(packets.CONNECT, member.namespace, {"sid": member.sid}))

    async def _refusal(self, member: Member, data: Any) -> Any:
        """What the connect handler says against this client; None when it may come in."""
        try:
            accepted = await self._asked(member, data)
        except exceptions.ConnectionRefusedError as refusal:
            return refusal.error_args
        except ConnectionRefusedError:
            return {"message": "Connection refused by server"}
        except Exception:
            log.exception("the connect handler of %s failed", member.namespace)
            return {"message": "Internal server error"}
        return exceptions.ConnectionRefusedError().error_args if accepted is False else None

    async def _asked(self, member: Member, data: Any) -> Any:
        """Run the connect handler: with credentials, or without where it takes none."""
        args = (member.sid, self.environ.get(member.session.sid, {}))
        try:
            return await self._trigger_event("connect", member.namespace, *args, data or None)
        except TypeError as error:
            if data:
                raise
            try:
                return await self._trigger_event("connect", member.namespace, *args)
            except TypeError:
                raise error from None

    # --- leaving a namespace

    async def disconnect(self, sid: str, namespace: str | None = None, ignore_queue: bool = False) -> None:
        """Put a client out of a namespace; one of another instance by that instance."""
        namespace = namespace or "/"
        member = self.manager.member(sid, namespace)
        if member is not None:
            if member.state is MemberState.JOINED:
                member.write(self.codec.encode(packets.DISCONNECT, namespace))
                await self._leave(member, self.reason.SERVER_DISCONNECT)
        elif not ignore_queue:
            await self.manager.can_disconnect(sid, namespace)

    async def _handle_disconnect(self, eio_sid: str, namespace: str, reason: str | None = None) -> None:
        member = self.manager.member_of(eio_sid, namespace or "/")
        reason = reason or self.reason.CLIENT_DISCONNECT
        if member is None:
            return
        if member.state is MemberState.PENDING:  # its connect handler runs; what it started ends there
            member.state = MemberState.LEAVING
            member.farewell = reason
        elif member.state is MemberState.JOINED:
            await self._leave(member, reason)

    async def _leave(self, member: Member, reason: str) -> None:
        member.state = MemberState.LEAVING
        try:
            await self._said_goodbye(member, reason)
        finally:
            await self.manager.disconnect(member.sid, member.namespace, ignore_queue=True)

    async def _said_goodbye(self, member: Member, reason: str) -> None:
        try:
            await self._trigger_event("disconnect", member.namespace, member.sid, reason)
        except Exception:
            log.exception("the disconnect handler of %s failed", member.namespace)

    # --- what stock sends and finds

    async def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        if (session := self.socket_of(eio_sid)) is not None:
            _write(session, self.codec.encode(pkt.packet_type, pkt.namespace or "/", pkt.data, pkt.id))

    def _get_event_handler(self, event: Any, namespace: str, args: Any) -> Any:
        if event != "*":
            return super()._get_event_handler(event, namespace, args)
        # An event that a client named "*" is for the catch-all handlers, with its name like any other.
        handler, found = super()._get_event_handler(_STAR, namespace, args)
        return handler, tuple("*" if arg is _STAR else arg for arg in found)


_STAR = object()


def _write(session: EngineSocket, frames: Sequence[Frame]) -> None:
    if len(frames) == 1:
        session.write(frames[0])
    else:
        session.write_together(frames)
