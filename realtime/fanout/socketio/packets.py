"""Socket.IO packets, pure: what a client sent to values, values to frames. Strict where the protocol is.

A packet is ``type [attachments-] [/namespace,] [ack id] [JSON]``; its attachments follow as binary messages.
"""

import json as stock_json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, Protocol

import msgspec

from realtime.fanout.engineio.frames import Frame

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)
RESERVED: Final = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Names no client may emit: they would run the handlers of coming and going."""
MAX_NAMESPACE_CHARS: Final = 128
MAX_ID_DIGITS: Final = 15
MAX_COUNT_DIGITS: Final = 6

_BINARY_KINDS: Final = (BINARY_EVENT, BINARY_ACK)
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()


class MalformedPacket(ValueError):
    """What no client may send."""


class TooLarge(ValueError):
    """More attachments, or more bytes in them, than the server takes."""


class Packet(NamedTuple):
    """One packet. ``data`` is None when it has no payload; ``attachments`` is how many are still to come."""

    kind: int
    namespace: str
    ack_id: int | None
    attachments: int
    data: Any


class Json:
    """JSON by msgspec, or by the ``json`` module that the application gave."""

    def __init__(self, module: Any = None) -> None:
        self.dumps: Callable[[Any], bytes] = dumps
        self.loads: Callable[[str], Any] = loads
        if module is not None:
            self.dumps = lambda value: str(module.dumps(value, separators=(",", ":"))).encode()
            self.loads = module.loads


def dumps(value: Any) -> bytes:
    """``value`` as compact JSON. NaN and infinity become null, as in JavaScript. Raises TypeError."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, OverflowError, UnicodeEncodeError):  # subclasses, lone surrogates
        return stock_json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def loads(text: str) -> Any:
    """The value of ``text``. Raises ValueError or RecursionError."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):  # browsers may send lone surrogates
        return stock_json.loads(text, parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not json")


# --- in


class Codec(Protocol):
    """How packets look on the wire. One a server."""

    def decode(self, message: str | bytes) -> Packet:
        """A packet, its attachments missing. Raises Malformed."""

    def encode(
        self, kind: int, namespace: str, data: Any = None, ack_id: int | None = None
    ) -> Sequence[Frame]:
        """A packet and its attachments."""


def decode(text: str, json: Json) -> Packet:
    """The packet of ``text``. Raises Malformed."""
    if not text or text[0] not in "0123456":
        raise MalformedPacket(f"unknown packet type: {text[:1]!r}")
    kind, at, attachments = int(text[0]), 1, 0
    if kind in _BINARY_KINDS:
        attachments, at = _attachment_count(text)
    namespace = "/"
    if text.startswith("/", at):
        comma = text.find(",", at, at + MAX_NAMESPACE_CHARS)
        end = comma if comma != -1 else len(text)
        if end - at > MAX_NAMESPACE_CHARS:
            raise MalformedPacket("namespace is too long")
        namespace, at = text[at:end].partition("?")[0], min(end + 1, len(text))
    ack_id, at = _ack_id(text, at)
    try:
        data = json.loads(text[at:]) if at < len(text) else None
    except (ValueError, RecursionError) as error:
        raise MalformedPacket("payload is not json") from error
    return Packet(kind, namespace, ack_id, attachments, data)


def _attachment_count(text: str) -> tuple[int, int]:
    """How many attachments, and where the packet goes on."""
    dash = text.find("-", 1, MAX_COUNT_DIGITS + 2)
    digits = text[1:dash]
    if dash < 2 or not (digits.isascii() and digits.isdigit()):
        raise MalformedPacket("attachments are not counted")
    return int(digits), dash + 1


def _ack_id(text: str, at: int) -> tuple[int | None, int]:
    end = at
    while end < len(text) and "0" <= text[end] <= "9":
        end += 1
        if end - at > MAX_ID_DIGITS:
            raise MalformedPacket("ack id is too long")
    return (int(text[at:end]) if end > at else None), end


def check(packet: Packet) -> None:
    """Whether the payload is one that ``packet``'s kind may have. Raises Malformed."""
    kind, data = packet.kind, packet.data
    if kind == CONNECT:
        sound = data is None or isinstance(data, dict)
    elif kind == DISCONNECT:
        sound = data is None
    elif kind in (EVENT, BINARY_EVENT):
        sound = isinstance(data, list) and bool(data) and _may_be_a_name(data[0])
    elif kind in (ACK, BINARY_ACK):
        sound = isinstance(data, list) and packet.ack_id is not None
    else:
        sound = False  # CONNECT_ERROR is the server's to send
    if not sound:
        raise MalformedPacket(f"packet of type {kind} is not sound")


def _may_be_a_name(name: Any) -> bool:
    return (isinstance(name, str) and name not in RESERVED) or type(name) is int


class Assembly:
    """A binary packet whose attachments are arriving. Bounded in their number and their bytes together."""

    __slots__ = ("_bytes_left", "_parts", "packet")

    def __init__(self, packet: Packet, *, max_attachments: int, max_bytes: int) -> None:
        if packet.attachments > max_attachments:
            raise TooLarge(f"{packet.attachments} attachments")
        self.packet = packet
        self._parts: list[bytes] = []
        self._bytes_left = max_bytes

    def add(self, part: bytes) -> Packet | None:
        """One attachment; the whole packet with its last. Raises Malformed or TooLarge."""
        self._bytes_left -= len(part)
        if self._bytes_left < 0:
            raise TooLarge("attachments are too large")
        self._parts.append(part)
        if len(self._parts) < self.packet.attachments:
            return None
        return self.packet._replace(attachments=0, data=_filled(self.packet.data, self._parts))


def _filled(value: Any, parts: list[bytes]) -> Any:
    """``value`` with its placeholders replaced by ``parts``. Raises Malformed."""
    if isinstance(value, list):
        return [_filled(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        number = value.get("num")
        if type(number) is not int or not 0 <= number < len(parts):
            raise MalformedPacket("placeholder points nowhere")
        return parts[number]
    return {key: _filled(item, parts) for key, item in value.items()}


# --- out


class Body(NamedTuple):
    """The payload of an event or an ack as ready JSON, and its attachments."""

    json: bytes
    attachments: tuple[bytes, ...] = ()


def pack(data: Any, json: Json) -> Body:
    """``data`` with its binary values taken out. Raises TypeError for what is no JSON."""
    if not _has_binary(data):
        return Body(json.dumps(data))
    parts: list[bytes] = []
    emptied = _emptied(data, parts)
    return Body(json.dumps(emptied), tuple(parts))


def head(kind: int, namespace: str, attachments: int = 0) -> bytes:
    """What stands before the ack id, the Engine.IO type included. ``kind`` is EVENT or ACK, binary or not."""
    start = b"4%d%d-" % (kind + 3, attachments) if attachments else b"4%d" % kind
    return start if namespace == "/" else start + namespace.encode() + b","


def framed(kind: int, namespace: str, body: Body, ack_id: int | None = None) -> tuple[Frame, ...]:
    """A packet with its attachments, to be written together. ``kind`` as for `head`."""
    mark = b"" if ack_id is None else b"%d" % ack_id
    text = Frame(head(kind, namespace, len(body.attachments)) + mark + body.json)
    return (text, *(Frame.binary(part) for part in body.attachments))


def _has_binary(value: Any) -> bool:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return True
    if isinstance(value, dict):
        return any(_has_binary(item) for item in value.values())
    return isinstance(value, (list, tuple)) and any(_has_binary(item) for item in value)


def _emptied(value: Any, parts: list[bytes]) -> Any:
    """``value`` with a placeholder for each binary value, which goes to ``parts``."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        parts.append(bytes(value))
        return {"_placeholder": True, "num": len(parts) - 1}
    if isinstance(value, dict):
        return {key: _emptied(item, parts) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_emptied(item, parts) for item in value]
    return value


class NativeCodec:
    """The protocol's own form: JSON with attachments beside it."""

    def __init__(self, json: Json) -> None:
        self.json = json

    def decode(self, message: str | bytes) -> Packet:
        """A packet from its text. Raises Malformed."""
        if isinstance(message, bytes):
            raise MalformedPacket("an attachment of no packet")
        return decode(message, self.json)

    def encode(
        self, kind: int, namespace: str, data: Any = None, ack_id: int | None = None
    ) -> Sequence[Frame]:
        """A packet and its attachments."""
        body = Body(b"") if data is None else pack(data, self.json)
        return framed(kind, namespace, body, ack_id)


class ClassCodec:
    """Packets by a class such as stock's, for ``serializer=``: MessagePack or the application's own."""

    def __init__(self, packet_class: Any) -> None:
        self._class = packet_class

    def decode(self, message: str | bytes) -> Packet:
        """A packet. Raises Malformed."""
        try:
            made = self._class(encoded_packet=message)
            namespace = made.namespace or "/"
            return Packet(made.packet_type, namespace, made.id, made.attachment_count, made.data)
        except Exception as error:
            raise MalformedPacket("packet cannot be read") from error

    def encode(
        self, kind: int, namespace: str, data: Any = None, ack_id: int | None = None
    ) -> Sequence[Frame]:
        """A packet and its attachments."""
        encoded = self._class(kind, data=data, namespace=namespace, id=ack_id).encode()
        parts = encoded if isinstance(encoded, list) else [encoded]
        return [
            Frame.binary(bytes(part)) if isinstance(part, (bytes, bytearray)) else Frame(b"4" + part.encode())
            for part in parts
        ]
