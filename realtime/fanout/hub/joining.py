"""How a member comes to a feed without a hole.

The order: open the channel (see `channels`); then read the truth; then merge what came meanwhile. After any
doubt the truth is read again the same way.
"""

import contextlib
import functools
from collections.abc import Collection, Sequence
from typing import NamedTuple

from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.areas import AreaJoin, Areas
from realtime.fanout.feeds.feed import Feed, LatestFeed, LogFeed, PresenceSideFeed, beside
from realtime.fanout.feeds.grid import Region
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import LogState
from realtime.fanout.hub.channel import FeedChannel, Origin
from realtime.fanout.hub.dirty import DirtyFeeds
from realtime.fanout.hub.ingest import Arrivals
from realtime.fanout.hub.memberships import Membership, Memberships
from realtime.fanout.hub.recovery import READ_PAGE, Resync
from realtime.fanout.hub.registry import ChannelRegistry


class Beside(NamedTuple):
    """What of a board is told to who watches a log: ``kind`` of ``key``, until it has a note in ``ends``."""

    channel: str
    key: str
    kind: str
    ends: Collection[str]


class LogJoin(NamedTuple):
    """What a new member of a log is told: the entries up to ``through``; ``more`` follow as events.

    ``notes`` are what was already told of the log itself, by key; it will not be told again. ``beside``: what
    is true now of the board beside it.
    """

    fragments: list[bytes]
    through: int
    more: bool
    notes: dict[str, bytes]
    beside: list[bytes]


class Joining:
    """The ways to become a member, one for each sort of feed."""

    def __init__(
        self,
        namespace: str,
        origin: Origin,
        channels: ChannelRegistry,
        memberships: Memberships,
        areas: Areas,
        dirty: DirtyFeeds,
        arrivals: Arrivals,
        refiller: Resync,
        *,
        ticked: str,
        limit_bytes: int,
    ) -> None:
        self._namespace = namespace
        self._origin = origin
        self._channels = channels
        self._memberships = memberships
        self._areas = areas
        self._dirty = dirty
        self._arrivals = arrivals
        self._refiller = refiller
        self._ticked = ticked
        self._limit_bytes = limit_bytes

    async def board(
        self, channel_name: str, label: str, key: str | None, member: EngineSocket
    ) -> dict[str, list[bytes]]:
        """Make ``member`` a member; what is true now by kind. Everything after it arrives as events."""
        async with self._channels.open(channel_name, self._arrivals.open_board) as channel:
            assert isinstance(channel.state, LatestState)
            feed = channel.feeds.get(label)
            if feed is None:
                feed = LatestFeed(self._namespace, label, channel.state, key, self._ticked)
                channel.add(feed)
            assert isinstance(feed, LatestFeed)
            feed.tick(self._limit_bytes)
            snapshot = dict(channel.state.since(0, key))
            if self._memberships.admit(Membership(feed, (channel,)), member):
                feed.members.add(member)
            return snapshot

    async def log(
        self,
        channel_name: str,
        label: str,
        member: EngineSocket,
        since: int | None,
        also: Beside | None = None,
    ) -> LogJoin:
        """Make ``member`` a member from after entry ``since``; None: from the last one on. ``also``: what
        of a board is told in its feed. Events may follow as soon as this returns: whoever answers the member
        awaits nothing before, or it hears of what came after the answer before the answer.

        Raises ValueError when ``since`` is beyond the end.
        """
        async with contextlib.AsyncExitStack() as stack:
            channel = await stack.enter_async_context(
                self._channels.open(channel_name, self._arrivals.open_log)
            )
            board = None
            if also is not None and not self._has_note(channel_name, also.ends):
                board = await stack.enter_async_context(
                    self._channels.open(also.channel, self._arrivals.open_board)
                )
            assert isinstance(channel.state, LogState)
            start = max(0, channel.state.through - 1) if since is None else since
            if start > channel.state.through:
                await self._refiller.read_again(channel)
            if start > channel.state.through:
                raise ValueError(f"since_seq {start} is beyond {channel.state.through}")
            items = await self._origin.read_log(channel_name, start, READ_PAGE)
            channel.state.offer(items)
            through = start + len(items)
            feed = channel.feeds.get(label)
            if feed is None:
                feed = LogFeed(self._namespace, label, channel.state, self._ticked)
                channel.add(feed)
            assert isinstance(feed, LogFeed)
            there: list[bytes] = []
            if self._memberships.admit(Membership(feed, (channel,)), member):
                feed.admit(member, through)
                self._dirty.mark_all(channel)
                if board is not None and also is not None and not self._has_note(channel_name, also.ends):
                    there = self._admit_beside(board, label, also, channel_name, member)
            more = through < channel.state.through
            return LogJoin([item.fragment for item in items], through, more, dict(channel.notes), there)

    def _admit_beside(
        self, board: FeedChannel, label: str, also: Beside, log_name: str, member: EngineSocket
    ) -> list[bytes]:
        """Tell ``member``, which watches a log as ``label``, of a board's key under that name; its state."""
        assert isinstance(board.state, LatestState)
        feed = board.feeds.get(beside(label))
        if feed is None:
            is_over = functools.partial(self._has_note, log_name, also.ends)
            feed = PresenceSideFeed(self._namespace, label, board.state, also.key, also.kind, is_over)
            board.add(feed)
        assert isinstance(feed, PresenceSideFeed)
        snapshot = feed.snapshot()
        if self._memberships.admit(Membership(feed, (board,)), member):
            feed.members.add(member)
        return snapshot

    def _has_note(self, channel_name: str, keys: Collection[str]) -> bool:
        channel = self._channels.find(channel_name)
        return channel is None or any(key in channel.notes for key in keys)

    async def area(
        self,
        channel_names: Sequence[str],
        label: str,
        markers: Region | None,
        counts: Region,
        member: EngineSocket,
    ) -> AreaJoin:
        """Have ``member`` look at a region of several boards: at ``markers``, or at ``counts`` when that is
        None or holds too many. One that has looked at another region before is told the difference. Two
        calls for one member and label must not overlap.
        """
        async with self._channels.open_all(channel_names, self._arrivals.open_board) as channels:
            feed = self._areas.choose(label, channels, markers, counts)
            before = self._memberships.feed(label, member)
            assert not isinstance(before, Feed)
            told = self._areas.joined(feed, before, member)
            if self._memberships.admit(Membership(feed, tuple(channels)), member):
                feed.members.add(member)
            return told
