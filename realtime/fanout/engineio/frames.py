"""Socket.IO packets as ready bytes, framed once for any number of receivers.

Engine.IO message = ``4``; Socket.IO event = ``2``, ack = ``3``; then the namespace, a comma, the ack id and a
JSON array. A server's websocket frame is never masked (RFC 6455 §5.1), so one frame fits every client.
"""

from base64 import b64encode
from collections.abc import Iterable
from typing import Final, Self

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
PING: Final = b"2"
CLOSE: Final = b"1"
NOOP: Final = b"6"


class Frame:
    """One Engine.IO packet, ready for any number of receivers.

    ``packet`` are its bytes (of a binary message the raw data), ``wire`` the same inside one websocket frame.
    """

    __slots__ = ("_polled", "packet", "wire")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.wire = text_frame(packet)
        self._polled: bytes | None = packet

    @classmethod
    def binary(cls, data: bytes) -> Self:
        """A binary message: one websocket frame of its own, or base64 text in a polling payload."""
        frame = cls.__new__(cls)
        frame.packet = data
        frame.wire = binary_frame(data)
        frame._polled = None
        return frame

    @property
    def polled(self) -> bytes:
        """The packet as it stands in a polling payload. Encoded at most once."""
        if self._polled is None:
            self._polled = b"b" + b64encode(self.packet)
        return self._polled

    def __repr__(self) -> str:
        return f"Frame({len(self.packet)} bytes)"


def text_frame(payload: bytes) -> bytes:
    """``payload`` as one final, unmasked websocket text frame (RFC 6455 §5.2)."""
    return _framed(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """``payload`` as one final, unmasked websocket binary frame."""
    return _framed(0x82, payload)


def control_frame(opcode: int, payload: bytes) -> bytes:
    """A websocket ping (9), pong (10) or close (8); at most 125 bytes."""
    return bytes((0x80 | opcode, len(payload))) + payload


def close_frame(code: int) -> bytes:
    """A websocket close with ``code`` (RFC 6455 §7.4) and no reason."""
    return control_frame(0x8, code.to_bytes(2, "big"))


def _framed(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


def json_bytes(value: object) -> bytes:
    """``value`` as compact JSON."""
    return _ENCODER.encode(value)


def event(namespace: str, name: str, *args: bytes) -> Frame:
    """An event whose arguments are ready JSON."""
    return Frame(
        b"42" + _prefix(namespace) + b"[" + b",".join((json_bytes(name), *args)) + b"]",
    )


def event_head(namespace: str, name: str) -> bytes:
    """What an event's packet begins with, up to and with the comma before its first argument."""
    return b"42" + _prefix(namespace) + b"[" + json_bytes(name) + b","


def is_json(fragment: bytes) -> bool:
    """Whether ``fragment`` is one JSON value in UTF-8: what is not would end each websocket sent it."""
    try:
        if not fragment.isascii():
            fragment.decode()
        _ANY.decode(fragment)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    return True


def listed(fragments: Iterable[bytes]) -> bytes:
    """Ready JSON fragments spliced into one array."""
    return b"[" + b",".join(fragments) + b"]"


def ack(namespace: str, ack_id: int, answer: bytes) -> Frame:
    """The ack of a request, with one argument as ready JSON."""
    return Frame(b"43" + _prefix(namespace) + str(ack_id).encode() + b"[" + answer + b"]")


def disconnect(namespace: str) -> Frame:
    """The server's end of one namespace."""
    return Frame(b"41" + _prefix(namespace))


def _prefix(namespace: str) -> bytes:
    return b"" if namespace == "/" else namespace.encode() + b","
