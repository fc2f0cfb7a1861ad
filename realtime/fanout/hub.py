"""The local half of the fan-out: feeds, their members, the tick, slow viewers, and refills after a doubt.

The order that makes joining free of holes: subscribe and wait for Redis to confirm; then read the truth;
then merge what came meanwhile. After any doubt the truth is read again the same way.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from realtime.fanout.board import Board
from realtime.fanout.bus import Item, RedisBus
from realtime.fanout.channel import Channel, LogEnd, Observer, Origin
from realtime.fanout.engine import EngineSocket
from realtime.fanout.feeds import ConflatedFeed, Feed, LogFeed
from realtime.fanout.laggards import Laggards
from realtime.fanout.log import LogState
from realtime.fanout.refill import READ_PAGE, Refiller

log = logging.getLogger(__name__)

AUDIT_S: Final = 5.0
AUDIT_ALONE_S: Final = 1.0
SUBSCRIBE_TIMEOUT_S: Final = 2.0
SUBSCRIBE_ALONE_S: Final = 0.05
"""With Redis away nobody waits for a confirmation; its later arrival is told as a doubt."""
EARLY_MESSAGES: Final = 1_000


class Counts(NamedTuple):
    """Channels, feeds and members by kind, and members that are behind."""

    channels: int
    feeds: Counter[str]
    members: Counter[str]
    behind: int


class LogJoin(NamedTuple):
    """What a new member of a log is told: the entries up to ``through``; ``more`` follow as events.

    ``notes`` are what was already told of the log itself, by key; it will not be told again.
    """

    fragments: list[bytes]
    through: int
    more: bool
    notes: dict[str, bytes]


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
        self._channels: dict[str, Channel] = {}
        self._joined: dict[EngineSocket, dict[str, Channel]] = {}
        self._dirty: set[Channel] = set()
        self._laggards = Laggards(
            origin, observer, limit_bytes=buffer_limit_bytes, stall_s=stall_s, on_stalled=on_stalled
        )
        self._refiller = Refiller(origin, observer, self._take_again, self._changed)
        self._tasks: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[Any]] = set()

    def start(self) -> None:
        """Begin to tick, to audit and to watch over slow members."""
        self._bus.start(self)
        self._tasks = [
            asyncio.ensure_future(self._every(lambda: self._tick_s or 0.05, self._on_tick)),
            asyncio.ensure_future(self._every(self._audit_pause, self.audit)),
        ]

    async def stop(self) -> None:
        """End every task and the bus."""
        tasks = [*self._tasks, *self._jobs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._laggards.stop()
        await self._bus.stop()

    async def _every(self, pause_s: Callable[[], float], action: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(pause_s())
            try:
                await action()
            except Exception:
                log.exception("fan-out upkeep failed")

    # --- joining and leaving

    async def join_board(
        self, channel_name: str, label: str, key: str | None, member: EngineSocket
    ) -> dict[str, list[bytes]]:
        """Make ``member`` a member; what is true now by kind. Everything after it arrives as events."""
        channel = await self._enter(channel_name, self._open_board)
        try:
            assert isinstance(channel.state, Board)
            feed = channel.feeds.get(label)
            if feed is None:
                feed = ConflatedFeed(self._namespace, label, channel.state, key, self._ticked)
                channel.feeds[label] = feed
            assert isinstance(feed, ConflatedFeed)
            feed.tick(self._limit_bytes)
            snapshot = dict(channel.state.since(0, key))
            self._admit(channel, label, member)
            if member.is_leaving:
                self._forget_empty(channel, feed)
            else:
                feed.members.add(member)
            return snapshot
        finally:
            self._exit(channel)

    async def join_log(
        self, channel_name: str, label: str, member: EngineSocket, since: int | None
    ) -> LogJoin:
        """Make ``member`` a member from after entry ``since``; None means from the last one on.

        Raises ValueError when ``since`` is beyond the end.
        """
        channel = await self._enter(channel_name, self._open_log)
        try:
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
                feed = channel.feeds[label] = LogFeed(self._namespace, label, channel.state, self._ticked)
            assert isinstance(feed, LogFeed)
            self._admit(channel, label, member)
            if member.is_leaving:
                self._forget_empty(channel, feed)
            else:
                feed.members[member] = through
            self._dirty.add(channel)
            more = through < channel.state.through
            return LogJoin([item.fragment for item in items], through, more, dict(channel.notes))
        finally:
            self._exit(channel)

    def leave(self, label: str, member: EngineSocket) -> bool:
        """End a membership; False when there was none."""
        channel = self._joined.get(member, {}).pop(label, None)
        if channel is None:
            return False
        feed = channel.feeds.get(label)
        if feed is not None:
            feed.leave(member)
            self._forget_empty(channel, feed)
        self._exit(channel)
        return True

    def _forget_empty(self, channel: Channel, feed: Feed) -> None:
        if not feed.members:
            channel.feeds.pop(feed.label, None)

    def drop(self, member: EngineSocket) -> None:
        """End every membership of a client that has gone."""
        for label in list(self._joined.get(member, ())):
            self.leave(label, member)
        self._joined.pop(member, None)
        self._laggards.forget(member)

    def labels(self, member: EngineSocket) -> list[str]:
        """What ``member`` watches."""
        return list(self._joined.get(member, ()))

    def _admit(self, channel: Channel, label: str, member: EngineSocket) -> None:
        if member.is_leaving:
            return
        labels = self._joined.setdefault(member, {})
        before = labels.get(label)
        if before is channel:
            channel.feeds[label].leave(member)
            return
        if before is not None:
            self.leave(label, member)
        labels[label] = channel
        channel.users += 1

    async def _enter(self, name: str, open_: Callable[[Channel], Awaitable[None]]) -> Channel:
        """The channel, opened; counted as used until ``_exit``."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = Channel(name)
        channel.users += 1
        try:
            if channel.ready is None:
                channel.ready = asyncio.ensure_future(self._open(channel, open_))
            await asyncio.shield(channel.ready)
        except BaseException:
            if channel.ready is not None and channel.ready.done():
                channel.ready = None
            self._exit(channel)
            raise
        return channel

    async def _open(self, channel: Channel, open_: Callable[[Channel], Awaitable[None]]) -> None:
        timeout_s = SUBSCRIBE_TIMEOUT_S if self._bus.is_up else SUBSCRIBE_ALONE_S
        await self._bus.subscribe(channel.name, timeout_s)
        await open_(channel)

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

    def _exit(self, channel: Channel) -> None:
        channel.users -= 1
        if channel.users == 0:
            self._channels.pop(channel.name, None)
            self._dirty.discard(channel)
            if channel.refilling is not None:
                channel.refilling.cancel()
            self._job(self._bus.unsubscribe(channel.name))

    # --- what comes in

    def publish(self, channel_name: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """Something that happened on this instance at ``at_ms``, for its own viewers."""
        channel = self._channels.get(channel_name)
        if channel is not None:
            self._take(channel, kind, list(items), at_ms)

    def on_message(self, channel: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """Something that happened on another instance."""
        self._observer.received(kind, len(items))
        self.publish(channel, kind, items, at_ms)

    def _take(self, channel: Channel, kind: str, items: list[Item], at_ms: int) -> None:
        state = channel.state
        if state is None:
            # Kept until there is a state to put it into; beyond the bound the truth is read once more then.
            if len(channel.early) < EARLY_MESSAGES:
                channel.early.append((kind, items))
            else:
                channel.doubted = True
        elif isinstance(state, Board):
            taken = state.apply(kind, items)
            if taken:
                for feed in channel.feeds.values():
                    assert isinstance(feed, ConflatedFeed)
                    feed.take(kind, taken, self._limit_bytes, at_ms)
        elif kind == self._ticked:
            state.offer(items)
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.oldest_ms = at_ms if feed.oldest_ms is None else min(at_ms, feed.oldest_ms)
            if state.has_gap:
                self._refiller.refill(channel, "gap")
        else:
            self._note(channel, kind, items)
        self._dirty.add(channel)
        if self._tick_s == 0:
            self._flush()

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

    def _changed(self, channel: Channel) -> None:
        self._dirty.add(channel)

    def _take_again(self, channel: Channel, kind: str, items: Sequence[Item]) -> None:
        self._take(channel, kind, list(items), self._now_ms())

    def on_dropped(self, reason: str) -> None:
        """A message of the bus that could not be read."""
        self._observer.dropped(reason)

    # --- doubt

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Read the truth again for ``channels``."""
        for name in channels:
            if (channel := self._channels.get(name)) is not None:
                self._refiller.refill(channel, reason)

    def _audit_pause(self) -> float:
        return AUDIT_S if self._bus.is_up else AUDIT_ALONE_S

    async def audit(self) -> None:
        """Compare the watched logs with the truth."""
        await self._refiller.audit(list(self._channels.values()))

    # --- what goes out

    async def _on_tick(self) -> None:
        self._flush()
        self._laggards.look(list(self._channels.values()))

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for channel in dirty:
            for feed in channel.feeds.values():
                oldest_ms = feed.tick(self._limit_bytes)
                if oldest_ms is not None:
                    self._observer.delivered(kind_of(feed.label), self._now_ms() - oldest_ms)

    def _job(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    # --- what it holds

    def counts(self) -> Counts:
        """What is held right now, for metrics and tests."""
        feeds: Counter[str] = Counter()
        members: Counter[str] = Counter()
        for channel in self._channels.values():
            for feed in channel.feeds.values():
                feeds[kind_of(feed.label)] += 1
                members[kind_of(feed.label)] += len(feed.members)
        return Counts(len(self._channels), feeds, members, len(self._laggards))


def kind_of(label: str) -> str:
    """The kind of a feed: what stands before the colon of its label."""
    return label.partition(":")[0]
