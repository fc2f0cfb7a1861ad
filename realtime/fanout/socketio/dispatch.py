"""Ordinary dispatch: what clients send, to the handlers that the application registered.

What no client may send ends its session, as in the reference implementation: the stream cannot be trusted
any more. A packet for a namespace that the client was in and has left is ignored: the two may have crossed.
"""

import inspect
import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio import packets
from realtime.fanout.socketio.members import Member, MemberState
from realtime.fanout.socketio.packets import Assembly, MalformedPacket, Packet, TooLarge

if TYPE_CHECKING:
    from realtime.fanout.socketio.server import FanoutServer

log = logging.getLogger(__name__)

PARSE_ERROR: Final = "parse error"
TOO_LARGE: Final = "binary too large"
"""Why a session was ended, as told to its disconnect handlers."""
MAX_RUNNING: Final = 256
"""Handlers of one client that run at the same time. Beyond it its further packets wait."""


class _Talk:
    """What is known of a session besides its namespaces. ``joined`` are those it was ever let into."""

    __slots__ = ("assembly", "ended", "joined", "running")

    def __init__(self) -> None:
        self.assembly: Assembly | None = None
        self.ended = False
        self.joined: set[str] = set()
        self.running = 0


class Inbox:
    """Everything that clients send, for a server with handlers."""

    def __init__(self, server: "FanoutServer", *, max_attachments: int, max_binary_bytes: int) -> None:
        self._server = server
        self._max_attachments = max_attachments
        self._max_binary_bytes = max_binary_bytes
        self._talks: dict[str, _Talk] = {}

    def joined(self, eio_sid: str, namespace: str) -> None:
        """A client was let in."""
        if (talk := self._talks.get(eio_sid)) is not None:
            talk.joined.add(namespace)

    def forget(self, eio_sid: str) -> None:
        """A session has ended."""
        self._talks.pop(eio_sid, None)

    def receive(self, session: EngineSocket, message: str | bytes) -> Awaitable[None] | None:
        """One message. What is returned must be awaited before the client's next."""
        talk = self._talks.get(session.sid)
        if talk is None:
            if session.is_leaving:
                return None
            talk = self._talks[session.sid] = _Talk()
        if talk.ended:
            return None
        try:
            packet = self._packet(talk, message)
            return None if packet is None else self._take(session, talk, packet)
        except MalformedPacket:
            self._end(session, talk, PARSE_ERROR)
        except TooLarge:
            self._end(session, talk, TOO_LARGE)
        return None

    def _packet(self, talk: _Talk, message: str | bytes) -> Packet | None:
        """The packet that ``message`` is or completes; None while attachments are missing."""
        if talk.assembly is not None:
            if isinstance(message, str):
                raise MalformedPacket("a packet in place of an attachment")
            packet = talk.assembly.add(message)
            if packet is not None:
                talk.assembly = None
            return packet
        packet = self._server.codec.decode(message)
        packets.check(packet)
        if packet.attachments:
            if packet.namespace not in talk.joined:
                raise MalformedPacket("it is not in this namespace")
            talk.assembly = Assembly(
                packet, max_attachments=self._max_attachments, max_bytes=self._max_binary_bytes
            )
            return None
        return packet

    def _end(self, session: EngineSocket, talk: _Talk, reason: str) -> None:
        talk.ended = True
        talk.assembly = None
        self._server.eio.background(session.close(wait=False, reason=reason))

    def _take(self, session: EngineSocket, talk: _Talk, packet: Packet) -> Awaitable[None] | None:
        """One whole packet. Raises Malformed when the client may not send it now."""
        server = self._server
        member = server.manager.member_of(session.sid, packet.namespace)
        if packet.kind == packets.CONNECT:
            if member is not None:
                raise MalformedPacket("it is in this namespace")
            return server._handle_connect(session.sid, packet.namespace, packet.data)
        if member is None:
            if packet.namespace not in talk.joined:
                raise MalformedPacket("it is not in this namespace")
            return None
        if member.state is not MemberState.JOINED:
            return None
        if packet.kind == packets.DISCONNECT:
            return server._handle_disconnect(session.sid, packet.namespace)
        if packet.kind in (packets.ACK, packets.BINARY_ACK):
            return self._soon(talk, run_callback(member, packet))
        return self._dispatch(talk, member, packet)

    def _dispatch(self, talk: _Talk, member: Member, packet: Packet) -> Awaitable[None] | None:
        """Run the handler of one event: a plain function at once, a coroutine as a task or in order."""
        server = self._server
        name, *args = packet.data
        handler, call_args = server._get_event_handler(name, packet.namespace, (member.sid, *args))
        is_plain = handler is not None and not inspect.iscoroutinefunction(handler)
        if not is_plain or "_trigger_event" in vars(server):  # the latter: stock's admin page listens in
            outcome: Any = server._trigger_event(name, packet.namespace, member.sid, *args)
            return self._soon(talk, self._answered(member, packet, outcome))
        try:
            outcome = handler(*call_args)
        except Exception:
            log.exception("a handler of %s failed", packet.namespace)
            return None
        if inspect.isawaitable(outcome):
            return self._soon(talk, self._answered(member, packet, outcome))
        self._acknowledge(member, packet, outcome)
        return None

    async def _answered(self, member: Member, packet: Packet, outcome: Awaitable[Any]) -> None:
        try:
            answer = await outcome
        except Exception:
            log.exception("a handler of %s failed", packet.namespace)
            return
        self._acknowledge(member, packet, answer)

    def _acknowledge(self, member: Member, packet: Packet, answer: Any) -> None:
        """Send what a handler returned: a tuple is several arguments, None is none."""
        if packet.ack_id is None or answer is self._server.not_handled:
            return
        data = [] if answer is None else list(answer) if isinstance(answer, tuple) else [answer]
        try:
            member.write(self._server.codec.encode(packets.ACK, packet.namespace, data, packet.ack_id))
        except (TypeError, ValueError):
            log.exception("the answer of a handler of %s is not json", packet.namespace)

    def _soon(self, talk: _Talk, work: Awaitable[None] | None) -> Awaitable[None] | None:
        """``work`` as a task, or itself when the client's next packet has to wait for it."""
        if work is None or not self._server.async_handlers or talk.running >= MAX_RUNNING:
            return work
        talk.running += 1
        self._server.eio.background(_counted(talk, work))
        return None


async def _counted(talk: _Talk, work: Awaitable[None]) -> None:
    try:
        await work
    finally:
        talk.running -= 1


def run_callback(member: Member, packet: Packet) -> Awaitable[None] | None:
    """Hand an ack to whoever waits for it; one that nobody waits for is ignored."""
    callback = member.answered(packet.ack_id) if packet.ack_id is not None else None
    if callback is None:
        return None
    try:
        outcome = callback(*packet.data)
    except Exception:
        log.exception("the callback of an ack failed")
        return None
    return _awaited(outcome) if inspect.isawaitable(outcome) else None


async def _awaited(outcome: Awaitable[Any]) -> None:
    try:
        await outcome
    except Exception:
        log.exception("the callback of an ack failed")
