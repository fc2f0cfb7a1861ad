"""A watched channel of the bus, and the two outside things the fan-out needs: the truth, and an observer."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from realtime.bus.bus import BusItem
from realtime.fanout.feeds.feed import Feed, LatestFeed
from realtime.fanout.feeds.grid import Chart
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import LogState


class LogEnd(NamedTuple):
    """Where a log stands: its last entry's number and, once it is closed, the event that says so."""

    last: int
    closing: tuple[str, BusItem] | None = None


class Origin(Protocol):
    """The truth behind the channels. Every call may raise; a call that does is tried again later."""

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        """What is true now on a conflated channel: (kind, items)."""

    async def read_log(self, channel: str, since: int, limit: int) -> list[BusItem]:
        """The entries after ``since`` in order, without a gap."""

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        """Where each log stands; an unknown one is absent."""


class Observer(Protocol):
    """Counts what happens. Never raises."""

    def refilled(self, reason: str) -> None: ...
    def dropped(self, reason: str) -> None: ...
    def received(self, kind: str, items: int) -> None: ...
    def stalled(self) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...


@dataclass(slots=True, eq=False)
class FeedChannel:
    """A bus channel with at least one local member or joiner.

    Of a board's feeds ``broad`` are those that hear of everything, ``by_key`` those that hear of one key
    alone, so that an item costs as many feeds as want it.
    """

    name: str
    state: LatestState | LogState | None = None
    feeds: dict[str, Feed] = field(default_factory=dict)
    broad: list[LatestFeed] = field(default_factory=list)
    by_key: dict[str, list[LatestFeed]] = field(default_factory=dict)
    chart: Chart | None = None
    """Where things are, while somebody watches an area."""
    users: int = 0
    ready: asyncio.Future[None] | None = None
    early: list[tuple[str, Sequence[BusItem]]] = field(default_factory=list)
    refilling: asyncio.Task[None] | None = None
    doubted: bool = False
    notes: dict[str, bytes] = field(default_factory=dict)
    """Rare events about a log, by key: each is told once, whichever way it is learned."""

    def add(self, feed: Feed) -> None:
        """Begin to feed ``feed``."""
        self.feeds[feed.label] = feed
        if isinstance(feed, LatestFeed):
            (self.broad if feed.key is None else self.by_key.setdefault(feed.key, [])).append(feed)

    def remove(self, feed: Feed) -> None:
        """Stop feeding ``feed``."""
        if self.feeds.pop(feed.label, None) is None:
            return
        if not isinstance(feed, LatestFeed):
            return
        if feed.key is None:
            self.broad.remove(feed)
            return
        left = self.by_key[feed.key]
        left.remove(feed)
        if not left:
            del self.by_key[feed.key]
