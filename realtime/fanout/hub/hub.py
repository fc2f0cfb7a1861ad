"""The local half of the fan-out: who watches what, what comes in for them, and the tick that sends it out."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from realtime.aio import end
from realtime.bus.bus import BusItem, RedisBus
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.areas import MAX_MARKERS, Areas
from realtime.fanout.feeds.feed import Choice, LogFeed
from realtime.fanout.feeds.grid import Space
from realtime.fanout.feeds.latest import Supersedes
from realtime.fanout.hub.channel import FeedChannel, Observer, Origin
from realtime.fanout.hub.dirty import DirtyFeeds
from realtime.fanout.hub.ingest import EARLY_MESSAGES, Arrivals
from realtime.fanout.hub.joining import Joining
from realtime.fanout.hub.memberships import Memberships
from realtime.fanout.hub.recovery import RETRY_S, Resync
from realtime.fanout.hub.registry import ChannelRegistry
from realtime.fanout.hub.slow_consumers import SlowConsumers
from realtime.fanout.hub.ticker import Ticker, every, ignore_lateness


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTimings:
    """How often the hub does what no message asks for, in seconds."""

    check_s: float = 5.0
    """Between two checks of the logs against the store, which find what was never published."""
    check_alone_s: float = 1.0
    """The same while the bus is down: the check is then the only way to new entries."""
    counts_s: float = 1.0
    """Between two counts of the areas: numbers need not move as smoothly as markers."""
    slow_members_s: float = 0.05
    """Between two checks of slow members when nothing is gathered."""
    retry_s: float = RETRY_S
    """Between two reads of one channel after a suspected loss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubBounds:
    """How much the hub holds."""

    max_markers: int = MAX_MARKERS
    """Drivers in a region that are shown one by one; more are counted."""
    max_early_messages: int = EARLY_MESSAGES
    """Messages stored for a channel that is being opened; beyond it the store is read once more."""


class Counts(NamedTuple):
    """Channels, feeds and members by kind, and members that are behind."""

    channels: int
    feeds: Counter[str]
    members: Counter[str]
    behind: int


class Hub:
    """Channels in, frames out; ``join`` has the ways in. All methods run on one event loop; ``start`` first,
    ``stop`` last. ``rules``: by kind, which of two fragments is the newer, where that is not the order alone.
    """

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
        rules: Mapping[str, Supersedes] | None = None,
        timings: HubTimings = HubTimings(),
        bounds: HubBounds = HubBounds(),
    ) -> None:
        self._bus = bus
        self._observer = observer
        self._namespace = namespace
        self._limit_bytes = buffer_limit_bytes
        self._timings = timings
        self._areas = Areas(namespace, ticked, space, buffer_limit_bytes, max_markers=bounds.max_markers)
        self._laggards = SlowConsumers(
            origin, observer, limit_bytes=buffer_limit_bytes, stall_s=stall_s, on_stalled=on_stalled
        )
        self._dirty = DirtyFeeds(
            self._areas, self._laggards, observer, limit_bytes=buffer_limit_bytes, now_ms=now_ms
        )
        self._channels = ChannelRegistry(bus, self._dirty.forget_all)
        self._memberships = Memberships(self._channels, self._areas, self._dirty)
        self._arrivals = Arrivals(
            origin,
            self._dirty,
            self._areas,
            ticked=ticked,
            at_once=tick_s == 0,
            limit_bytes=buffer_limit_bytes,
            doubt=self._doubt,
            now_ms=now_ms,
            rules=rules,
            max_early_messages=bounds.max_early_messages,
        )
        self._refiller = Resync(
            origin, observer, self._arrivals.take_now, self._dirty.mark_all, retry_s=timings.retry_s
        )
        self.join: Final = Joining(
            namespace,
            origin,
            self._channels,
            self._memberships,
            self._areas,
            self._dirty,
            self._arrivals,
            self._refiller,
            ticked=ticked,
            limit_bytes=buffer_limit_bytes,
        )
        self._ticker = Ticker(tick_s or timings.slow_members_s, self._on_tick, on_late)
        self._wires: dict[str, Callable[[Sequence[BusItem]], None]] = {}
        self._wire_doubts: dict[str, Callable[[], None]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to tick, to audit and to watch over slow members."""
        self._bus.start(self)
        self._tasks = [
            asyncio.ensure_future(self._ticker.run()),
            asyncio.ensure_future(Ticker(self._timings.counts_s, self._on_counts).run()),
            asyncio.ensure_future(every(self._check_pause_s, self.audit)),
            *(asyncio.ensure_future(self._subscribe(name)) for name in self._wires),
        ]

    async def stop(self) -> None:
        """End every task and the bus."""
        await end(self._tasks)
        await self._channels.stop()
        await self._refiller.stop()
        await self._laggards.stop()
        await self._bus.stop()

    def wire(
        self,
        channel_name: str,
        take: Callable[[Sequence[BusItem]], None],
        doubt: Callable[[], None] = lambda: None,
    ) -> None:
        """Hand what other instances publish on ``channel_name`` to ``take``; call ``doubt`` when messages of
        it may have been lost. Before `start`; for good.
        """
        self._wires[channel_name] = take
        self._wire_doubts[channel_name] = doubt

    async def _subscribe(self, channel_name: str) -> None:
        await self._bus.subscribe(channel_name, 0)  # confirmed when Redis can; the wish stands

    # --- leaving

    def leave(self, label: str, member: EngineSocket) -> bool:
        """End a membership; False when there was none."""
        return self._memberships.leave(label, member)

    def drop(self, member: EngineSocket) -> None:
        """End every membership of a client that has gone."""
        self._memberships.drop(member)
        self._laggards.forget(member)

    def labels(self, member: EngineSocket) -> list[str]:
        """What ``member`` watches."""
        return self._memberships.labels(member)

    # --- what comes in

    def publish(self, channel_name: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """Something that happened on this instance at ``at_ms``, for its own viewers."""
        channel = self._channels.find(channel_name)
        if channel is not None:
            self._arrivals.take(channel, kind, items, at_ms)

    def on_message(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
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

    def on_dropped(self, reason: str) -> None:
        """A message of the bus that could not be read."""
        self._observer.dropped(reason)

    # --- doubt

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Read the truth again for ``channels``."""
        for name in channels:
            if (channel := self._channels.find(name)) is not None:
                self._doubt(channel, reason)
            elif (doubt := self._wire_doubts.get(name)) is not None:
                doubt()

    def _doubt(self, channel: FeedChannel, reason: str) -> None:
        self._refiller.refill(channel, reason)

    def _check_pause_s(self) -> float:
        return self._timings.check_s if self._bus.is_up else self._timings.check_alone_s

    async def audit(self) -> None:
        """Compare the watched logs with the truth."""
        await self._refiller.audit(self._channels)

    # --- what goes out

    def _on_tick(self) -> None:
        self._dirty.flush()
        self._laggards.look()

    def _on_counts(self) -> None:
        """The slower tick of areas that are counted; and those that should be from now on."""
        for area in self._areas.counted():
            self._dirty.written(area)
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
