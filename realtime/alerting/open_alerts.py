"""What a process knows of alerts: those that are open, in memory, and each change as it is heard.

Heard from this process, from the others by Redis, and by a poll of the store that finds whatever those have
missed: a lost message delays and never hides. Each version is told once, whichever way it comes.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol
from uuid import UUID

from alerts.alert import Alert
from realtime.aio import end
from realtime.alerting.publisher import alert_of
from realtime.alerting.views import is_open
from realtime.bus.bus import BusItem
from realtime.protocol import Refused

log = logging.getLogger(__name__)

POLL_S: Final = 2.0
RELOAD_EVERY: Final = 30
"""Polls between two readings of all that is open: what was erased from the store goes from here too."""
REMEMBERED: Final = 20_000
"""Alerts whose version is remembered, so that nothing is told twice."""

Change = Callable[[Alert, Alert | None], None]
"""Is told of an alert as it stands, and as it was known before. Must not block."""


class AlertSource(Protocol):
    """The store, as far as it is polled. Both raise Refused(unavailable)."""

    async def look(self) -> Sequence[Alert]:
        """What changed since the last look; the first marks the start."""

    async def every_open(self) -> Sequence[Alert]:
        """All that is open now, of every tenant."""


class OpenAlerts:
    """``start`` begins to poll. ``listen`` adds somebody who is told of every change."""

    def __init__(
        self, source: AlertSource, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._source = source
        self._pause = pause
        self._known: OrderedDict[UUID, Alert] = OrderedDict()
        self._open: dict[UUID, Alert] = {}
        self._of_driver: dict[tuple[str, str], set[UUID]] = {}
        self._stored: set[UUID] = set()
        self._listeners: list[Change] = []
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to poll."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Stop polling."""
        await end(self._tasks)

    def listen(self, change: Change) -> None:
        """Tell ``change`` of every change from now on."""
        self._listeners.append(change)

    # --- what is known

    def get(self, tenant: str, alert_id: UUID) -> Alert | None:
        """An alert that was heard of lately, open or not."""
        alert = self._known.get(alert_id)
        return alert if alert is not None and alert.tenant == tenant else None

    def open_of_vendor(self, tenant: str, vendor: str) -> list[Alert]:
        """The open alerts of a vendor's drivers, the oldest first."""
        return _in_order(a for a in self._open.values() if a.tenant == tenant and a.vendor == vendor)

    def open_of_driver(self, tenant: str, driver: str) -> list[Alert]:
        """The open alerts of a driver."""
        return _in_order(self._open[alert_id] for alert_id in self._of_driver.get((tenant, driver), ()))

    def open_of_journey(self, tenant: str, journey_id: UUID) -> list[Alert]:
        """The open alerts of a journey."""
        return _in_order(a for a in self._open.values() if a.tenant == tenant and a.journey_id == journey_id)

    def all_open(self) -> list[Alert]:
        """All open alerts, of all tenants."""
        return list(self._open.values())

    @property
    def open_count(self) -> int:
        """How many are open, drills too."""
        return len(self._open)

    # --- what is heard

    def on_items(self, items: Sequence[BusItem]) -> None:
        """Alerts that another process announced."""
        for item in items:
            if (alert := alert_of(item)) is not None:
                self.heard(alert)

    def heard(self, alert: Alert) -> None:
        """An alert as it stands now. Told to the listeners unless that, or later, was heard before."""
        before = self._known.get(alert.alert_id)
        if before is not None and before.version >= alert.version:
            return
        self._known[alert.alert_id] = alert
        self._known.move_to_end(alert.alert_id)
        self._keep(alert)
        while len(self._known) > REMEMBERED:
            oldest, _ = self._known.popitem(last=False)
            if oldest in self._open:  # an open alert is never forgotten
                self._known[oldest] = self._open[oldest]
                break
        for change in self._listeners:
            try:
                change(alert, before)
            except Exception:
                log.exception("a change of an alert was not told")

    def _keep(self, alert: Alert) -> None:
        driver = (alert.tenant, alert.driver)
        if is_open(alert):
            self._open[alert.alert_id] = alert
            self._of_driver.setdefault(driver, set()).add(alert.alert_id)
        else:
            self._drop(alert)

    def _drop(self, alert: Alert) -> None:
        self._open.pop(alert.alert_id, None)
        self._stored.discard(alert.alert_id)
        driver = (alert.tenant, alert.driver)
        ids = self._of_driver.get(driver, set())
        ids.discard(alert.alert_id)
        if not ids:
            self._of_driver.pop(driver, None)

    # --- the poll

    async def _run(self) -> None:
        polls = 0
        while True:
            try:
                await self.poll(reload=polls % RELOAD_EVERY == 0)
                polls += 1
            except Refused:
                log.debug("changed alerts cannot be polled")
            except Exception:
                log.exception("polling changed alerts failed")
            await self._pause(POLL_S)

    async def poll(self, *, reload: bool) -> None:
        """Look once; ``reload``: read all that is open as well. Raises Refused(unavailable)."""
        for alert in await self._source.look():
            self.heard(alert)
        if not reload:
            return
        before = set(self._open)
        found = await self._source.every_open()
        for alert in found:
            self.heard(alert)
        ids = {alert.alert_id for alert in found}
        # Closed is told by the look above; what is in neither was erased. What the store never had may be in
        # the journal of a process that cannot reach it.
        for alert_id in (before & self._stored) - ids:
            if (gone := self._open.get(alert_id)) is not None:
                self._drop(gone)
        self._stored |= ids & self._open.keys()


def _in_order(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: (alert.raised_ms, alert.alert_id))
