"""After a doubt the truth is read again; and now and then without one, for what nobody ever published."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from realtime.fanout.board import Board
from realtime.fanout.bus import Item
from realtime.fanout.channel import Channel, Observer, Origin
from realtime.fanout.log import LogState

log = logging.getLogger(__name__)

READ_PAGE: Final = 5_000
RETRY_S: Final = 1.0
Take = Callable[[Channel, str, Sequence[Item]], None]


class Refiller:
    """Reads channels again and hands what it finds to ``take``, which knows what is new of it.

    ``changed`` is called with a channel whose log may have grown.
    """

    def __init__(
        self, origin: Origin, observer: Observer, take: Take, changed: Callable[[Channel], None]
    ) -> None:
        self._origin = origin
        self._observer = observer
        self._take = take
        self._changed = changed

    def refill(self, channel: Channel, reason: str) -> None:
        """Read ``channel`` again until that has succeeded without a new doubt."""
        if channel.state is None:
            channel.doubted = True
            return
        if channel.refilling is not None and not channel.refilling.done():
            channel.doubted = True
            return
        self._observer.refilled(reason)
        channel.refilling = asyncio.ensure_future(self._refill_until_sure(channel))

    async def _refill_until_sure(self, channel: Channel) -> None:
        while True:
            channel.doubted = False
            try:
                await self.read_again(channel)
            except Exception as error:
                log.warning("refill failed: %s", type(error).__name__)
                channel.doubted = True
                await asyncio.sleep(RETRY_S)
            if not channel.doubted:
                return

    async def read_again(self, channel: Channel) -> None:
        """Read ``channel`` once. Raises what the origin raises."""
        state = channel.state
        if isinstance(state, Board):
            for kind, items in await self._origin.load_board(channel.name):
                self._take(channel, kind, items)
        elif isinstance(state, LogState):
            while True:
                items = await self._origin.read_log(channel.name, state.through, READ_PAGE)
                state.offer(items)
                self._changed(channel)
                if len(items) < READ_PAGE:
                    break

    async def audit(self, channels: Iterable[Channel]) -> None:
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
