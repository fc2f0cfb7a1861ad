"""Reads the vendors' positions and presence from Redis, like any viewer and page by page."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from realtime.bus.bus import BusItem
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.source import LiveOrigin
from realtime.live.topics import HASHED, POSITIONS, PRESENCE, state_key, vendor_channel
from realtime.mirror.nodes import LIVE, Nodes, VendorNodes
from realtime.redis.client import Client
from realtime.store.db.database import Database

SEARCH_S: Final = 5.0
"""From one search for new vendors to the next."""
SCAN_TIMEOUT_S: Final = 10.0
SLICE: Final = 500
"""Drivers looked at before others of this process have their turn."""


class LiveReader:
    """`read` gives every vendor's nodes. ``clock``: monotonic seconds; ``now_ms``: the wall clock."""

    def __init__(
        self,
        db: Database,
        client: Client,
        timeout_s: float,
        now_ms: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._state = LiveState(client, timeout_s)
        self._origin = LiveOrigin(db, self._state)
        self._now_ms = now_ms
        self._clock = clock
        self._vendors: dict[tuple[str, str], VendorNodes] = {}
        self._searched_s: float | None = None

    async def read(self) -> AsyncIterator[tuple[str, Nodes]]:
        """``(group, nodes)`` of each vendor that has positions, or had them.

        Raises Refused, TimeoutError or what Redis raises when it is away: the rest is not known then.
        """
        now_s = self._clock()
        if self._searched_s is None or now_s - self._searched_s >= SEARCH_S:
            await self._search()
            self._searched_s = now_s
        for tenant, vendor in sorted(self._vendors):
            yield f"{LIVE}/{tenant}/{vendor}", await self._nodes(tenant, vendor)

    async def _search(self) -> None:
        """Vendors with positions; one whose positions Redis has lost is made whole from Postgres first."""
        async with asyncio.timeout(SCAN_TIMEOUT_S):
            async for key in self._client.scan_iter(match="wg:{*}:latest", count=500):
                tenant, _, vendor = key.decode().split("{", 1)[1].split("}", 1)[0].partition("/")
                self._vendors.setdefault((tenant, vendor), VendorNodes(tenant, vendor))
        for tenant, vendor in sorted(self._vendors):
            if not await self._state.is_built(tenant, vendor):
                await self._origin.load_board(vendor_channel(tenant, vendor))

    async def _nodes(self, tenant: str, vendor: str) -> Nodes:
        positions = await self._positions(tenant, vendor)
        presence = {item.key: item.fragment for item, _ in await self._hash(tenant, vendor, PRESENCE)}
        known, now_ms, nodes = self._vendors[tenant, vendor], self._now_ms(), Nodes()
        for start in range(0, len(positions), SLICE):
            nodes |= known.of(positions[start : start + SLICE], presence, now_ms)
            await asyncio.sleep(0)
        known.keep_only({item.key for item, _ in positions})
        if not positions:
            del self._vendors[tenant, vendor]
        return nodes

    async def _positions(self, tenant: str, vendor: str) -> list[StoredValue]:
        """All of a vendor. Who is missed may have gone with Redis' memory, and is in Postgres then."""
        positions = await self._hash(tenant, vendor, POSITIONS)
        missed = self._vendors[tenant, vendor].drivers - {item.key for item, _ in positions}
        if missed and not await self._state.is_built(tenant, vendor):
            await self._origin.load_board(vendor_channel(tenant, vendor))
            positions = await self._hash(tenant, vendor, POSITIONS)
        return positions

    async def _hash(self, tenant: str, vendor: str, kind: str) -> list[StoredValue]:
        """All of a vendor's hash: neither Redis nor this process is held up by a large one."""
        key = state_key(tenant, vendor, HASHED[kind])
        found: dict[str, StoredValue] = {}
        async with asyncio.timeout(SCAN_TIMEOUT_S):
            async for field, value in self._client.hscan_iter(key, count=SLICE):
                order, origin, fragment = value.split(b"|", 2)
                driver = field.decode()
                found[driver] = StoredValue(BusItem(driver, int(order), fragment), origin.decode())
        return list(found.values())
