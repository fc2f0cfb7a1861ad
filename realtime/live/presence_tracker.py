"""This instance's drivers: tells their presence, holds the lease that proves the instance alive.

The lease is a Redis key that the instance renews. When it had run out, or Redis had lost it, the presence of
every driver here is told again. A worker declares the drivers of an instance without a lease offline.

A node of a Redis Cluster may come back empty while another keeps the lease: beside each vendor's presence, in
its slot, this instance keeps a mark; when that is gone the presence of that vendor's drivers is told again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from realtime.aio import end
from realtime.bus.bus import REDIS_FAULTS
from realtime.live.presence import DriverPresence, Reason, presence_order
from realtime.live.publisher import LivePublisher
from realtime.live.topics import PRESENCE, presence_item, state_key
from realtime.redis.client import Client

log = logging.getLogger(__name__)

LEASE_S: Final = 6.0
RENEW_S: Final = 2.0
"""Between two renewals of the lease: two may be lost before it runs out."""
MARK_S: Final = 60.0
"""How long a mark outlives the last renewal: long enough for Redis to be away a while and lose nothing."""
INSTANCES_KEY: Final = "wg:instances"


def lease_key(instance: str) -> str:
    """The key that lives as long as ``instance`` does."""
    return f"wg:lease:{instance}"


def mark_key(tenant: str, vendor: str, instance: str) -> str:
    """The key that is lost when the presence of ``vendor`` is, as far as ``instance`` has told it."""
    return state_key(tenant, vendor, f"told:{instance}")


class PresenceTracker:
    """Presence of the drivers connected here, by (tenant, driver).

    ``renew_s``: seconds between two renewals of the lease, which runs out after `LEASE_S`.
    """

    def __init__(
        self,
        publisher: LivePublisher,
        client: Client,
        *,
        instance: str,
        stale_after_s: float,
        timeout_s: float,
        now_ms: Callable[[], int],
        renew_s: float = RENEW_S,
    ) -> None:
        self._publisher = publisher
        self._client = client
        self._instance = instance
        self._stale_after_ms = round(stale_after_s * 1000)
        self._timeout_s = timeout_s
        self._now_ms = now_ms
        self._renew_s = renew_s
        self._drivers: dict[tuple[str, str], DriverPresence] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.redis_is_up = False

    def start(self) -> None:
        """Begin to renew the lease and to look for silent drivers."""
        self._tasks = [
            asyncio.ensure_future(_every(self._renew_s, self._renew)),
            asyncio.ensure_future(_every(1.0, self._check)),
        ]

    async def stop(self) -> None:
        """Stop; the lease is given up at once, after the drivers here were said to be offline."""
        await end(self._tasks)
        await self._bounded(lambda: self._client.delete(lease_key(self._instance)))

    def connected(self, tenant: str, vendor: str, driver: str, epoch: int) -> None:
        """A driver's app has connected here with this epoch."""
        known = self._drivers.get((tenant, driver))
        if known is not None and known.epoch > epoch:
            return
        now_ms = self._now_ms()
        present = DriverPresence(tenant, vendor, driver, epoch, heard_ms=now_ms, since_ms=now_ms)
        self._drivers[tenant, driver] = present
        self._tell(present)

    def heard(self, tenant: str, driver: str) -> None:
        """A driver's app sent something over a socket."""
        present = self._drivers.get((tenant, driver))
        if present is not None and present.heard(self._now_ms()):
            self._tell(present)

    def disconnected(self, tenant: str, driver: str, epoch: int, reason: Reason) -> None:
        """A connection is gone; it counts only when it was the driver's newest here."""
        present = self._drivers.get((tenant, driver))
        if present is None or present.epoch != epoch:
            return
        del self._drivers[tenant, driver]
        present.ended(self._now_ms(), reason)
        self._tell(present)

    def __len__(self) -> int:
        return len(self._drivers)

    def _tell(self, present: DriverPresence) -> None:
        order = presence_order(present.epoch, self._now_ms())
        item = presence_item(
            present.driver, order, present.state.value, present.since_ms, present.reason.value
        )
        self._publisher.conflated(present.tenant, present.vendor, PRESENCE, item, self._instance)

    async def _check(self) -> None:
        now_ms = self._now_ms()
        for present in list(self._drivers.values()):
            if present.checked(now_ms, self._stale_after_ms):
                self._tell(present)

    async def _renew(self) -> None:
        vendors = list({(present.tenant, present.vendor) for present in self._drivers.values()})
        pipe = self._client.pipeline(transaction=False)
        pipe.set(lease_key(self._instance), b"1", px=round(LEASE_S * 1000), get=True)
        for tenant, vendor in vendors:
            pipe.set(mark_key(tenant, vendor, self._instance), b"1", px=round(MARK_S * 1000), get=True)
        pipe.sadd(INSTANCES_KEY, self._instance)
        answer = await self._bounded(pipe.execute)
        self.redis_is_up = answer is not None
        if answer is None:
            return
        lease, *marks = answer[:-1]
        lost = {vendor for vendor, mark in zip(vendors, marks, strict=True) if mark is None}
        for present in list(self._drivers.values()):
            if lease is None or (present.tenant, present.vendor) in lost:
                self._tell(present)

    async def _bounded(self, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await call()
        except REDIS_FAULTS as error:
            log.debug("presence: %s", type(error).__name__)
            return None


async def _every(pause_s: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await action()
        except Exception:
            log.exception("presence upkeep failed")
        await asyncio.sleep(pause_s)
