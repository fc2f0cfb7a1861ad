"""Declares the drivers of an instance that died without a word offline. Run by the workers, twice is fine."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from realtime.bus.bus import Message, RedisBus
from realtime.live.presence import PresenceState, Reason, epoch_of, presence_order
from realtime.live.presence_tracker import INSTANCES_KEY, lease_key
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import PRESENCE, presence_item, vendor_channel
from realtime.redis.client import Client

log = logging.getLogger(__name__)

SCAN_TIMEOUT_S: Final = 30.0


class PresenceSweeper:
    """``sweep`` finds instances whose lease ran out and tells their drivers offline."""

    def __init__(self, client: Client, state: LiveState, bus: RedisBus, now_ms: Callable[[], int]) -> None:
        self._client = client
        self._state = state
        self._bus = bus
        self._now_ms = now_ms

    async def sweep(self) -> int:
        """Drivers told offline. Raises RedisError, OSError, TimeoutError or Refused when Redis is away."""
        async with asyncio.timeout(SCAN_TIMEOUT_S):
            dead = [name for name in await self._instances() if not await self._is_alive(name)]
            if not dead:
                return 0
            told = 0
            async for key in self._client.scan_iter(match="wg:{*}:presence", count=500):
                tenant, _, vendor = key.decode().split("{", 1)[1].split("}", 1)[0].partition("/")
                told += await self._sweep_vendor(tenant, vendor, set(dead))
            await self._client.srem(INSTANCES_KEY, *dead)
        log.warning("told %d drivers of %d lost instances offline", told, len(dead))
        return told

    async def _instances(self) -> list[str]:
        names = cast(set[bytes], await self._client.smembers(INSTANCES_KEY))
        return [name.decode() for name in names]

    async def _is_alive(self, instance: str) -> bool:
        return bool(await self._client.exists(lease_key(instance)))

    async def _sweep_vendor(self, tenant: str, vendor: str, dead: set[str]) -> int:
        now_ms = self._now_ms()
        lost = []
        for item, instance in await self._state.read(tenant, vendor, PRESENCE):
            if instance not in dead or _state(item.fragment) == PresenceState.OFFLINE:
                continue
            order = presence_order(epoch_of(item.order), now_ms)
            gone = presence_item(item.key, order, PresenceState.OFFLINE, now_ms, Reason.INSTANCE_LOST)
            lost.append(StoredValue(gone, instance))
        if lost:
            await self._state.write(tenant, vendor, PRESENCE, lost)
            items = [stored.item for stored in lost]
            await self._bus.publish([Message(vendor_channel(tenant, vendor), PRESENCE, items, now_ms)])
        return len(lost)


def _state(fragment: bytes) -> str:
    return str(msgspec.json.decode(fragment, type=dict[str, Any]).get("state"))
