"""The messages of one client that wait until what takes them has finished with the one before."""

import asyncio
from collections import deque
from typing import Final

BACKLOG_MESSAGES: Final = 64
BACKLOG_BYTES: Final = 256 * 1024
MESSAGE_OVERHEAD_BYTES: Final = 100


class Backlog:
    """A bounded queue. When it ``is_full`` its feeder stops reading; what one read had brought still fits."""

    __slots__ = ("_bytes", "_room", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[str | bytes] = deque()
        self._bytes = 0
        self._room: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether no more should be read for now."""
        return len(self._waiting) >= BACKLOG_MESSAGES or self._bytes >= BACKLOG_BYTES

    def add(self, message: str | bytes) -> None:
        """Keep ``message`` for its turn."""
        self._waiting.append(message)
        self._bytes += len(message) + MESSAGE_OVERHEAD_BYTES

    def next(self) -> str | bytes:
        """The oldest message."""
        message = self._waiting.popleft()
        self._bytes -= len(message) + MESSAGE_OVERHEAD_BYTES
        if not self.is_full:
            self._make_room()
        return message

    def clear(self) -> None:
        """Forget what waits; nobody will take it."""
        self._waiting.clear()
        self._bytes = 0
        self._make_room()

    async def room(self) -> None:
        """Wait until it is not full. One waiter at a time."""
        if self.is_full:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None
