"""Until when a live link to a journey shows where the driver is: five minutes after the journey's end, and
longer while an SOS of the driver is open.

The viewer's page hides the place by itself; here no position is given to it any more, after a reload and to
other clients too. A viewer for whom that changes is told to watch the journey again (``reset``).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.views import is_open_on_phone
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.fanout.hub.hub import Hub
from realtime.protocol import Refused
from realtime.sockets.connection import Connection
from realtime.store.db.database import Database
from realtime.store.journeys import journeys

log = logging.getLogger(__name__)

SHOWN_AFTER_END_MS: Final = 300_000


@dataclass(slots=True, eq=False)
class _Viewing:
    """One viewer of one journey by a live link."""

    connection: Connection
    label: str
    journey_id: UUID
    driver: str
    ended_ms: int | None
    is_hidden: bool


class LivePlaces:
    """Knows who watches a journey by a live link, and judges each every ``check_s`` seconds."""

    def __init__(
        self, db: Database, hub: Hub, news: OpenAlerts, now_ms: Callable[[], int], check_s: float
    ) -> None:
        self._db = db
        self._hub = hub
        self._news = news
        self._now_ms = now_ms
        self._check_s = check_s
        self._viewing: dict[tuple[Connection, str], _Viewing] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to judge."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Judge no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def is_hidden(self, principal: Principal, driver: str, ended_ms: int | None) -> bool:
        """Whether the place in a journey of ``driver`` that ended at ``ended_ms`` is hidden from a viewer."""
        if not is_live_link(principal) or ended_ms is None:
            return False
        if self._now_ms() < ended_ms + SHOWN_AFTER_END_MS:
            return False
        return not self._has_open_sos(principal, driver)

    def add(self, connection: Connection, label: str, head: journeys.JourneyHead, *, is_hidden: bool) -> None:
        """``connection`` watches the journey as ``label``; nothing to judge where its link is no live one."""
        if is_live_link(connection.principal) and not connection.left:
            self._viewing[connection, label] = _Viewing(
                connection, label, head.journey_id, head.driver, head.ended_ms, is_hidden
            )

    def remove(self, connection: Connection, label: str) -> bool:
        """It watches that no more. Whether the place was hidden from it."""
        viewing = self._viewing.pop((connection, label), None)
        return viewing is not None and viewing.is_hidden

    def left(self, connection: Connection) -> None:
        """The viewer has gone."""
        for key in [key for key in self._viewing if key[0] is connection]:
            del self._viewing[key]

    async def check(self) -> None:
        """Judge everyone anew."""
        viewings = list(self._viewing.values())
        wanted = {(v.connection.principal.tenant, v.journey_id) for v in viewings if v.ended_ms is None}
        with contextlib.suppress(Refused):  # what ended is known when the store can be asked again
            closed = await journeys.closed_among(self._db, sorted(wanted, key=str))
            for viewing in viewings:
                if viewing.ended_ms is None and viewing.journey_id in closed:
                    viewing.ended_ms = closed[viewing.journey_id].ended_ms
        for viewing in viewings:
            is_hidden = self.is_hidden(viewing.connection.principal, viewing.driver, viewing.ended_ms)
            if is_hidden != viewing.is_hidden:
                self._watch_again(viewing)

    def _watch_again(self, viewing: _Viewing) -> None:
        key = (viewing.connection, viewing.label)
        if self._viewing.get(key) is not viewing:
            return  # it left, or watches again already
        del self._viewing[key]
        self._hub.leave(viewing.label, viewing.connection.socket)
        viewing.connection.emit("reset", {"feed": viewing.label})

    def _has_open_sos(self, principal: Principal, driver: str) -> bool:
        alerts = self._news.open_of_driver(principal.tenant, driver)
        # A link that the driver's own app made shows no more than the phone does (`access.may_answer_alert`).
        of_phone = principal.share is not None and principal.share.answers_from_ms > 0
        return any(not alert.drill and (not of_phone or is_open_on_phone(alert)) for alert in alerts)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._check_s)
            try:
                await self.check()
            except Exception as error:
                log.error("live links cannot be judged: %s", type(error).__name__)


def is_live_link(principal: Principal) -> bool:
    """Whether somebody holds a link to a journey, or to a driver, that shows only where they are now."""
    grant = principal.share
    if principal.role != authorize.SHARE or grant is None:
        return False
    return grant.alert_id is None and grant.scope == "live"
