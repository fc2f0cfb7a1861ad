"""After a doubt the truth is read again; and now and then without one, for what nobody ever published.

A channel is read at once after its first doubt, and again at most every ``retry_s`` however many follow:
forged messages and a bus in disorder cost the store one read a channel and second, and no doubt is forgotten.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from realtime.aio import end
from realtime.bus.bus import BusItem
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import LogState
from realtime.fanout.hub.channel import FeedChannel, Observer, Origin

log = logging.getLogger(__name__)

READ_PAGE: Final = 5_000
RETRY_S: Final = 1.0
"""Seconds between two reads of one channel: more messages from the bus do not cause more reads."""
Take = Callable[[FeedChannel, str, Sequence[BusItem]], None]


class Resync:
    """Reads channels again and hands what it finds to ``take``, which knows what is new of it.

    ``changed`` is called with a channel whose log may have grown.
    """

    def __init__(
        self,
        origin: Origin,
        observer: Observer,
        take: Take,
        changed: Callable[[FeedChannel], None],
        *,
        retry_s: float = RETRY_S,
    ) -> None:
        self._origin = origin
        self._observer = observer
        self._take = take
        self._changed = changed
        self._retry_s = retry_s
        self._tasks: set[asyncio.Task[None]] = set()

    async def stop(self) -> None:
        """End what is being read."""
        await end(self._tasks)

    def refill(self, channel: FeedChannel, reason: str) -> None:
        """Read ``channel`` now, or, having been read just now, once more after ``retry_s``."""
        channel.doubted = True
        if channel.state is None:
            return  # it is read when it opens
        if channel.refilling is None or channel.refilling.done():
            channel.refilling = task = asyncio.ensure_future(self._refill_while_doubted(channel, reason))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _refill_while_doubted(self, channel: FeedChannel, reason: str) -> None:
        while channel.doubted:
            channel.doubted = False
            self._observer.refilled(reason)
            try:
                await self.read_again(channel)
            except Exception as error:
                log.warning("refill failed: %s", type(error).__name__)
                channel.doubted = True
            await asyncio.sleep(self._retry_s)

    async def read_again(self, channel: FeedChannel) -> None:
        """Read ``channel`` once. Raises what the origin raises."""
        state = channel.state
        if isinstance(state, LatestState):
            for kind, items in await self._origin.load_board(channel.name):
                self._take(channel, kind, items)
        elif isinstance(state, LogState):
            while True:
                items = await self._origin.read_log(channel.name, state.through, READ_PAGE)
                state.offer(items)
                self._changed(channel)
                if len(items) < READ_PAGE:
                    break

    async def audit(self, channels: Iterable[FeedChannel]) -> None:
        """Compare the watched logs' ends with the truth, which catches what nobody ever published.

        A log found closed is closed for its viewers once they have been offered all of it.
        """
        logs = {c.name: c for c in channels if isinstance(c.state, LogState)}
        if not logs:
            return
        try:
            ends = await self._origin.log_ends(list(logs))
        except Exception as error:
            log.warning("audit waits: %s", type(error).__name__)
            return
        for name, channel in logs.items():
            end = ends.get(name)
            if end is None or not isinstance(channel.state, LogState):
                continue
            if end.last > channel.state.through:
                self.refill(channel, "audit")
            elif end.closing is not None:
                kind, item = end.closing
                self._take(channel, kind, [item])
