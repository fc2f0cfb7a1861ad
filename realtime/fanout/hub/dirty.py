"""Feeds with something new, each written once by the next tick."""

from collections.abc import Callable

from realtime.fanout.feeds.area import AreaFeed
from realtime.fanout.feeds.areas import Areas
from realtime.fanout.feeds.feed import Feed
from realtime.fanout.hub.channel import FeedChannel, Observer
from realtime.fanout.hub.slow_consumers import SlowConsumers


class DirtyFeeds:
    """The dirty feeds of open channels. Members that cannot take what is written are the laggards'."""

    def __init__(
        self,
        areas: Areas,
        laggards: SlowConsumers,
        observer: Observer,
        *,
        limit_bytes: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._areas = areas
        self._laggards = laggards
        self._observer = observer
        self._limit_bytes = limit_bytes
        self._now_ms = now_ms
        self._channels: dict[Feed, FeedChannel] = {}

    def mark(self, feed: Feed, channel: FeedChannel) -> None:
        """``feed`` of ``channel`` has something new."""
        self._channels[feed] = channel

    def mark_all(self, channel: FeedChannel) -> None:
        """Every feed of ``channel`` may have something new."""
        for feed in channel.feeds.values():
            self._channels[feed] = channel

    def forget(self, feed: Feed) -> None:
        """Nobody is there to hear of it."""
        self._channels.pop(feed, None)

    def forget_all(self, channel: FeedChannel) -> None:
        """A channel is gone, and what it still had to say with it."""
        for feed in channel.feeds.values():
            self._channels.pop(feed, None)

    def flush(self) -> None:
        """Write them."""
        dirty, self._channels = self._channels, {}
        for feed, channel in dirty.items():
            self._write(feed)
            if feed.behind():
                self._laggards.look_after(feed, channel.name)
        for area in self._areas.advance():
            self._write(area)
            self.written(area)

    def _write(self, feed: Feed | AreaFeed) -> None:
        oldest_ms = feed.tick(self._limit_bytes)
        if oldest_ms is not None:
            self._observer.delivered(feed.kind, self._now_ms() - oldest_ms)

    def written(self, area: AreaFeed) -> None:
        """``area`` has been written, by the tick or beside it."""
        if area.behind():
            self._laggards.look_after(area, "")
