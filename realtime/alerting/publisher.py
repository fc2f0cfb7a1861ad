"""Tells every process of each change of an alert at once, by Redis.

What is lost here is found by the 2 s poll of `realtime.alerting.open_alerts`, so nothing is ever waited for.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from alerts.alert import Alert
from realtime.aio import end
from realtime.alerting.ports import Heard
from realtime.bus.bus import REDIS_FAULTS, BusItem, Message, RedisBus
from realtime.fanout.engineio.frames import json_bytes

log = logging.getLogger(__name__)

CHANNEL: Final = "alerts"
KIND: Final = "alert"
MAX_WAITING: Final = 1_000
"""Alerts that wait for Redis; beyond it the oldest is left to the poll."""
RETRY_S: Final = 0.5
GIVE_UP: Final = 20
"""Tries; by then the poll has told."""

_DECODE: Final = msgspec.json.Decoder(Alert).decode


def item_of(alert: Alert) -> BusItem:
    """The alert as it travels between processes."""
    return BusItem(str(alert.alert_id), alert.version, json_bytes(alert))


def alert_of(item: BusItem) -> Alert | None:
    """The alert of an `item_of`; None for what is none."""
    try:
        return _DECODE(item.fragment)
    except (msgspec.MsgspecError, ValueError):
        return None


class AlertPublisher:
    """Publishes changes; ``heard`` is told of them in this process at once. ``stop`` it in the end."""

    def __init__(self, bus: RedisBus, now_ms: Callable[[], int], heard: Heard | None = None) -> None:
        self._bus = bus
        self._now_ms = now_ms
        self._heard = heard
        self._waiting: dict[UUID, Alert] = {}
        self._task: asyncio.Task[None] | None = None

    def changed(self, alert: Alert) -> None:
        """The alert has changed, or was raised, in this process."""
        if self._heard is not None:
            self._heard(alert)
        waiting = self._waiting.get(alert.alert_id)
        if waiting is None or waiting.version <= alert.version:
            self._waiting[alert.alert_id] = alert
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._send())

    async def announce(self, alert: Alert) -> bool:
        """The same, and whether Redis has taken it."""
        if self._heard is not None:
            self._heard(alert)
        return await self._publish([alert])

    async def _send(self) -> None:
        for _ in range(GIVE_UP):
            alerts = list(self._waiting.values())
            if not alerts:
                return
            if await self._publish(alerts):
                for alert in alerts:
                    if self._waiting.get(alert.alert_id) is alert:
                        del self._waiting[alert.alert_id]
            else:
                await asyncio.sleep(RETRY_S)
        self._waiting.clear()

    async def _publish(self, alerts: list[Alert]) -> bool:
        at_ms = self._now_ms()
        try:
            await self._bus.publish([Message(CHANNEL, KIND, [item_of(alert)], at_ms) for alert in alerts])
        except REDIS_FAULTS as error:
            log.debug("an alert is not announced: %s", type(error).__name__)
            return False
        return True

    async def stop(self) -> None:
        """Announce no more."""
        if self._task is not None:
            await end([self._task])
