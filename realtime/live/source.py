"""The truth behind the feeds: Redis for what is conflated (rebuilt from Postgres), Postgres for the logs."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from geo.position import Point
from realtime.bus.bus import BusItem
from realtime.fanout.hub.channel import LogEnd
from realtime.live.precedence import order_of
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import (
    ENDED,
    EXPIRED,
    JOURNEY,
    POSITIONS,
    PRESENCE,
    journey_note,
    log_item,
    parse_position,
    parts,
    position_item,
)
from realtime.protocol import Refused
from realtime.store.db.database import Database
from realtime.store.journeys import journeys, points

log = logging.getLogger(__name__)

DRIVERS_REMEMBERED: Final = 10_000
"""A journey's driver never changes, so remembering it is safe; this only bounds the memory."""

Unsent = Callable[[str], Sequence[tuple[str, Sequence[BusItem]]]]
"""What of a channel this instance has not sent to Redis yet; see `LivePublisher.unsent`."""


def _nothing_unsent(channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
    return ()


class LiveOrigin:
    """Implements `realtime.fanout.hub.channel.Origin`, and the newest of a vendor for the HTTP API."""

    def __init__(self, db: Database, state: LiveState, unsent: Unsent = _nothing_unsent) -> None:
        self._db = db
        self._state = state
        self._unsent = unsent
        self._drivers: dict[str, str] = {}

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        """Latest positions and presence of a vendor. Raises Refused(unavailable) with both engines away."""
        tenant, vendor = parts(channel)
        unsent = self._unsent(channel)  # first: on its way to Redis it is in one place or the other
        latest = await self._latest(tenant, vendor)
        try:
            presence = await self._state.read(tenant, vendor, PRESENCE)
        except Refused:
            presence = []  # each instance tells its own drivers' again once Redis is back
        return [(POSITIONS, [s.item for s in latest]), (PRESENCE, [s.item for s in presence]), *unsent]

    async def _latest(self, tenant: str, vendor: str) -> list[StoredValue]:
        try:
            if not await self._state.is_built(tenant, vendor):
                await self._state.write(tenant, vendor, POSITIONS, await self._rebuilt(tenant, vendor))
                await self._state.mark_built(tenant, vendor)
            return await self._state.read(tenant, vendor, POSITIONS)
        except Refused:
            log.info("latest positions are read from the store")
            return await self._rebuilt(tenant, vendor)

    async def _rebuilt(self, tenant: str, vendor: str) -> list[StoredValue]:
        return [
            StoredValue(
                position_item(
                    row.driver, str(row.journey_id), row.point, order_of(row.received_ms, ended=row.ended)
                ),
                str(row.received_ms),
            )
            for row in await points.latest_of_vendor(self._db, tenant, vendor)
        ]

    async def read_log(self, channel: str, since: int, limit: int) -> list[BusItem]:
        """A page of a journey's log."""
        tenant, journey_id = parts(channel)
        driver = await self._driver_of(tenant, journey_id)
        if driver is None:
            return []
        found = await points.after(self._db, tenant, UUID(journey_id), since, limit)
        return [log_item(driver, journey_id, point) for point in found]

    async def _driver_of(self, tenant: str, journey_id: str) -> str | None:
        driver = self._drivers.get(journey_id)
        if driver is None:
            head = await journeys.head(self._db, tenant, UUID(journey_id))
            if head is None:
                return None
            if len(self._drivers) >= DRIVERS_REMEMBERED:
                self._drivers.clear()
            driver = self._drivers[journey_id] = head.driver
        return driver

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        """The last stored seq of each journey, and that it is over when it is."""
        wanted = [(tenant, UUID(name)) for tenant, name in map(parts, channels)]
        # In this order: a journey that is over by the first question has all its points by the second, but
        # for a backlog that may come later.
        closed = await journeys.closed_among(self._db, wanted)
        last = await points.last_seqs(self._db, wanted)
        return {
            channel: LogEnd(last.get(journey_id, 0), _closing(journey_id, closed.get(journey_id)))
            for channel, (_, journey_id) in zip(channels, wanted, strict=True)
        }

    # --- for the HTTP API

    async def of_vendor(self, tenant: str, vendor: str) -> list[tuple[str, UUID | str, Point, int]]:
        """``(driver, journey id, point, received_ms)`` a driver. Raises Refused(unavailable)."""
        return [
            (*parse_position(stored.item.fragment), int(stored.origin))
            for stored in await self._latest(tenant, vendor)
        ]

    async def presence_of_vendor(self, tenant: str, vendor: str) -> dict[str, dict[str, Any]]:
        """Driver → ``{state, since_ms, reason}``; empty when Redis is away."""
        try:
            stored = await self._state.read(tenant, vendor, PRESENCE)
        except Refused:
            return {}
        presence = {}
        for item, _ in stored:
            body = msgspec.json.decode(item.fragment, type=dict[str, Any])
            presence[body.pop("driver")] = body
        return presence


def _closing(journey_id: UUID, closing: journeys.Closing | None) -> tuple[str, BusItem] | None:
    if closing is None:
        return None
    state = EXPIRED if closing.expired else ENDED
    return JOURNEY, journey_note(closing.driver, str(journey_id), state, closing.ended_ms)
