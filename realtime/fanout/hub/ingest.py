"""What arrives for a channel, by whichever way: into its state, and from there to the feeds that want it.

An opener's order: take what came before there was a state, read the truth, merge. Everything may arrive twice
and out of order; the states know what is new.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from realtime.bus.bus import BusItem
from realtime.fanout.feeds.areas import Areas
from realtime.fanout.feeds.feed import LogFeed
from realtime.fanout.feeds.latest import LatestState, Supersedes
from realtime.fanout.feeds.log import LogState
from realtime.fanout.hub.channel import FeedChannel, LogEnd, Origin
from realtime.fanout.hub.dirty import DirtyFeeds

EARLY_MESSAGES: Final = 1_000
"""Messages stored for a channel that is being opened; beyond it the authoritative state is read once more."""


class Arrivals:
    """Gives channels their state and changes it.

    ``doubt`` is called with a channel whose truth must be read again and the reason. ``at_once``: nothing
    waits for the tick. ``rules``: those of the boards. ``max_early_messages``: messages stored for a channel
    that is being opened.
    """

    def __init__(
        self,
        origin: Origin,
        dirty: DirtyFeeds,
        areas: Areas,
        *,
        ticked: str,
        at_once: bool,
        limit_bytes: int,
        doubt: Callable[[FeedChannel, str], None],
        now_ms: Callable[[], int],
        rules: Mapping[str, Supersedes] | None = None,
        max_early_messages: int = EARLY_MESSAGES,
    ) -> None:
        self._rules = rules
        self._origin = origin
        self._dirty = dirty
        self._areas = areas
        self._ticked = ticked
        self._at_once = at_once
        self._limit_bytes = limit_bytes
        self._doubt = doubt
        self._now_ms = now_ms
        self._max_early_messages = max_early_messages

    # --- opening

    async def open_board(self, channel: FeedChannel) -> None:
        """Give ``channel`` the newest of every key."""
        channel.state = board = LatestState(self._rules)
        self._take_early(channel)
        for kind, items in await self._origin.load_board(channel.name):
            board.apply(kind, items)

    async def open_log(self, channel: FeedChannel) -> None:
        """Give ``channel`` a log that stands where the truth's does."""
        end = (await self._origin.log_ends([channel.name])).get(channel.name, LogEnd(0))
        channel.state = LogState(end.last)
        if end.closing is not None:
            self._note(channel, end.closing[0], [end.closing[1]])
        self._take_early(channel)

    def _take_early(self, channel: FeedChannel) -> None:
        """What came while the channel had no state yet."""
        early, channel.early = channel.early, []
        for kind, items in early:
            self.take_now(channel, kind, items)
        if channel.doubted:
            self._doubt(channel, "join")

    # --- whatever comes then

    def take(self, channel: FeedChannel, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """Something that arrived at ``at_ms``."""
        state = channel.state
        if isinstance(state, LatestState):
            if taken := state.apply(kind, items):
                self._spread(channel, kind, taken, at_ms)
        elif state is None:
            # Kept until there is a state to put it into; beyond the bound the truth is read once more then.
            if len(channel.early) < self._max_early_messages:
                channel.early.append((kind, items))
            else:
                channel.doubted = True
        elif kind == self._ticked:
            state.offer(items)
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.oldest_ms = at_ms if feed.oldest_ms is None else min(at_ms, feed.oldest_ms)
            if state.has_gap:
                self._doubt(channel, "gap")
            self._dirty.mark_all(channel)
        else:
            self._note(channel, kind, items)
            self._dirty.mark_all(channel)
        if self._at_once:
            self._dirty.flush()

    def take_now(self, channel: FeedChannel, kind: str, items: Sequence[BusItem]) -> None:
        """The same with the present time: nobody knows how old it is."""
        self.take(channel, kind, items, self._now_ms())

    def _spread(self, channel: FeedChannel, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """Hand what a board has taken to the feeds that want it."""
        for feed in channel.broad:
            feed.take(kind, items, self._limit_bytes, at_ms)
            self._dirty.mark(feed, channel)
        if channel.by_key:
            for key in {item.key for item in items} & channel.by_key.keys():
                for feed in channel.by_key[key]:
                    feed.take(kind, items, self._limit_bytes, at_ms)
                    self._dirty.mark(feed, channel)
        if channel.chart is not None:
            for area in self._areas.take(channel, kind, items, at_ms):
                self._dirty.written(area)

    def _note(self, channel: FeedChannel, kind: str, items: Sequence[BusItem]) -> None:
        """Tell a log's members of what happened to the log itself, each thing once."""
        for item in items:
            if item.key in channel.notes:
                continue
            channel.notes[item.key] = item.fragment
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.tick(self._limit_bytes)
                feed.note(kind, item.fragment)
