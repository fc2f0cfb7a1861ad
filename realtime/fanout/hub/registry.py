"""The watched channels of this instance: opened by their first user, given up with their last.

The order that makes opening free of holes: subscribe and wait for Redis to confirm; then read the truth;
then merge what came meanwhile.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Final

from realtime.aio import end
from realtime.bus.bus import RedisBus
from realtime.fanout.hub.channel import FeedChannel

SUBSCRIBE_TIMEOUT_S: Final = 2.0
SUBSCRIBE_ALONE_S: Final = 0.05
"""With Redis away nobody waits for a confirmation; its later arrival is told as a doubt."""
OPENING_AT_ONCE: Final = 16
"""Each reads the truth; a viewer of a whole tenant must not take every connection for it."""

Load = Callable[[FeedChannel], Awaitable[None]]
"""Gives a channel that is subscribed to its state."""


class ChannelRegistry:
    """Channels by name. ``find`` is what every published item asks, so it is the dictionary's own ``get``."""

    def __init__(self, bus: RedisBus, on_closed: Callable[[FeedChannel], None]) -> None:
        self._bus = bus
        self._on_closed = on_closed
        self._by_name: dict[str, FeedChannel] = {}
        self._unsubscribing: set[asyncio.Task[Any]] = set()
        self.find: Final = self._by_name.get

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[FeedChannel]:
        return iter(list(self._by_name.values()))

    async def stop(self) -> None:
        """End what is still going on."""
        await end(list(self._unsubscribing))

    @contextlib.asynccontextmanager
    async def open(self, name: str, load: Load) -> AsyncIterator[FeedChannel]:
        """The channel, open for as long as the block lasts and for whoever is kept by `keep` in it."""
        channel = self._by_name.get(name)
        if channel is None:
            channel = self._by_name[name] = FeedChannel(name)
        self.keep(channel)
        try:
            try:
                if channel.ready is None:
                    channel.ready = asyncio.ensure_future(self._open(channel, load))
                await asyncio.shield(channel.ready)
            except BaseException:
                if channel.ready is not None and channel.ready.done():
                    channel.ready = None
                raise
            yield channel
        finally:
            self.release(channel)

    @contextlib.asynccontextmanager
    async def open_all(self, names: Sequence[str], load: Load) -> AsyncIterator[list[FeedChannel]]:
        """The same for several, all or none of them, opened side by side."""
        gate = asyncio.Semaphore(OPENING_AT_ONCE)

        async def open_one(name: str) -> FeedChannel:
            async with gate:
                return await stack.enter_async_context(self.open(name, load))

        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.TaskGroup() as group:
                    opening = [group.create_task(open_one(name)) for name in names]
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None
            yield [task.result() for task in opening]

    async def _open(self, channel: FeedChannel, load: Load) -> None:
        timeout_s = SUBSCRIBE_TIMEOUT_S if self._bus.is_up else SUBSCRIBE_ALONE_S
        await self._bus.subscribe(channel.name, timeout_s)
        await load(channel)

    def keep(self, channel: FeedChannel) -> None:
        """Count one more user of an open channel."""
        channel.users += 1

    def release(self, channel: FeedChannel) -> None:
        """Count one user less; with the last one the channel is gone."""
        channel.users -= 1
        if channel.users:
            return
        self._by_name.pop(channel.name, None)
        if channel.refilling is not None:
            channel.refilling.cancel()
        self._on_closed(channel)
        task = asyncio.ensure_future(self._bus.unsubscribe(channel.name))
        self._unsubscribing.add(task)
        task.add_done_callback(self._unsubscribing.discard)
