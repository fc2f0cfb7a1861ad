"""What happened here, on its way to local viewers at once and to other instances and Redis each tick.

Conflated items wait for Redis by (channel, kind, driver), newest only: the outbox is bounded by the drivers
of this instance, and nothing newest is ever lost. Log items that Redis does not take are dropped: viewers
elsewhere see the gap in the running numbers, or their audit does, and Postgres is read.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from realtime.aio import end
from realtime.bus.bus import REDIS_FAULTS, BusItem, Message, RedisBus
from realtime.fanout.feeds.latest import is_of_higher_order
from realtime.fanout.hub.hub import Hub
from realtime.live.precedence import arrival_ms, supersedes
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import (
    HASHED,
    JOURNEY,
    POSITIONS,
    journey_channel,
    journey_item,
    journey_note,
    parts,
    vendor_channel,
)
from realtime.metrics import instruments
from realtime.protocol import Refused

log = logging.getLogger(__name__)

LOG_OUTBOX_ITEMS: Final = 50_000
AWAY_PAUSE_S: Final = 0.5
FLUSH_S: Final = 0.02
LATEST_REMEMBERED: Final = 50_000
"""Drivers whose newest position is remembered; beyond it those silent for longest are forgotten."""
LATEST_MS: Final = 3_600_000
"""A position that is older is forgotten here, so that an erased driver's is; Redis may still have it."""
_Outbox = dict[tuple[str, str], dict[str, StoredValue]]


class LivePublisher:
    """The way out of this instance. ``start`` first, ``stop`` last; the rest never waits."""

    def __init__(
        self,
        hub: Hub | None,
        bus: RedisBus,
        state: LiveState,
        now_ms: Callable[[], int],
        flush_s: float = FLUSH_S,
        max_latest: int = LATEST_REMEMBERED,
    ) -> None:
        self._now_ms = now_ms
        self._hub = hub
        self._bus = bus
        self._state = state
        self._flush_s = flush_s
        self._max_latest: Final = max_latest
        self._latest: OrderedDict[tuple[str, str], BusItem] = OrderedDict()
        self._conflated: _Outbox = {}
        self._sending: _Outbox = {}
        self._logs: dict[str, list[tuple[str, BusItem]]] = {}
        self._log_items = 0
        self._oldest_ms: int | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Flush once more and end."""
        if self._task is not None:
            await end([self._task])
            await self.flush()

    def conflated(self, tenant: str, vendor: str, kind: str, item: BusItem, origin: str) -> None:
        """The newest ``kind`` of a driver (``item.key``), for the vendor's and the driver's feeds."""
        channel = vendor_channel(tenant, vendor)
        now_ms = self._now_ms()
        self._arrived(now_ms)
        if self._hub is not None:
            self._hub.publish(channel, kind, [item], now_ms)
        _keep_newer(self._conflated, channel, kind, StoredValue(item, origin))
        if kind == POSITIONS:
            self._remember(channel, item, now_ms)

    def latest_of(self, tenant: str, vendor: str, driver: str) -> BusItem | None:
        """The newest position of a driver that this process took, whether Redis has it or not."""
        return self._latest.get((vendor_channel(tenant, vendor), driver))

    def _remember(self, channel: str, item: BusItem, now_ms: int) -> None:
        latest, key = self._latest, (channel, item.key)
        known = latest.get(key)
        if known is not None and not supersedes(known.order, known.fragment, item.order, item.fragment):
            return
        latest[key] = item
        latest.move_to_end(key)
        oldest = next(iter(latest.values()))
        while len(latest) > self._max_latest or now_ms - arrival_ms(oldest.order) > LATEST_MS:
            latest.popitem(last=False)
            if not latest:
                return
            oldest = next(iter(latest.values()))

    def unsent(self, channel: str) -> list[tuple[str, list[BusItem]]]:
        """(kind, items) of ``channel`` that Redis may not have yet.

        Whoever reads the truth from Redis adds these, asked for before: what a driver of this instance just
        sent would be missing otherwise, and a bus message of our own is not taken.
        """
        return [
            (kind, [stored.item for stored in kept.values()])
            for outbox in (self._sending, self._conflated)
            for (name, kind), kept in outbox.items()
            if name == channel
        ]

    def entries(
        self, tenant: str, journey_id: UUID | str, items: Sequence[BusItem], received_ms: int
    ) -> None:
        """Committed entries of a journey's log, in seq order, that had arrived at ``received_ms``."""
        self._to_log(journey_channel(tenant, journey_id), POSITIONS, items, received_ms)

    def journey(
        self, tenant: str, vendor: str, driver: str, journey_id: UUID | str, state: str, at_ms: int
    ) -> None:
        """A journey started, ended or expired: for its own feed and for its vendor's and driver's."""
        note = journey_note(driver, str(journey_id), state, at_ms)
        self._to_log(journey_channel(tenant, journey_id), JOURNEY, [note], self._now_ms())
        item = journey_item(driver, str(journey_id), state, at_ms)
        self.conflated(tenant, vendor, JOURNEY, item, "")

    def _to_log(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        self._arrived(at_ms)
        if self._hub is not None:
            self._hub.publish(channel, kind, items, at_ms)
        if self._log_items + len(items) > LOG_OUTBOX_ITEMS:
            instruments.BUS_DROPPED.labels("queue_full").inc()
            return
        self._log_items += len(items)
        self._logs.setdefault(channel, []).extend((kind, item) for item in items)

    def _arrived(self, at_ms: int) -> None:
        """Remember the age of what gathers: that of its oldest."""
        self._oldest_ms = at_ms if self._oldest_ms is None else min(at_ms, self._oldest_ms)

    # --- the tick

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._flush_s)
            try:
                taken = await self.flush()
            except Exception:
                log.exception("publishing failed")
                taken = False
            if not taken:
                await asyncio.sleep(AWAY_PAUSE_S)

    async def flush(self) -> bool:
        """Send what has gathered; False when Redis did not take it."""
        conflated, self._conflated = self._conflated, {}
        self._sending = conflated
        logs, self._logs, self._log_items = self._logs, {}, 0
        if not conflated and not logs:
            return True
        at_ms = self._oldest_ms or self._now_ms()
        self._oldest_ms = None
        messages = [
            Message(channel, kind, [stored.item for stored in kept.values()], at_ms)
            for (channel, kind), kept in conflated.items()
        ]
        for channel, entries in logs.items():
            messages += (Message(channel, kind, items, at_ms) for kind, items in _runs(entries))
        hashes = [
            (*parts(channel), kind, list(kept.values()))
            for (channel, kind), kept in conflated.items()
            if kind in HASHED
        ]
        try:
            stored = await self._stored(hashes)
            await self._bus.publish(messages)
        except REDIS_FAULTS as error:
            log.debug("redis is unavailable: %s", type(error).__name__)
            instruments.BUS_DROPPED.labels("redis_away").inc(len(logs))
            self._keep_unsent()
            return False
        except BaseException:
            self._keep_unsent()
            raise
        instruments.BUS_MESSAGES.labels("out").inc(len(messages))
        if not stored:
            self._keep_unsent()
            return False
        self._sending = {}
        return True

    async def _stored(self, hashes: Sequence[tuple[str, str, str, Sequence[StoredValue]]]) -> bool:
        """Whether Redis keeps these for newcomers. That it does not is no reason to keep viewers waiting."""
        try:
            if hashes:
                await self._state.write_many(hashes)
        except Refused:
            return False
        return True

    def _keep_unsent(self) -> None:
        sending, self._sending = self._sending, {}
        for (channel, kind), kept in sending.items():
            for stored in kept.values():
                _keep_newer(self._conflated, channel, kind, stored)


def _keep_newer(outbox: _Outbox, channel: str, kind: str, stored: StoredValue) -> None:
    kept = outbox.setdefault((channel, kind), {})
    known = kept.get(stored.item.key)
    rule = supersedes if kind == POSITIONS else is_of_higher_order
    if known is None or rule(known.item.order, known.item.fragment, stored.item.order, stored.item.fragment):
        kept[stored.item.key] = stored


def _runs(entries: Sequence[tuple[str, BusItem]]) -> list[tuple[str, list[BusItem]]]:
    """Neighbours of one kind together, in order."""
    runs: list[tuple[str, list[BusItem]]] = []
    for kind, item in entries:
        if runs and runs[-1][0] == kind:
            runs[-1][1].append(item)
        else:
            runs.append((kind, [item]))
    return runs
