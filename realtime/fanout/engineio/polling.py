"""HTTP long-polling: what waits for a client's next GET, and the bodies of its GETs and POSTs."""

import asyncio
import base64
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

from aiohttp import web

from realtime.fanout.engineio.frames import Frame
from realtime.http.bodies import read_body
from realtime.protocol import Refused

SEPARATOR: Final = "\x1e"
QUEUED_FRAME_BYTES: Final = 600
"""What a frame of its own and its place in the queue hold beside its text."""
GZIP_LEVEL: Final = 1
"""Bodies are compressed on the event loop: speed counts, not the last tenth of size."""


class BodyError(Exception):
    """The body of a POST is too long, ends early, comes too slowly or is no text."""


class PollQueue:
    """Frames that wait for a poll, and the poll that waits for frames. At most one poll at a time."""

    __slots__ = ("_frames", "_poll", "queued_bytes")

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._poll: asyncio.Future[None] | None = None
        self.queued_bytes = 0

    @property
    def is_polled(self) -> bool:
        """Whether a GET is waiting."""
        return self._poll is not None

    def put(self, frame: Frame) -> None:
        """Queue ``frame`` and wake the poll."""
        self._frames.append(frame)
        self.queued_bytes += len(frame.packet) + QUEUED_FRAME_BYTES
        self.wake()

    def wake(self) -> None:
        """End the waiting poll, with whatever there is."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(None)

    def take(self) -> list[Frame]:
        """Everything that is queued, once."""
        taken, self._frames, self.queued_bytes = self._frames, [], 0
        return taken

    async def poll(self, wait_s: float | None) -> list[Frame]:
        """What is queued, waiting for it until ``wake`` or for ``wait_s``; maybe nothing."""
        if not self._frames:
            loop = asyncio.get_running_loop()
            self._poll = loop.create_future()
            timer = None if wait_s is None else loop.call_later(wait_s, self.wake)
            try:
                await self._poll
            finally:
                self._poll = None
                if timer is not None:
                    timer.cancel()
        return self.take()


def payload_of(frames: Iterable[Frame]) -> bytes:
    """The body of a GET's answer."""
    return b"\x1e".join([frame.polled for frame in frames])


def packets_of(body: str) -> Iterator[str]:
    """The packets of a POST's body, one by one: a body of a million separators is not first made a list."""
    start = 0
    while (end := body.find(SEPARATOR, start)) != -1:
        yield body[start:end]
        start = end + 1
    if body:
        yield body[start:]


def unbase64(text: str) -> bytes:
    """As lenient as Node's parser: what is no base64 is skipped, padding may be missing."""
    try:
        return base64.b64decode(text + "==")
    except ValueError:
        return b""


async def body_of(request: web.Request, max_bytes: int, timeout_s: float) -> str:
    """The whole body as text. Raises BodyError."""
    try:
        return (await read_body(request, max_bytes, timeout_s=timeout_s)).decode()
    except (Refused, UnicodeDecodeError) as error:
        raise BodyError("body cannot be read") from error


def gzipped(body: bytes) -> bytes:
    """``body`` in gzip's format."""
    packer = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()
