"""Viewers that count what they are shown: every frame, by its head, without decoding it twice.

All members of a room get the same bytes. The first to get a frame decodes it; the others recognise it by
its length and first bytes, so a position that reaches a thousand viewers is parsed once and counted a
thousand times.
"""

import time
from typing import Any, Final, Protocol

import msgspec

from loadtests.bench.load.client import Client, Loop, frame_at

NAMESPACE: Final = b"/watch"
HEAD_BYTES: Final = 192
"""Of a frame, enough to hold its first position with its seq and time: no two frames share it."""
_SHOWN: Final = b'42/watch,["positions",'
_TEXT: Final = 0x81


class Shown:
    """One frame of positions. ``sent_s``: when each of them was sent, empty until a viewer has it all."""

    __slots__ = ("early_s", "index", "receipts", "sent_s", "size", "who")

    def __init__(self, index: int) -> None:
        self.index = index
        self.receipts = 0
        self.size = 0
        self.early_s: list[float] = []
        self.who: list[tuple[str, int]] = []
        self.sent_s: list[float] = []


class Audience(Protocol):
    """Who keeps count for all viewers. ``positions`` and ``frames`` count while ``counting``."""

    known: dict[bytes, Shown]
    counting: bool
    positions: int
    frames: int
    duplicates: int
    members: int

    def first_seen(self, key: bytes) -> Shown:
        """A frame nobody has had yet."""

    def read(self, shown: Shown, who: list[tuple[str, int]]) -> None:
        """What is in a frame: (driver, seq) of each position."""

    def complete(self, shown: Shown, now_s: float) -> None:
        """The last viewer has this frame."""

    def sample(self, shown: Shown, now_s: float) -> None:
        """A viewer whose latencies are noted has this frame."""


class Viewer(Client):
    """Watches one vendor."""

    __slots__ = ("_audience", "_current", "_index", "_left", "_reading", "_samples", "_watch")

    def __init__(
        self,
        loop: Loop,
        audience: Audience,
        address: tuple[str, int],
        token: str,
        vendor: str,
        samples: bool = True,
    ) -> None:
        super().__init__(loop, address, NAMESPACE, token)
        self._audience = audience
        self._watch = b'42/watch,0["watch",{"feed":{"vendor":"%b"}}]' % vendor.encode()
        self._samples = samples
        self._left = 0
        self._index = -1
        self._current: Shown | None = None
        self._reading: list[bytes] | None = None

    def joined(self) -> None:
        """Let in: watch."""
        self.say(self._watch)

    def told(self, payload: bytes) -> None:
        """The answer to ``watch``; other events are of no interest."""
        if payload.startswith(b"43/watch,0"):
            if b'"ok":true' in payload[:40]:
                self.done()
            else:
                self.lost("not shown: " + payload[:120].decode(errors="replace"))

    def readable(self) -> None:
        """Count what came; before it takes part, listen like any client."""
        if not self.ready:
            super().readable()
            return
        data = self.received()
        if self._buffer:
            whole, self._buffer = self._buffer + bytes(data), b""
            self._walk(memoryview(whole), len(whole))
        elif data:
            self._walk(data, len(data))

    def _walk(self, data: memoryview, size: int) -> None:
        now_s = time.perf_counter()
        at = self._go_on(data, size, now_s) if self._left else 0
        known = self._audience.known
        while at < size:
            begin, end = frame_at(data, at)  # type: ignore[arg-type]  # reads it like bytes
            head_end = end if end - begin < HEAD_BYTES else begin + HEAD_BYTES
            if begin == 0 or head_end > size:
                self._buffer = bytes(data[at:size])
                return
            key = bytes(data[at:head_end])
            shown = known.get(key)
            if shown is None:
                shown = self._new(data, key, begin, end, size)
            if shown is None:
                if end > size:
                    self._buffer = bytes(data[at:size])
                    return
                self._frame(key[0], bytes(data[begin:end]))
                if self.sock is None:
                    return
            elif end > size:
                self._current, self._left = shown, end - size
                return
            else:
                self._whole(shown, now_s)
            at = end

    def _go_on(self, data: memoryview, size: int, now_s: float) -> int:
        """The rest of a frame that came in parts; returns where the next one begins."""
        taken = min(self._left, size)
        self._left -= taken
        if self._reading is not None:
            self._reading.append(bytes(data[:taken]))
        if self._left == 0:
            shown, self._current = self._current, None
            assert shown is not None
            if self._reading is not None:
                payload, self._reading = b"".join(self._reading), None
                self._audience.read(shown, _positions(payload))
            self._whole(shown, now_s)
        return taken

    def _new(self, data: memoryview, key: bytes, begin: int, end: int, size: int) -> Shown | None:
        """The record of a frame of positions that nobody knows yet; None for any other frame."""
        if key[0] != _TEXT or bytes(data[begin : begin + len(_SHOWN)]) != _SHOWN:
            return None
        shown = self._audience.first_seen(key)
        if end > size:
            self._reading = [bytes(data[begin:size])]
        else:
            self._audience.read(shown, _positions(bytes(data[begin:end])))
        return shown

    def _whole(self, shown: Shown, now_s: float) -> None:
        audience = self._audience
        if shown.index <= self._index:
            audience.duplicates += 1
        self._index = shown.index
        shown.receipts += 1
        if audience.counting:
            audience.frames += 1
            audience.positions += shown.size
            if self._samples:
                audience.sample(shown, now_s)
        if shown.receipts == audience.members:
            audience.complete(shown, now_s)


class Staller(Viewer):
    """A viewer that will stop reading. That it is cut off then is what should happen."""

    __slots__ = ("gone", "stalled")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.stalled = self.gone = False

    def readable(self) -> None:
        """Read and forget."""
        if not self.ready:
            super().readable()
        else:
            self.received()

    def stall(self) -> None:
        """Read no more; only a reset is noticed."""
        self.stalled = True
        self._loop.modify(self, 0)

    def lost(self, reason: str) -> None:
        """Cut off."""
        if self.stalled:
            self.gone = True
            self.close()
        else:
            super().lost(reason)


def _positions(payload: bytes) -> list[tuple[str, int]]:
    """(driver, seq) of each position of an event ``["positions", feed, [[driver, journey, point], …]]``."""
    _, _, positions = _DECODE(payload[9:])
    return [(driver, point[0]) for driver, _, point in positions]


_DECODE: Final = msgspec.json.Decoder().decode
