"""A hub over a fake bus and a fake truth with gates and failures, and viewers that note what they hear."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from realtime.bus.bus import BusItem, BusListener, RedisBus
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.hub.channel import LogEnd
from realtime.fanout.hub.hub import Hub, HubBounds, HubTimings

LOG, BOARD = "j:t1/j", "v:t1/v"
LIMIT = 10_000
QUICK = HubTimings(check_s=0.05, check_alone_s=0.05, counts_s=0.01, retry_s=0.01)


@dataclass
class FakeBus:
    """Counts who is subscribed. ``confirms`` False: as with Redis away."""

    confirms: bool = True
    is_up: bool = True
    subscribed: list[str] = field(default_factory=list)
    during: Any = None

    def start(self, listener: BusListener) -> None: ...

    async def stop(self) -> None: ...

    async def subscribe(self, channel: str, timeout_s: float) -> bool:
        self.subscribed.append(channel)
        if self.during is not None:
            self.during()
        await asyncio.sleep(0)
        return self.confirms

    async def unsubscribe(self, channel: str) -> None:
        self.subscribed.remove(channel)


@dataclass
class FakeOrigin:
    """The truth: a log of ``length`` entries and a board. ``during`` is called inside each read, after the
    truth was looked at; ``failures`` are raised by the next reads.
    """

    length: int = 0
    board: dict[str, int] = field(default_factory=dict)
    during: Any = None
    failures: int = 0
    reads: int = 0

    async def _look(self) -> None:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        await asyncio.sleep(0)
        if self.during is not None:
            during, self.during = self.during, None
            during()
        await asyncio.sleep(0)

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        items = [spot(key, order) for key, order in self.board.items()]
        await self._look()
        return [("positions", items)]

    async def read_log(self, channel: str, since: int, limit: int) -> list[BusItem]:
        items = entries(range(since + 1, min(self.length, since + limit) + 1))
        await self._look()
        return items

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        ends = {channel: LogEnd(self.length) for channel in channels}
        await self._look()
        return ends


def entries(numbers: Sequence[int]) -> list[BusItem]:
    return [BusItem("", n, str(n).encode()) for n in numbers]


def spot(key: str, order: int) -> BusItem:
    return BusItem(key, order, json.dumps([key, order]).encode())


class Observer:
    def __init__(self) -> None:
        self.refills: list[str] = []
        self.refused: list[str] = []
        self.stalls = 0

    def refilled(self, reason: str) -> None:
        self.refills.append(reason)

    def dropped(self, reason: str) -> None:
        self.refused.append(reason)

    def received(self, kind: str, items: int) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...

    def stalled(self) -> None:
        self.stalls += 1


@dataclass
class FakeServer:
    buffer_limit_bytes: int = LIMIT


@dataclass(eq=False)
class Viewer:
    """A fake member: what it was told by snapshot and by events."""

    server: FakeServer = field(default_factory=FakeServer)
    buffered_bytes: int = 0
    is_leaving: bool = False
    wire: None = None
    heard: list[Any] = field(default_factory=list)

    @property
    def socket(self) -> EngineSocket:
        return cast(EngineSocket, self)

    def write(self, frame: Frame) -> None:
        name, _, argument = json.loads(frame.packet.partition(b",")[2])
        self.heard += argument if name == "positions" else [(name, argument)]


class Here:
    """A hub and everything around it."""

    def __init__(self, bounds: HubBounds = HubBounds()) -> None:  # noqa: B008
        self.bus, self.origin, self.observer = FakeBus(), FakeOrigin(), Observer()
        self.cut: list[EngineSocket] = []
        self.hub = Hub(
            cast(RedisBus, self.bus),
            self.origin,
            self.observer,
            namespace="/watch",
            tick_s=0.005,
            buffer_limit_bytes=LIMIT,
            stall_s=0.05,
            on_stalled=self.cut.append,
            now_ms=lambda: 7,
            timings=QUICK,
            bounds=bounds,
        )
        self.hub.start()

    async def watch_log(self, viewer: Viewer, since: int | None = 0) -> None:
        joined = await self.hub.join.log(LOG, "journey:j", viewer.socket, since)
        viewer.heard += [int(fragment) for fragment in joined.fragments]

    async def watch_board(self, viewer: Viewer, key: str | None = None) -> None:
        label = f"driver:{key}" if key else "vendor:v"
        snapshot = await self.hub.join.board(BOARD, label, key, viewer.socket)
        viewer.heard += [json.loads(fragment) for fragment in snapshot.get("positions", [])]

    def commit(self, *numbers: int, published: bool = True) -> None:
        """Entries are stored and, unless the instance died in between, published."""
        self.origin.length = max(self.origin.length, *numbers)
        if published:
            self.hub.on_message(LOG, "positions", entries(numbers), 7)

    def move(self, key: str, order: int, published: bool = True) -> None:
        self.origin.board[key] = order
        if published:
            self.hub.on_message(BOARD, "positions", [spot(key, order)], 7)

    def empty(self) -> bool:
        counts = self.hub.counts()
        return counts.channels == 0 and not self.bus.subscribed and not self.hub._memberships


def newest(viewer: Viewer) -> dict[str, int]:
    known: dict[str, int] = {}
    for key, order in viewer.heard:
        assert order >= known.get(key, order), "an older position after a newer one"
        known[key] = order
    return known
