"""Socket.IO packets as ready bytes, framed once for any number of receivers.

Engine.IO message = ``4``; Socket.IO event = ``2``, ack = ``3``; then the namespace, a comma, the ack id and a
JSON array. A server's websocket frame is never masked (RFC 6455 §5.1), so one frame fits every client.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

_ENCODER: Final = msgspec.json.Encoder()
PING: Final = b"2"
CLOSE: Final = b"1"
NOOP: Final = b"6"
WS_CLOSE_GOING_AWAY: Final = b"\x88\x02\x03\xe9"


class Frame:
    """One Engine.IO packet: ``packet`` as text bytes, ``wire`` the same inside a websocket text frame."""

    __slots__ = ("packet", "wire")

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.wire = text_frame(packet)

    def __repr__(self) -> str:
        return f"Frame({len(self.packet)} bytes)"


def text_frame(payload: bytes) -> bytes:
    """``payload`` as one final, unmasked websocket text frame (RFC 6455 §5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def json_bytes(value: object) -> bytes:
    """``value`` as compact JSON."""
    return _ENCODER.encode(value)


def event(namespace: str, name: str, *args: bytes) -> Frame:
    """An event whose arguments are ready JSON."""
    return Frame(
        b"42" + _prefix(namespace) + b"[" + b",".join((json_bytes(name), *args)) + b"]",
    )


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
