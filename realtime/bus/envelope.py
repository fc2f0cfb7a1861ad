"""What travels between instances: the shapes, their bytes, and the running numbers that make a loss visible.

Nothing here does I/O. A receiver trusts nothing: what is not exactly an envelope is refused.
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

CHANNELS_COUNTED: Final = 50_000
PUBLISHERS_COUNTED: Final = 256
MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
MAX_NAME: Final = 512

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class BusItem(NamedTuple):
    """One fragment on its way: what it replaces (``key``), how new it is (``order``), its ready JSON."""

    key: _Name
    order: _Count
    fragment: bytes


class Message(NamedTuple):
    """What is published: see `Envelope`."""

    channel: str
    kind: str
    items: Sequence[BusItem]
    at_ms: int


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """A message of the bus. ``number`` counts this publisher's messages on this channel; ``at_ms`` is when
    the oldest of ``items`` arrived, by the publisher's clock.
    """

    publisher: _Name
    number: _Count
    kind: _Name
    items: list[BusItem]
    at_ms: _Count


class MalformedEnvelope(ValueError):
    """Bytes that are no envelope; the text is the reason counted: ``oversize`` or ``malformed``."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Envelope)


def read(data: bytes) -> Envelope:
    """The envelope in ``data``. Raises Refusal."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedEnvelope("oversize")
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedEnvelope("malformed") from error


class Sequencer:
    """Gives every message of ``publisher`` the next number of its channel.

    The channels longest unused are forgotten beyond a bound; a number that begins again looks like a gap,
    which costs a refill and nothing else.
    """

    def __init__(self, publisher: str) -> None:
        self._publisher = publisher
        self._last: dict[str, int] = {}

    def pack(self, message: Message) -> bytes:
        """The bytes of ``message``, an `Envelope`. A number once given is never given again."""
        channel, kind, items, at_ms = message
        number = self._last.pop(channel, 0) + 1
        self._last[channel] = number
        if len(self._last) > CHANNELS_COUNTED:
            del self._last[next(iter(self._last))]
        return _encode((self._publisher, number, kind, items, at_ms))

    def skip(self, channel: str) -> None:
        """Use up a number of ``channel``, as a message does that gets lost."""
        self._last[channel] = self._last.get(channel, 0) + 1


class SequenceTracker:
    """The last number heard of each publisher on one channel: says when one is missing.

    At most `PUBLISHERS_COUNTED` are remembered. To forget one that may still speak is a doubt in itself,
    so a flood of invented publishers cannot hide a gap.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def clear(self) -> None:
        """Begin anew, as after a break that was told already."""
        self._last.clear()

    def __len__(self) -> int:
        """How many publishers are remembered."""
        return len(self._last)

    def heard(self, publisher: str, number: int) -> str | None:
        """Take note of a message; why something may have been missed, or None."""
        last = self._last.pop(publisher, None)
        self._last[publisher] = number
        if last is not None:
            return None if number == last + 1 else "gap"
        if len(self._last) > PUBLISHERS_COUNTED:
            del self._last[next(iter(self._last))]
            return "gap"
        return None
