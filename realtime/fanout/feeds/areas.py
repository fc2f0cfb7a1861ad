"""The area feeds of an instance: which there are, what moves in them, and how a member comes to one.

A board is divided into cells only while somebody here watches some of them, so that an instance without
such viewers pays nothing for them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from realtime.bus.bus import BusItem
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.area import AreaFeed, CountFeed, MarkerFeed
from realtime.fanout.feeds.feed import FeedEvents
from realtime.fanout.feeds.grid import Chart, Region, Space
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.hub.channel import FeedChannel

MAX_MARKERS: Final = 2_000
"""More than this in a region are counted, not shown one by one. A feed that grows a quarter beyond it is
restarted, as counts."""


class AreaJoin(NamedTuple):
    """What a new member of an area feed is told, and what one that comes from another region: the difference.

    ``fresh``: nothing that was told before counts. ``snapshot`` are fragments by kind, ``left`` the keys that
    are not looked at any more, ``counts`` ready entries when the feed is ``counted``.
    """

    counted: bool
    fresh: bool
    snapshot: dict[str, list[bytes]]
    left: list[str]
    counts: list[bytes]


class Areas:
    """Area feeds by what they show. ``space`` says where fragments are; ``max_markers`` bounds what a region
    shows one by one.
    """

    def __init__(
        self,
        namespace: str,
        ticked: str,
        space: Space | None,
        limit_bytes: int,
        *,
        max_markers: int = MAX_MARKERS,
    ) -> None:
        self._namespace = namespace
        self._ticked = ticked
        self._space = space
        self._limit_bytes = limit_bytes
        self._max_markers = max_markers
        self._overfull = max_markers * 5 // 4
        self._feeds: dict[tuple[object, ...], AreaFeed] = {}
        self._keys: dict[AreaFeed, tuple[object, ...]] = {}
        self._on: dict[FeedChannel, dict[int, set[AreaFeed]]] = {}
        self._moved: set[FeedChannel] = set()

    @property
    def feeds(self) -> list[AreaFeed]:
        """Every feed."""
        return list(self._keys)

    def choose(
        self, label: str, channels: Sequence[FeedChannel], markers: Region | None, counts: Region
    ) -> AreaFeed:
        """The feed of ``markers``, or of ``counts`` when that is None or has too many; made when there is
        none. Whoever does not make a member of it must `forget` it.
        """
        if markers is not None:
            feed = self._feed(label, channels, markers, counted=False)
            if feed.size() <= self._max_markers:
                return feed
            self.forget(feed, channels)
        return self._feed(label, channels, counts, counted=True)

    def _feed(
        self, label: str, channels: Sequence[FeedChannel], region: Region, *, counted: bool
    ) -> AreaFeed:
        key = (label, counted, region, frozenset(channel.name for channel in channels))
        feed = self._feeds.get(key)
        if feed is not None:
            return feed
        assert self._space is not None
        grids = [self._chart(channel).grid(region.level) for channel in channels]
        events = FeedEvents(self._namespace, label)
        if counted:
            feed = CountFeed(events, label, grids, region, self._space)
        else:
            feed = MarkerFeed(events, label, grids, region, self._ticked)
        self._feeds[key] = feed
        self._keys[feed] = key
        for channel in channels:
            self._on.setdefault(channel, {}).setdefault(region.level, set()).add(feed)
        return feed

    def _chart(self, channel: FeedChannel) -> Chart:
        if channel.chart is None:
            assert isinstance(channel.state, LatestState)
            assert self._space is not None
            channel.chart = Chart(channel.state, self._ticked, self._space)
        return channel.chart

    def forget(self, feed: AreaFeed, channels: Sequence[FeedChannel]) -> None:
        """Give up a feed without members, and the grids that nobody else needs."""
        if feed.members or feed not in self._keys:
            return
        del self._feeds[self._keys.pop(feed)]
        level = feed.region.level
        for channel in channels:
            on = self._on[channel]
            on[level].discard(feed)
            if on[level]:
                continue
            del on[level]
            assert channel.chart is not None
            del channel.chart.grids[level]
            if not on:
                del self._on[channel]
                channel.chart = None
                self._moved.discard(channel)

    def joined(self, feed: AreaFeed, before: AreaFeed | None, member: EngineSocket) -> AreaJoin:
        """What ``member``, who has watched ``before``, is to be told of ``feed``. Call it before it moves."""
        known = before if before is not None and member not in before.owed else None
        if isinstance(feed, CountFeed):
            beside = (
                known if isinstance(known, CountFeed) and known.region.level == feed.region.level else None
            )
            for counted in (feed, beside):
                if counted is not None:
                    counted.tick(self._limit_bytes)
            return AreaJoin(True, beside is None, {}, [], feed.counts(beside))
        if not isinstance(known, MarkerFeed):
            return AreaJoin(False, True, feed.snapshot(), [], [])
        here, there = feed.keys(), known.keys()
        return AreaJoin(False, False, feed.snapshot(here - there), sorted(there - here), [])

    # --- what happens

    def take(self, channel: FeedChannel, kind: str, items: Sequence[BusItem], at_ms: int) -> list[AreaFeed]:
        """What the board of ``channel`` has just accepted. Returns the feeds that have written of it."""
        assert channel.chart is not None
        if kind == self._ticked:
            channel.chart.take(items, at_ms)
            self._moved.add(channel)
            return []
        told = []
        for level, feeds in self._on[channel].items():
            grid = channel.chart.grids[level]
            for feed in feeds:
                for key, _, fragment in items:
                    if feed.tell(grid, kind, key, fragment, self._limit_bytes):
                        told.append(feed)
        return told

    def on(self, channel: FeedChannel) -> set[AreaFeed]:
        """The feeds that show something of ``channel``."""
        return {feed for feeds in self._on.get(channel, {}).values() for feed in feeds}

    def advance(self) -> set[AreaFeed]:
        """Bring the grids up to date; returns the feeds in which something moved, to be ticked now."""
        moved, self._moved = self._moved, set()
        touched: set[AreaFeed] = set()
        for channel in moved:
            assert channel.chart is not None
            moves_of, at_ms = channel.chart.advance()
            for level, feeds in self._on[channel].items():
                grid = channel.chart.grids[level]
                touched.update(feed for feed in feeds if feed.take(grid, moves_of[level], at_ms))
        return touched

    def counted(self) -> list[AreaFeed]:
        """Write the counts that have changed; returns those feeds."""
        feeds: list[AreaFeed] = [feed for feed in self._keys if isinstance(feed, CountFeed)]
        for feed in feeds:
            feed.tick(self._limit_bytes)
        return feeds

    def overfull(self) -> list[AreaFeed]:
        """The feeds that show more one by one than they should."""
        return [f for f in self._keys if isinstance(f, MarkerFeed) and f.size() > self._overfull]
