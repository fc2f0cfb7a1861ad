"""The local half of the fan-out: who watches what, what comes in for them, and the tick that sends it out.

The order that makes joining free of holes: open the channel (see `channels`); then read the truth; then
merge what came meanwhile. After any doubt the truth is read again the same way.
"""

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

from realtime.fanout import frames
from realtime.fanout.area import AreaFeed
from realtime.fanout.areas import AreaJoin, Areas
from realtime.fanout.board import Board
from realtime.fanout.bus import Item, RedisBus
from realtime.fanout.channel import Channel, LogEnd, Observer, Origin
from realtime.fanout.channels import Channels
from realtime.fanout.endings import end
from realtime.fanout.engine import EngineSocket
from realtime.fanout.feeds import BesideFeed, Choice, ConflatedFeed, Feed, LogFeed, beside
from realtime.fanout.grid import Region, Space
from realtime.fanout.laggards import Laggards
from realtime.fanout.log import LogState
from realtime.fanout.memberships import Membership, Memberships
from realtime.fanout.refill import READ_PAGE, Refiller
from realtime.fanout.ticker import Ticker, every, ignore_lateness

AUDIT_S: Final = 5.0
AUDIT_ALONE_S: Final = 1.0
EARLY_MESSAGES: Final = 1_000
COUNTS_S: Final = 1.0
"""How often areas are counted: numbers need not move as smoothly as markers."""
LOOK_S: Final = 0.05
"""How often slow members are looked at when nothing is gathered."""


class Counts(NamedTuple):
    """Channels, feeds and members by kind, and members that are behind."""

    channels: int
    feeds: Counter[str]
    members: Counter[str]
    behind: int


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


class Hub:
    """Channels in, frames out. All methods run on one event loop; ``start`` first, ``stop`` last."""

    def __init__(
        self,
        bus: RedisBus,
        origin: Origin,
        observer: Observer,
        *,
        namespace: str,
        tick_s: float,
        buffer_limit_bytes: int,
        stall_s: float,
        ticked: str = "positions",
        on_stalled: Callable[[EngineSocket], None],
        on_late: Callable[[float], None] = ignore_lateness,
        space: Space | None = None,
        now_ms: Callable[[], int],
    ) -> None:
        self._bus = bus
        self._origin = origin
        self._observer = observer
        self._namespace = namespace
        self._tick_s = tick_s
        self._limit_bytes = buffer_limit_bytes
        self._ticked = ticked
        self._now_ms = now_ms
        self._channels = Channels(bus, self._forget)
        self._areas = Areas(namespace, ticked, space, buffer_limit_bytes)
        self._memberships = Memberships(self._channels, self._forget_empty)
        self._dirty: dict[Feed, Channel] = {}
        self._laggards = Laggards(
            origin, observer, limit_bytes=buffer_limit_bytes, stall_s=stall_s, on_stalled=on_stalled
        )
        self._refiller = Refiller(origin, observer, self._take_again, self._touch)
        self._ticker = Ticker(tick_s or LOOK_S, self._on_tick, on_late)
        self._wires: dict[str, Callable[[Sequence[Item]], None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tick, to audit and to watch over slow members."""
        self._bus.start(self)
        self._tasks = [
            asyncio.ensure_future(self._ticker.run()),
            asyncio.ensure_future(Ticker(COUNTS_S, self._on_counts).run()),
            asyncio.ensure_future(every(self._audit_pause_s, self.audit)),
            *(asyncio.ensure_future(self._subscribe(name)) for name in self._wires),
        ]

    async def stop(self) -> None:
        """End every task and the bus."""
        await end(self._tasks)
        await self._channels.stop()
        await self._refiller.stop()
        await self._laggards.stop()
        await self._bus.stop()

    def wire(self, channel_name: str, take: Callable[[Sequence[Item]], None]) -> None:
        """Hand what other instances publish on ``channel_name`` to ``take``. Before `start`; for good."""
        self._wires[channel_name] = take

    async def _subscribe(self, channel_name: str) -> None:
        await self._bus.subscribe(channel_name, 0)  # confirmed when Redis can; the wish stands

    # --- joining and leaving

    async def join_board(
        self, channel_name: str, label: str, key: str | None, member: EngineSocket
    ) -> dict[str, list[bytes]]:
        """Make ``member`` a member; what is true now by kind. Everything after it arrives as events."""
        async with self._channels.open(channel_name, self._open_board) as channel:
            assert isinstance(channel.state, Board)
            feed = channel.feeds.get(label)
            if feed is None:
                feed = ConflatedFeed(self._namespace, label, channel.state, key, self._ticked)
                channel.add(feed)
            assert isinstance(feed, ConflatedFeed)
            feed.tick(self._limit_bytes)
            snapshot = dict(channel.state.since(0, key))
            if self._memberships.admit(Membership(feed, (channel,)), member):
                feed.members.add(member)
            return snapshot

    async def join_log(
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
            channel = await stack.enter_async_context(self._channels.open(channel_name, self._open_log))
            board = None
            if also is not None and not self._has_note(channel_name, also.ends):
                board = await stack.enter_async_context(self._channels.open(also.channel, self._open_board))
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
                self._touch(channel)
                if board is not None and also is not None and not self._has_note(channel_name, also.ends):
                    there = self._admit_beside(board, label, also, channel_name, member)
            more = through < channel.state.through
            return LogJoin([item.fragment for item in items], through, more, dict(channel.notes), there)

    def _admit_beside(
        self, board: Channel, label: str, also: Beside, log_name: str, member: EngineSocket
    ) -> list[bytes]:
        """Tell ``member``, which watches a log as ``label``, of a board's key under that name; its state."""
        assert isinstance(board.state, Board)
        feed = board.feeds.get(beside(label))
        if feed is None:
            is_over = functools.partial(self._has_note, log_name, also.ends)
            feed = BesideFeed(self._namespace, label, board.state, also.key, also.kind, is_over)
            board.add(feed)
        assert isinstance(feed, BesideFeed)
        snapshot = feed.snapshot()
        if self._memberships.admit(Membership(feed, (board,)), member):
            feed.members.add(member)
        return snapshot

    def _has_note(self, channel_name: str, keys: Collection[str]) -> bool:
        channel = self._channels.find(channel_name)
        return channel is None or any(key in channel.notes for key in keys)

    async def join_area(
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
        async with self._channels.open_all(channel_names, self._open_board) as channels:
            feed = self._areas.choose(label, channels, markers, counts)
            before = self._memberships.feed(label, member)
            assert not isinstance(before, Feed)
            told = self._areas.joined(feed, before, member)
            if self._memberships.admit(Membership(feed, tuple(channels)), member):
                feed.members.add(member)
            return told

    def leave(self, label: str, member: EngineSocket) -> bool:
        """End a membership; False when there was none."""
        return self._memberships.leave(label, member)

    def _forget_empty(self, membership: Membership) -> None:
        feed, channels = membership
        if feed.members:
            return
        if isinstance(feed, Feed):
            channels[0].remove(feed)
            self._dirty.pop(feed, None)
        else:
            self._areas.forget(feed, channels)

    def _forget(self, channel: Channel) -> None:
        """A channel is gone, and what it still had to say with it."""
        for feed in channel.feeds.values():
            self._dirty.pop(feed, None)

    def drop(self, member: EngineSocket) -> None:
        """End every membership of a client that has gone."""
        self._memberships.drop(member)
        self._laggards.forget(member)

    def labels(self, member: EngineSocket) -> list[str]:
        """What ``member`` watches."""
        return self._memberships.labels(member)

    # --- opening

    async def _open_board(self, channel: Channel) -> None:
        channel.state = board = Board()
        self._take_early(channel)
        for kind, items in await self._origin.load_board(channel.name):
            board.apply(kind, items)

    async def _open_log(self, channel: Channel) -> None:
        end = (await self._origin.log_ends([channel.name])).get(channel.name, LogEnd(0))
        channel.state = LogState(end.last)
        if end.closing is not None:
            self._note(channel, end.closing[0], [end.closing[1]])
        self._take_early(channel)

    def _take_early(self, channel: Channel) -> None:
        """What came while the channel had no state yet."""
        early, channel.early = channel.early, []
        for kind, items in early:
            self._take(channel, kind, items, self._now_ms())
        if channel.doubted:
            self._refiller.refill(channel, "join")

    # --- what comes in

    def publish(self, channel_name: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """Something that happened on this instance at ``at_ms``, for its own viewers."""
        channel = self._channels.find(channel_name)
        if channel is not None:
            self._take(channel, kind, items, at_ms)

    def on_message(self, channel: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """Something that happened on another instance. What is no JSON would spoil its feeds' frames."""
        if not all(frames.is_json(item.fragment) for item in items):
            self.on_dropped("malformed")
            return
        self._observer.received(kind, len(items))
        if (take := self._wires.get(channel)) is not None:
            take(items)
        else:
            self.publish(channel, kind, items, at_ms)

    def announce(self, channel_names: Sequence[str], kind: str, key: str, choose: Choice) -> None:
        """Tell this instance's members of these channels of something rare that nobody may miss.

        It waits for no tick and for no slow member, is not conflated, and is kept nowhere. Of a board's feeds
        those of all keys and of ``key`` hear it, and every area that shows some of the board. A member that
        has much unread gets it behind that, and is cut off when it makes no progress.
        """

        def chosen(member: EngineSocket) -> bytes | None:
            argument = choose(member)
            if argument is not None and member.buffered_bytes > self._limit_bytes:
                self._laggards.watch(member)
            return argument

        for name in channel_names:
            if (channel := self._channels.find(name)) is None:
                continue
            for feed in channel.feeds.values():
                if isinstance(feed, LogFeed) or feed.key in (None, key):
                    feed.announce(kind, chosen)
            for area in self._areas.on(channel):
                area.announce(kind, chosen)

    def _take(self, channel: Channel, kind: str, items: Sequence[Item], at_ms: int) -> None:
        state = channel.state
        if isinstance(state, Board):
            if taken := state.apply(kind, items):
                self._spread(channel, kind, taken, at_ms)
        elif state is None:
            # Kept until there is a state to put it into; beyond the bound the truth is read once more then.
            if len(channel.early) < EARLY_MESSAGES:
                channel.early.append((kind, items))
            else:
                channel.doubted = True
        elif kind == self._ticked:
            state.offer(items)
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.oldest_ms = at_ms if feed.oldest_ms is None else min(at_ms, feed.oldest_ms)
            if state.has_gap:
                self._refiller.refill(channel, "gap")
            self._touch(channel)
        else:
            self._note(channel, kind, items)
            self._touch(channel)
        if self._tick_s == 0:
            self._flush()

    def _spread(self, channel: Channel, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """Hand what a board has taken to the feeds that want it."""
        for feed in channel.broad:
            feed.take(kind, items, self._limit_bytes, at_ms)
            self._dirty[feed] = channel
        if channel.by_key:
            for key in {item.key for item in items} & channel.by_key.keys():
                for feed in channel.by_key[key]:
                    feed.take(kind, items, self._limit_bytes, at_ms)
                    self._dirty[feed] = channel
        if channel.chart is not None:
            for area in self._areas.take(channel, kind, items, at_ms):
                self._look_after(area)

    def _note(self, channel: Channel, kind: str, items: Sequence[Item]) -> None:
        """Tell a log's members of what happened to the log itself, each thing once."""
        for item in items:
            if item.key in channel.notes:
                continue
            channel.notes[item.key] = item.fragment
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.tick(self._limit_bytes)
                feed.note(kind, item.fragment)

    def _touch(self, channel: Channel) -> None:
        """Have every feed of ``channel`` looked at by the next tick."""
        for feed in channel.feeds.values():
            self._dirty[feed] = channel

    def _take_again(self, channel: Channel, kind: str, items: Sequence[Item]) -> None:
        self._take(channel, kind, items, self._now_ms())

    def on_dropped(self, reason: str) -> None:
        """A message of the bus that could not be read."""
        self._observer.dropped(reason)

    # --- doubt

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Read the truth again for ``channels``."""
        for name in channels:
            if (channel := self._channels.find(name)) is not None:
                self._refiller.refill(channel, reason)

    def _audit_pause_s(self) -> float:
        return AUDIT_S if self._bus.is_up else AUDIT_ALONE_S

    async def audit(self) -> None:
        """Compare the watched logs with the truth."""
        await self._refiller.audit(self._channels)

    # --- what goes out

    def _on_tick(self) -> None:
        self._flush()
        self._laggards.look()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, {}
        for feed, channel in dirty.items():
            self._send(feed)
            if feed.behind():
                self._laggards.look_after(feed, channel.name)
        for area in self._areas.advance():
            self._send(area)
            self._look_after(area)

    def _send(self, feed: Feed | AreaFeed) -> None:
        oldest_ms = feed.tick(self._limit_bytes)
        if oldest_ms is not None:
            self._observer.delivered(feed.kind, self._now_ms() - oldest_ms)

    def _look_after(self, area: AreaFeed) -> None:
        if area.behind():
            self._laggards.look_after(area, "")

    def _on_counts(self) -> None:
        """The slower tick of areas that are counted; and those that should be from now on."""
        for area in self._areas.counted():
            self._look_after(area)
        for area in self._areas.overfull():
            argument = frames.json_bytes({"feed": area.label})
            reset = frames.event(self._namespace, "reset", argument)
            for member in list(area.members):
                self.leave(area.label, member)
                member.write(reset)

    # --- what it holds

    def counts(self) -> Counts:
        """What is held right now, for metrics and tests."""
        feeds: Counter[str] = Counter()
        members: Counter[str] = Counter()
        held = [feed for channel in self._channels for feed in channel.feeds.values()]
        for feed in (*held, *self._areas.feeds):
            feeds[feed.kind] += 1
            members[feed.kind] += len(feed.members)
        return Counts(len(self._channels), feeds, members, len(self._laggards))
