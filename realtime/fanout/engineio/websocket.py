"""A websocket taken over from aiohttp: no task, queue or coroutine waits for a client.

Its bytes go from the transport, past a check that each frame is masked, through aiohttp's compiled reader to
one synchronous call a message, and out with one ``write`` a frame.

aiohttp's names used here are watched by tests/fanout/test_contract.py.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from aiohttp import WSMsgType, web
from aiohttp._websocket.models import WebSocketError
from aiohttp._websocket.reader import WebSocketDataQueue, WebSocketReader

from realtime.fanout.engineio.frames import close_frame, control_frame
from realtime.fanout.engineio.masking import MaskCheck
from realtime.fanout.engineio.timeouts import TimeoutQueue

log = logging.getLogger(__name__)

CLOSE_GRACE_S: Final = 2.0
"""How long a client may take to end its side once we have ended ours."""
PONG_BUFFER_BYTES: Final = 64 * 1024
"""A client that sends pings and leaves this much unread is cut off."""
NORMAL: Final = 1000
PROTOCOL_ERROR: Final = 1002
_OPCODE_PONG: Final = 0xA
_TEXT: Final = WSMsgType.TEXT
_BINARY: Final = WSMsgType.BINARY
_ACCEPT_KEY: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)


class Wire(Protocol):
    """The part of ``asyncio.Transport`` that is used."""

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class WebSocketListener(Protocol):
    """Who hears a websocket. Called synchronously from the read callback."""

    def heard(self, packet: str | bytes) -> None:
        """One message."""

    def lost(self) -> None:
        """The connection has ended or is about to. Called once; nothing is heard after."""


class WebSocket(asyncio.Protocol):
    """One websocket. ``listener`` may change; None once it hears nothing more.

    ``grace`` is the line that holds closing websockets until they are aborted.
    """

    __slots__ = ("__weakref__", "_closing", "_feed", "_grace", "_unmasked_at", "listener", "transport")

    def __init__(
        self,
        transport: Wire,
        listener: WebSocketListener,
        max_message_bytes: int,
        grace: TimeoutQueue["WebSocket"],
    ) -> None:
        self.transport = transport
        self.listener: WebSocketListener | None = listener
        self._grace = grace
        self._closing = False
        # The reader refuses what is not below its limit; a message of exactly maxPayload is allowed.
        reader = WebSocketReader(_Intake(self), max_message_bytes + 1, compress=False, decode_text=True)
        self._feed: Callable[[bytes], Any] = reader.feed_data
        self._unmasked_at = MaskCheck().unmasked_at

    # --- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        unmasked_at = self._unmasked_at(data)
        if unmasked_at is None:
            self._feed(data)
            return
        # The reader takes unmasked frames, which RFC 6455 §5.1 has a server refuse. What came before counts.
        self._feed(data[: max(0, unmasked_at)])
        self._feed = _ignore
        self.fail(PROTOCOL_ERROR)

    def connection_lost(self, exc: Exception | None) -> None:
        self._grace.discard(self)
        self._closing = True
        self._feed = _ignore  # breaks the cycle with the reader
        self._tell_lost()

    # --- our side

    def close(self, code: int = NORMAL, last: bytes = b"") -> None:
        """Begin or answer the closing handshake, after a ``last`` frame.

        The connection ends with the client's half or after the grace.
        """
        if self._closing:
            return
        self._closing = True
        self.listener = None
        put(self.transport, last + close_frame(code))
        self._grace.add(self)

    def abort(self) -> None:
        """End the connection now."""
        self.listener = None
        self.transport.abort()

    # --- what the reader finds

    def on_control(self, kind: WSMsgType, data: Any) -> None:
        """A ping, a pong or a close of the client."""
        if kind is WSMsgType.CLOSE:
            self.fail(int(data) or NORMAL)
            self.transport.close()
        elif kind is WSMsgType.PING and not self._closing:
            if self.transport.get_write_buffer_size() > PONG_BUFFER_BYTES:
                self._tell_lost()
                self.abort()
            else:
                put(self.transport, control_frame(_OPCODE_PONG, bytes(data)))

    def fail(self, code: int) -> None:
        """End it because of what the client sent: its close, or what breaks the protocol."""
        listener = self.listener
        self.close(code)
        if listener is not None:
            listener.lost()

    def _tell_lost(self) -> None:
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.lost()


class _Intake(WebSocketDataQueue):
    """The queue that aiohttp's reader feeds, without a queue."""

    __slots__ = ("_websocket",)
    _size = 0
    _limit = 1

    def __init__(self, websocket: WebSocket) -> None:  # its buffer is never made
        self._websocket = websocket

    def feed_data(self, data: Any, size: int) -> None:
        """One message or control frame. Raises nothing: the compiled caller expects that."""
        websocket = self._websocket
        kind = data[0]
        try:
            if kind is _TEXT or kind is _BINARY:
                listener = websocket.listener
                if listener is not None:
                    listener.heard(data[1])
            else:
                websocket.on_control(kind, data[1])
        except Exception:
            log.exception("a message was not taken")
            websocket.fail(1011)

    def feed_eof(self) -> None:
        """The reader is never told of an end."""

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """What the client sends is no websocket."""
        self._websocket.fail(exc.code if isinstance(exc, WebSocketError) else PROTOCOL_ERROR)


def put(wire: Wire, data: bytes) -> None:
    """Write, unless the connection is gone: uvloop raises then, and whoever writes to many must not be hurt
    by one that left. Its session ends by itself, when its end is noticed.
    """
    if not wire.is_closing():
        wire.write(data)


def accept_key(request: web.Request) -> bytes | None:
    """``Sec-WebSocket-Accept`` for a proper handshake (RFC 6455 §4.2), None for any other request."""
    headers = request.headers
    if request.method != "GET" or headers.get("Upgrade", "").strip().lower() != "websocket":
        return None
    if "upgrade" not in headers.get("Connection", "").lower() or headers.get("Sec-WebSocket-Version") != "13":
        return None
    key = headers.get("Sec-WebSocket-Key", "").encode()
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except binascii.Error:
        return None
    return base64.b64encode(hashlib.sha1(key + _ACCEPT_KEY, usedforsecurity=False).digest())


def take_over(
    request: web.Request,
    accept: bytes,
    listener: WebSocketListener,
    max_message_bytes: int,
    grace: TimeoutQueue[WebSocket],
) -> tuple[WebSocket, bytes]:
    """Answer ``request`` with 101 and take its connection from aiohttp, whose handler is then garbage.

    Returns the websocket and the bytes that came behind the request: feed them with ``data_received`` once
    the listener is ready. Raises ConnectionResetError when the client has gone.
    """
    handler = request.protocol
    transport = handler.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError("client has gone")
    websocket = WebSocket(cast(Wire, transport), listener, max_message_bytes, grace)
    behind, handler._message_tail = handler._message_tail, b""
    is_paused = handler._buffer_paused or handler._reading_paused
    handler.transport = None  # or it would close what is ours now
    handler.connection_lost(None)
    # What keeps the request keeps nothing of the connection.
    request._protocol = None  # type: ignore[assignment]
    request._payload_writer = None  # type: ignore[assignment]
    transport.set_protocol(websocket)
    transport.write(_SWITCHING + accept + b"\r\n\r\n")
    if is_paused:
        transport.resume_reading()
    return websocket, behind


class TakenOver(web.StreamResponse):
    """What a handler returns for a connection that is not aiohttp's any more: nothing is sent."""

    def __init__(self) -> None:
        super().__init__(status=101)

    async def prepare(self, request: web.BaseRequest) -> None:
        """Sent already."""

    async def write_eof(self, data: bytes = b"") -> None:
        """There is no body."""


def _ignore(data: bytes) -> None:
    """Bytes that came after the end."""
