"""``FanoutServer``: a ``socketio.AsyncServer`` whose events are routed synchronously, in order, as raw JSON.

Stock dispatch costs a task an event, loses the order of a client's events, and answers nothing to a frame it
cannot parse. Here each event goes to one ``router`` call with its undecoded arguments and a way to reply.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import socketio
from socketio import exceptions, packet

from realtime.fanout import frames
from realtime.fanout.engine import EngineSocket
from realtime.fanout.engineserver import EngineServer
from realtime.fanout.frames import Frame

MAX_ID_DIGITS: Final = 15
_DECODER: Final = msgspec.json.Decoder(list[msgspec.Raw])


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

    def on_fault(self, socket: EngineSocket, namespace: str, fault: str, reply: Reply) -> None:
        """A frame that is not an event: ``fault`` is ``malformed`` or ``binary_refused``."""


class FanoutServer(socketio.AsyncServer):
    """``socketio.AsyncServer`` on EngineServer. Options are the stock ones and those of EngineServer.

    ``router`` takes every event of every namespace; ``connect_timeout_s`` closes a session that has joined no
    namespace by then.
    """

    def __init__(self, *, router: Router, connect_timeout_s: float = 10.0, **options: Any) -> None:
        options.setdefault("async_mode", "aiohttp")
        super().__init__(async_handlers=False, **options)
        self._router = router
        self._connect_timeout_s = connect_timeout_s
        self._deadlines: dict[str, asyncio.TimerHandle] = {}

    def _engineio_server_class(self) -> type[EngineServer]:
        return EngineServer

    def socket_of(self, eio_sid: str) -> EngineSocket | None:
        """The live session of ``eio_sid``."""
        session = self.eio.sockets.get(eio_sid)
        return session if isinstance(session, EngineSocket) and not session.closed else None

    def write(self, eio_sid: str, frame: Frame) -> None:
        """Send ``frame`` to one session, if it is still there."""
        if (session := self.socket_of(eio_sid)) is not None:
            session.write(frame)

    # --- in

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> None:
        await super()._handle_eio_connect(eio_sid, environ)
        self.expect(eio_sid)

    def expect(self, eio_sid: str) -> None:
        """The session is in no namespace: it is closed unless it joins one in time."""
        loop = asyncio.get_running_loop()
        self.admitted(eio_sid)
        self._deadlines[eio_sid] = loop.call_later(self._connect_timeout_s, self._too_quiet, eio_sid)

    def _too_quiet(self, eio_sid: str) -> None:
        self._deadlines.pop(eio_sid, None)
        if (session := self.socket_of(eio_sid)) is not None:
            self.eio.background(session.close(wait=False, reason=self.reason.SERVER_DISCONNECT))

    def admitted(self, eio_sid: str) -> None:
        """The session has joined a namespace: it may stay."""
        if (deadline := self._deadlines.pop(eio_sid, None)) is not None:
            deadline.cancel()

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self.admitted(eio_sid)
        await super()._handle_eio_disconnect(eio_sid, reason)

    async def _handle_connect(self, eio_sid: str, namespace: str, data: Any) -> None:
        refusal = None
        if (namespace or "/") not in self.handlers:
            refusal = {"message": "Invalid namespace"}
        elif self.manager.sid_from_eio_sid(eio_sid, namespace) is not None:
            refusal = {"message": "Already connected"}
        if refusal is not None:
            await self._send_packet(
                eio_sid, self.packet_class(packet.CONNECT_ERROR, data=refusal, namespace=namespace)
            )
            return
        await super()._handle_connect(eio_sid, namespace, data)

    async def _handle_eio_message(self, eio_sid: str, data: Any) -> None:
        session = self.socket_of(eio_sid)
        if session is None:
            return
        if isinstance(data, bytes):
            self._router.on_fault(session, "/", "binary_refused", _no_reply)
            return
        kind = data[:1]
        if kind == "2":
            self._route(session, data[1:])
        elif kind in ("5", "6"):
            header = parse_header(data[1:])
            reply = self._replier(session, header) if kind == "5" else _no_reply
            self._router.on_fault(session, header.namespace, "binary_refused", reply)
        else:
            try:
                await super()._handle_eio_message(eio_sid, data)
            except (ValueError, KeyError, IndexError, RecursionError, exceptions.SocketIOError):
                self._router.on_fault(session, "/", "malformed", _no_reply)

    def _route(self, session: EngineSocket, text: str) -> None:
        header = parse_header(text)
        reply = self._replier(session, header)
        try:
            first, *args = _DECODER.decode(text[header.body_at :])
            name = msgspec.json.decode(first, type=str)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            self._router.on_fault(session, header.namespace, "malformed", reply)
            return
        self._router.on_event(session, header.namespace, name, args, reply)

    def _replier(self, session: EngineSocket, header: Header) -> Reply:
        ack_id = header.ack_id
        if ack_id is None:
            return _no_reply

        def reply(answer: bytes) -> None:
            session.write(frames.ack(header.namespace, ack_id, answer))

        return reply


def _no_reply(answer: bytes) -> None:
    """The client asked for no answer."""
