"""Events as raw JSON, routed synchronously: for an application that is in a hurry, instead of handlers.

Ordinary dispatch decodes every argument and may cost a task an event. Here each event is one ``router`` call
with its undecoded arguments and a way to reply; a frame that cannot be parsed is answered too.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio import packets
from realtime.fanout.socketio.dispatch import run_callback

if TYPE_CHECKING:
    from realtime.fanout.socketio.server import FanoutServer

MAX_ID_DIGITS: Final = packets.MAX_ID_DIGITS
_ARGS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_NAME: Final = msgspec.json.Decoder(str)


class Header(NamedTuple):
    """What precedes the JSON of a Socket.IO packet."""

    namespace: str
    ack_id: int | None
    body_at: int


def parse_header(text: str) -> Header:
    """The header of ``text``, a packet without its type digit: ``[attachments-][/namespace,][ack id]``."""
    at = 0
    dash = text.find("-", 0, 8)
    if dash > 0 and text[:dash].isdigit():
        at = dash + 1
    namespace = "/"
    if text[at : at + 1] == "/":
        comma = text.find(",", at, at + 128)
        end = comma if comma != -1 else len(text)
        namespace, at = text[at:end], min(end + 1, len(text))
    digits = at
    while digits < len(text) and digits - at <= MAX_ID_DIGITS and "0" <= text[digits] <= "9":
        digits += 1
    is_id = 0 < digits - at <= MAX_ID_DIGITS  # cut short it would be the id of another request
    return Header(namespace, int(text[at:digits]) if is_id else None, digits)


Reply = Callable[[bytes], None]
"""Answers a request with ready JSON; does nothing when the client asked for no answer."""


class Router(Protocol):
    """Where events go. Called in order for each client; must not block."""

    def on_event(
        self, socket: EngineSocket, namespace: str, name: str, args: list[msgspec.Raw], reply: Reply
    ) -> None:
        """One well-formed event of a client, connected to ``namespace`` or not."""

    def on_fault(
        self, socket: EngineSocket, namespace: str, fault: str, reply: Reply, body: str = ""
    ) -> None:
        """A frame that is not an event: ``fault`` is ``malformed`` or ``binary_refused``; ``body`` is what
        should have been the JSON of an event.
        """


class RoutedInbox:
    """Everything that clients send, for a server with a router. Binary is refused; nothing ends a session."""

    def __init__(self, server: "FanoutServer", router: Router) -> None:
        self._server = server
        self._on_event = router.on_event
        self._on_fault = router.on_fault

    def receive(self, session: EngineSocket, message: str | bytes) -> Awaitable[None] | None:
        """One message. What is returned must be awaited before the client's next."""
        if isinstance(message, bytes):
            self._on_fault(session, "/", "binary_refused", _no_reply)
            return None
        kind = message[:1]
        if kind == "2":
            self._route(session, message)
            return None
        if kind in ("5", "6"):
            header = parse_header(message[1:])
            ack_id = header.ack_id if kind == "5" else None
            reply = _no_reply if ack_id is None else _replier(session, header.namespace, ack_id)
            self._on_fault(session, header.namespace, "binary_refused", reply)
            return None
        return self._control(session, message)

    def _route(self, session: EngineSocket, message: str) -> None:
        namespace, ack_id, body_at = parse_header(message[1:])
        reply = _no_reply if ack_id is None else _replier(session, namespace, ack_id)
        try:
            first, *args = _ARGS.decode(message[body_at + 1 :])
            name = _NAME.decode(first)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._on_fault(session, namespace, "malformed", reply, message[body_at + 1 :])
            return
        self._on_event(session, namespace, name, args, reply)

    def _control(self, session: EngineSocket, message: str) -> Awaitable[None] | None:
        """Connects, disconnects and acks; everything else is malformed."""
        server = self._server
        try:
            packet = server.codec.decode(message)
        except packets.MalformedPacket:
            packet = None
        if packet is not None and packet.kind == packets.CONNECT:
            return server._handle_connect(session.sid, packet.namespace, packet.data)
        if packet is not None and packet.kind == packets.DISCONNECT:
            return server._handle_disconnect(session.sid, packet.namespace)
        if packet is None or packet.kind != packets.ACK or not isinstance(packet.data, list):
            self._on_fault(session, "/", "malformed", _no_reply)
            return None
        member = server.manager.member_of(session.sid, packet.namespace)
        return None if member is None else run_callback(member, packet)

    def joined(self, eio_sid: str, namespace: str) -> None:
        """A client was let in."""

    def forget(self, eio_sid: str) -> None:
        """A session has ended."""


def _replier(session: EngineSocket, namespace: str, ack_id: int) -> Reply:
    def reply(answer: bytes) -> None:
        session.write(frames.ack(namespace, ack_id, answer))

    return reply


def _no_reply(answer: bytes) -> None:
    """The client asked for no answer."""
