"""The local half of the fan-out: feeds, their members, the tick, slow viewers, and refills after a doubt.

The order that makes joining free of holes: subscribe and wait for Redis to confirm; then read the truth;
then merge what came meanwhile. After any doubt the truth is read again the same way.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from realtime.fanout.board import Board
from realtime.fanout.bus import Item, RedisBus
from realtime.fanout.engine import EngineSocket
from realtime.fanout.feeds import LOG_PAGE, ConflatedFeed, Feed, LogFeed
from realtime.fanout.log import LogState

log = logging.getLogger(__name__)

AUDIT_S: Final = 5.0
AUDIT_ALONE_S: Final = 1.0
JOIN_PAGE: Final = 5_000
RETRY_S: Final = 1.0
SUBSCRIBE_TIMEOUT_S: Final = 2.0
SUBSCRIBE_ALONE_S: Final = 0.05
"""With Redis away nobody waits for a confirmation; its later arrival is told as a doubt."""
EARLY_MESSAGES: Final = 1_000


class Origin(Protocol):
    """The truth behind the channels. Every call may raise; a call that does is tried again later."""

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[Item]]]:
        """What is true now on a conflated channel: (kind, items)."""

    async def read_log(self, channel: str, since: int, limit: int) -> list[Item]:
        """The entries after ``since`` in order, without a gap."""

    async def log_ends(self, channels: Sequence[str]) -> dict[str, int]:
        """The number of the last entry of each log; an unknown one is absent or 0."""


class Observer(Protocol):
    """Counts what happens. Never raises."""

    def refilled(self, reason: str) -> None: ...
    def dropped(self, reason: str) -> None: ...
    def received(self, kind: str, items: int) -> None: ...
    def stalled(self) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...


@dataclass(slots=True, eq=False)
class _Channel:
    """A bus channel with at least one local member or joiner."""

    name: str
    state: Board | LogState | None = None
    feeds: dict[str, Feed] = field(default_factory=dict)
    users: int = 0
    ready: asyncio.Future[None] | None = None
    early: list[tuple[str, list[Item]]] = field(default_factory=list)
    refilling: asyncio.Task[None] | None = None
    doubted: bool = False


@dataclass(slots=True)
class _Progress:
    """How a member that is behind has been doing."""

    unread_bytes: int
    since_s: float


class Counts(NamedTuple):
    """Channels, feeds and members by kind, and members that are behind."""

    channels: int
    feeds: Counter[str]
    members: Counter[str]
    behind: int


class LogJoin(NamedTuple):
    """What a new member of a log is told: the entries up to ``through``; ``more`` follow as events."""

    fragments: list[bytes]
    through: int
    more: bool


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
        self._stall_s = stall_s
        self._ticked = ticked
        self._on_stalled = on_stalled
        self._now_ms = now_ms
        self._channels: dict[str, _Channel] = {}
        self._joined: dict[EngineSocket, dict[str, _Channel]] = {}
        self._dirty: set[_Channel] = set()
        self._behind: dict[EngineSocket, _Progress] = {}
        self._paging: dict[tuple[str, EngineSocket], asyncio.Task[None]] = {}
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
        tasks = [*self._tasks, *self._jobs, *self._paging.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
                await self._read_again(channel)
            if start > channel.state.through:
                raise ValueError(f"since_seq {start} is beyond {channel.state.through}")
            items = await self._origin.read_log(channel_name, start, JOIN_PAGE)
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
            return LogJoin([item.fragment for item in items], through, through < channel.state.through)
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

    def _forget_empty(self, channel: _Channel, feed: Feed) -> None:
        if not feed.members:
            channel.feeds.pop(feed.label, None)

    def drop(self, member: EngineSocket) -> None:
        """End every membership of a client that has gone."""
        for label in list(self._joined.get(member, ())):
            self.leave(label, member)
        self._joined.pop(member, None)
        self._behind.pop(member, None)

    def labels(self, member: EngineSocket) -> list[str]:
        """What ``member`` watches."""
        return list(self._joined.get(member, ()))

    def _admit(self, channel: _Channel, label: str, member: EngineSocket) -> None:
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

    async def _enter(self, name: str, open_: Callable[[_Channel], Awaitable[None]]) -> _Channel:
        """The channel, opened; counted as used until ``_exit``."""
        channel = self._channels.get(name)
        if channel is None:
            channel = self._channels[name] = _Channel(name)
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

    async def _open(self, channel: _Channel, open_: Callable[[_Channel], Awaitable[None]]) -> None:
        timeout_s = SUBSCRIBE_TIMEOUT_S if self._bus.is_up else SUBSCRIBE_ALONE_S
        await self._bus.subscribe(channel.name, timeout_s)
        await open_(channel)

    async def _open_board(self, channel: _Channel) -> None:
        channel.state = board = Board()
        self._take_early(channel)
        for kind, items in await self._origin.load_board(channel.name):
            board.apply(kind, items)

    async def _open_log(self, channel: _Channel) -> None:
        ends = await self._origin.log_ends([channel.name])
        channel.state = LogState(ends.get(channel.name, 0))
        self._take_early(channel)

    def _take_early(self, channel: _Channel) -> None:
        """What came while the channel had no state yet."""
        early, channel.early = channel.early, []
        for kind, items in early:
            self._take(channel, kind, items, self._now_ms())
        if channel.doubted:
            self._refill(channel, "join")

    def _exit(self, channel: _Channel) -> None:
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

    def _take(self, channel: _Channel, kind: str, items: list[Item], at_ms: int) -> None:
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
                self._refill(channel, "gap")
        else:
            for feed in channel.feeds.values():
                assert isinstance(feed, LogFeed)
                feed.tick(self._limit_bytes)
                for item in items:
                    feed.note(kind, item.fragment)
        self._dirty.add(channel)
        if self._tick_s == 0:
            self._flush()

    def on_dropped(self, reason: str) -> None:
        """A message of the bus that could not be read."""
        self._observer.dropped(reason)

    # --- doubt

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Read the truth again for ``channels``."""
        for name in channels:
            if (channel := self._channels.get(name)) is not None:
                self._refill(channel, reason)

    def _refill(self, channel: _Channel, reason: str) -> None:
        if channel.state is None:
            channel.doubted = True
            return
        if channel.refilling is not None and not channel.refilling.done():
            channel.doubted = True
            return
        self._observer.refilled(reason)
        channel.refilling = asyncio.ensure_future(self._refill_until_sure(channel))

    async def _refill_until_sure(self, channel: _Channel) -> None:
        while True:
            channel.doubted = False
            try:
                await self._read_again(channel)
            except Exception as error:
                log.warning("refill failed: %s", type(error).__name__)
                channel.doubted = True
                await asyncio.sleep(RETRY_S)
            if not channel.doubted:
                return

    async def _read_again(self, channel: _Channel) -> None:
        state = channel.state
        if isinstance(state, Board):
            for kind, items in await self._origin.load_board(channel.name):
                self._take(channel, kind, list(items), self._now_ms())
        elif isinstance(state, LogState):
            while True:
                items = await self._origin.read_log(channel.name, state.through, JOIN_PAGE)
                state.offer(items)
                self._dirty.add(channel)
                if len(items) < JOIN_PAGE:
                    break

    def _audit_pause(self) -> float:
        return AUDIT_S if self._bus.is_up else AUDIT_ALONE_S

    async def audit(self) -> None:
        """Compare the watched logs' ends with the truth, which catches what nobody ever published."""
        logs = {c.name: c for c in self._channels.values() if isinstance(c.state, LogState)}
        if not logs:
            return
        ends = await self._origin.log_ends(list(logs))
        for name, channel in logs.items():
            assert isinstance(channel.state, LogState)
            if ends.get(name, 0) > channel.state.through:
                self._refill(channel, "audit")

    # --- what goes out

    async def _on_tick(self) -> None:
        self._flush()
        self._mind_the_slow()

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for channel in dirty:
            for feed in channel.feeds.values():
                oldest_ms = feed.tick(self._limit_bytes)
                if oldest_ms is not None:
                    self._observer.delivered(kind_of(feed.label), self._now_ms() - oldest_ms)

    def _mind_the_slow(self) -> None:
        """Pay members that can take bytes again; end those that made no progress for too long."""
        now_s = asyncio.get_running_loop().time()
        behind: set[EngineSocket] = set()
        for channel in list(self._channels.values()):
            for feed in channel.feeds.values():
                behind.update(self._pay(channel, feed))
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

    def _pay(self, channel: _Channel, feed: Feed) -> list[EngineSocket]:
        """Write what is owed to those who can take it; returns those who are still behind."""
        owed = list(feed.owed) if isinstance(feed, ConflatedFeed) else feed.behind()
        for member in owed:
            if member.buffered_bytes > self._limit_bytes // 2:
                continue
            if isinstance(feed, ConflatedFeed):
                feed.pay(member)
            else:
                self._page(channel, feed, member)
        return owed

    def _page(self, channel: _Channel, feed: LogFeed, member: EngineSocket) -> None:
        fragments = feed.state.after(feed.members[member], LOG_PAGE)
        if fragments is not None:
            feed.page(member, fragments)
            return
        reading = self._paging.get((feed.label, member))
        if reading is None or reading.done():
            task = asyncio.ensure_future(self._page_from_origin(channel, feed, member))
            self._paging[(feed.label, member)] = task
            task.add_done_callback(lambda _: self._paging.pop((feed.label, member), None))

    async def _page_from_origin(self, channel: _Channel, feed: LogFeed, member: EngineSocket) -> None:
        written = feed.members[member]
        try:
            items = await self._origin.read_log(channel.name, written, LOG_PAGE)
        except Exception as error:
            log.warning("page failed: %s", type(error).__name__)
            await asyncio.sleep(RETRY_S)
            return
        if feed.members.get(member) == written and items:
            feed.page(member, [item.fragment for item in items])

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
        return Counts(len(self._channels), feeds, members, len(self._behind))


def kind_of(label: str) -> str:
    """The kind of a feed: what stands before the colon of its label."""
    return label.partition(":")[0]
