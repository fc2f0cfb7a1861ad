"""Slow members: paid what they are owed once they can take it, cut off when they make no progress.

Costs what is behind: a feed without slow members is not looked at.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.area import AreaFeed
from realtime.fanout.feeds.feed import LOG_PAGE, Feed, LogFeed
from realtime.fanout.hub.channel import Observer, Origin

log = logging.getLogger(__name__)

RETRY_S: Final = 1.0
AnyFeed = Feed | AreaFeed


@dataclass(slots=True)
class _Progress:
    """How a member that is behind has been doing."""

    unread_bytes: int
    since_s: float


class SlowConsumers:
    """Looks after the members that are behind, every tick. ``stop`` ends what it reads for them."""

    def __init__(
        self,
        origin: Origin,
        observer: Observer,
        *,
        limit_bytes: int,
        stall_s: float,
        on_stalled: Callable[[EngineSocket], None],
    ) -> None:
        self._origin = origin
        self._observer = observer
        self._limit_bytes = limit_bytes
        self._stall_s = stall_s
        self._on_stalled = on_stalled
        self._feeds: dict[AnyFeed, str] = {}
        self._behind: dict[EngineSocket, _Progress] = {}
        self._urgent: set[EngineSocket] = set()
        self._paging: dict[tuple[str, EngineSocket], asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._behind)

    async def stop(self) -> None:
        """End every read."""
        tasks = list(self._paging.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def look_after(self, feed: AnyFeed, channel: str) -> None:
        """Somebody in ``feed`` is behind; ``channel`` is where a log can be read."""
        self._feeds[feed] = channel

    def watch(self, member: EngineSocket) -> None:
        """Something that cannot wait for long lies unread behind much else."""
        self._urgent.add(member)

    def forget(self, member: EngineSocket) -> None:
        """A member has gone."""
        self._urgent.discard(member)
        self._behind.pop(member, None)

    def look(self) -> None:
        """Pay members that can take bytes again; end those that made no progress for too long."""
        if not self._feeds and not self._behind and not self._urgent:
            return
        now_s = asyncio.get_running_loop().time()
        self._urgent = {member for member in self._urgent if member.buffered_bytes > self._limit_bytes}
        behind: set[EngineSocket] = set(self._urgent)
        for feed, channel in list(self._feeds.items()):
            owed = self._pay(channel, feed)
            behind.update(owed)
            if not owed:
                del self._feeds[feed]
        for member in behind:
            unread = member.buffered_bytes
            known = self._behind.get(member)
            if known is None or unread < known.unread_bytes or unread <= self._limit_bytes // 2:
                self._behind[member] = _Progress(unread, now_s)
            elif now_s - known.since_s > self._stall_s:
                self._observer.stalled()
                self._on_stalled(member)
        for member in self._behind.keys() - behind:
            del self._behind[member]

    def _pay(self, channel: str, feed: AnyFeed) -> list[EngineSocket]:
        """Write what is owed to those who can take it; returns those who were behind."""
        owed = list(feed.behind())
        for member in owed:
            if member.buffered_bytes > self._limit_bytes // 2:
                continue
            if isinstance(feed, LogFeed):
                self._page(channel, feed, member)
            else:
                feed.pay(member)
        return owed

    def _page(self, channel: str, feed: LogFeed, member: EngineSocket) -> None:
        fragments = feed.state.after(feed.members[member], LOG_PAGE)
        if fragments is not None:
            feed.page(member, fragments)
            return
        reading = self._paging.get((feed.label, member))
        if reading is None or reading.done():
            task = asyncio.ensure_future(self._page_from_origin(channel, feed, member))
            self._paging[(feed.label, member)] = task
            task.add_done_callback(lambda _: self._paging.pop((feed.label, member), None))

    async def _page_from_origin(self, channel: str, feed: LogFeed, member: EngineSocket) -> None:
        written = feed.members[member]
        try:
            items = await self._origin.read_log(channel, written, LOG_PAGE)
        except Exception as error:
            log.warning("page failed: %s", type(error).__name__)
            await asyncio.sleep(RETRY_S)
            return
        if feed.members.get(member) == written and items:
            feed.page(member, [item.fragment for item in items])
