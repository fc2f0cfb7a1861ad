"""Socket.IO over a raw websocket, as lean as Python allows: the load client must not be what is measured.

One asyncio protocol a client, no task: bytes in, one call of ``on_message`` a message. Only what a
well-behaved server sends is understood: whole, unmasked text frames, no compression (none is offered).
"""

import asyncio
import os
from base64 import b64encode
from typing import Final, cast

# A client's frames must be masked (RFC 6455 §5.3). Any key will do, and unmasking costs the server the same.
_KEY: Final = b"\0\0\0\0"
_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_UPGRADE_END: Final = b"\r\n\r\n"


def client_frame(payload: bytes) -> bytes:
    """``payload`` as one final text frame, masked with a key of zeros."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, 0x80 | size)) + _KEY + payload
    if size < 65_536:
        return b"\x81\xfe" + size.to_bytes(2, "big") + _KEY + payload
    return b"\x81\xff" + size.to_bytes(8, "big") + _KEY + payload


class RawSocket(asyncio.Protocol):
    """A client of one namespace. A subclass says what to do when let in, told something, or cut off.

    ``on_joined`` follows the namespace's CONNECT; ``on_message`` gets every other Engine.IO message without
    its leading ``4``; ``on_lost`` gets the reason.
    """

    def __init__(self, host: str, namespace: bytes, auth: bytes) -> None:
        self._host = host
        self._connect = b"40" + namespace + b"," + auth
        self._joined = b"40" + namespace + b","
        self._buffer = b""
        self._upgraded = False
        self._closed = False
        self.transport: asyncio.Transport | None = None

    # --- for a subclass

    def on_joined(self) -> None:
        """The server let us in."""

    def on_message(self, message: bytes) -> None:
        """An event (``2…``), an ack (``3…``), or a refusal (``4…``)."""

    def on_lost(self, reason: str) -> None:
        """The connection is gone, and not because we closed it."""

    def say(self, message: bytes) -> None:
        """Send a Socket.IO packet, without Engine.IO's leading ``4``."""
        if self.transport is not None:
            self.transport.write(client_frame(b"4" + message))

    def close(self) -> None:
        """Hang up, without ceremony."""
        self._closed = True
        if self.transport is not None:
            self.transport.abort()
            self.transport = None

    # --- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a websocket at once."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by behaviour only
        key = b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {self._host}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the subclass, unless it wanted this."""
        self.transport = None
        if not self._closed:
            self._closed = True
            self.on_lost("connection closed" if exc is None else type(exc).__name__)

    def data_received(self, data: bytes) -> None:
        """Take what came apart into messages."""
        buffer = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, buffer = buffer.partition(_UPGRADE_END)
            if not end:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self._fail(head.split(b"\r\n", 1)[0].decode(errors="replace"))
                return
            self._upgraded = True
        at, size = 0, len(buffer)
        while size - at >= 2:
            kind, length = buffer[at], buffer[at + 1]
            body_at = at + 2
            if length == 126:
                length, body_at = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body_at = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if size < body_at + length:
                break
            at = body_at + length
            self._frame(kind, buffer[body_at:at])
        self._buffer = buffer[at:] if at < size else b""

    def _frame(self, kind: int, payload: bytes) -> None:
        if self._closed:
            return
        if kind != _TEXT:
            if kind == _CLOSE:
                self._fail("server closed the websocket")
            elif kind != _PING:
                self._fail(f"frame of kind {kind:#x}")
        elif payload.startswith(self._joined):
            self.on_joined()
        elif payload[:1] == b"4":
            self.on_message(payload[1:])
        elif payload == b"2":
            assert self.transport is not None
            self.transport.write(client_frame(b"3"))
        elif payload[:1] == b"0":
            assert self.transport is not None
            self.transport.write(client_frame(self._connect))
        elif payload[:1] == b"1":
            self._fail("server closed the session")

    def _fail(self, reason: str) -> None:
        self.close()
        self.on_lost(reason)
