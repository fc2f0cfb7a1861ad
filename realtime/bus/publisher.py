"""Publishing to one Redis server: hundreds of messages a call, in order."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import TimeoutError as RedisTimeout

from realtime.redis.lua import pack

CALL_MESSAGES: Final = 500
CALL_BYTES: Final = 1024 * 1024
"""What one call of the script takes at most: Redis serves nobody else meanwhile (about 1 ms)."""
AWAY_S: Final = 0.5
_SCRIPT: Final = Path(__file__).with_name("publish.lua").read_text(encoding="utf-8")
Packed = tuple[bytes, bytes]
"""A channel and what is published on it."""


class BusPublisher:
    """``publish`` raises RedisError, OSError or TimeoutError; what was sent is then unknown."""

    def __init__(self, client: "redis.Redis", *, sharded: bool, timeout_s: float) -> None:
        self._client = client
        self._command = "SPUBLISH" if sharded else "PUBLISH"
        self._timeout_s = timeout_s
        self._script = client.register_script(_SCRIPT)
        self._turn = asyncio.Lock()
        self._away_until = 0.0

    async def publish(self, messages: Sequence[Packed]) -> list[int]:
        """Publish in order, also among concurrent calls. The places in ``messages`` of what the server
        refused, a Cluster's node because it does not have the slot.
        """
        refused: list[int] = []
        loop = asyncio.get_running_loop()
        if loop.time() < self._away_until:
            raise RedisAway("the server was away a moment ago")
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                for start, part in _calls(messages):
                    answer: Any = await self._script(args=[self._command, pack(part)])
                    refused += [start + place for place in answer]
        except (OSError, TimeoutError, RedisAway, RedisTimeout):
            if self._command == "SPUBLISH":  # the other nodes' messages do not wait for this one's time-out
                self._away_until = loop.time() + AWAY_S
            raise
        return refused

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


def _calls(messages: Sequence[Packed]) -> Iterator[tuple[int, list[bytes]]]:
    """``messages`` in parts of a bounded size, flat; each with the place of its first."""
    start, size_bytes, part = 0, 0, list[bytes]()
    for place, message in enumerate(messages):
        size_bytes += len(message[1])
        if part and (size_bytes > CALL_BYTES or place - start >= CALL_MESSAGES):
            yield start, part
            start, size_bytes, part = place, len(message[1]), []
        part += message
    if part:
        yield start, part
