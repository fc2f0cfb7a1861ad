"""The place of an open alert follows its driver, so that later messages and pages say where they are now.

A process follows two kinds of alerts:

1. Those of its journal that it acts on: with the position that this process took, else with that of Redis.
2. Those that Postgres has: with the positions that this process took alone. The phone is connected to one
   process, so one process changes an alert, and nothing is read for it.

What counts, and how often, `alerts.location.is_worth_following` decides. A change is stored like any other of
the alert: every process, page and message knows it. One that cannot be stored is tried again with the next
round. It is in the way of no press and no answer: one at a time, and Postgres is not asked while it is
unavailable. Those of the journal come first in a round, and the first that Postgres does not take ends it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple
from uuid import UUID

from alerts.alert import OPEN, Alert, Place
from alerts.events import Moved
from alerts.location import is_worth_following, order_ms
from alerts.ports import Applied, StorageFailure
from realtime.aio import end
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import Copies, Local
from realtime.alerting.publisher import AlertPublisher
from realtime.metrics import instruments
from realtime.store.alerts.ledger import PostgresLedger

log = logging.getLogger(__name__)

ROUND_S: Final = 1.0
MOVES: Final = 20
"""Alerts that one round changes at most: those whose place is the oldest first."""
READS: Final = 8
"""Live positions that one round reads from Redis at most, and at once: its connections are for others too."""
STORE_S: Final = 2.0


class _Move(NamedTuple):
    alert: Alert
    place: Place
    apply: Callable[[Alert, Place], Awaitable[Applied | None]]
    is_of_postgres: bool


class PositionFollower:
    """`start` begins, `stop` ends it; `round` follows once."""

    def __init__(
        self,
        reach: DatabaseGuard,
        ledger: PostgresLedger,
        local: Local,
        copies: Copies,
        announcer: AlertPublisher,
        news: OpenAlerts,
        last_seen: LastSeen,
    ) -> None:
        self._reach: Final = reach
        self._ledger: Final = ledger
        self._local: Final = local
        self._copies: Final = copies
        self._announcer: Final = announcer
        self._news: Final = news
        self._last_seen: Final = last_seen
        self._read_from = 0
        self._late: set[UUID] = set()
        """Alerts that Postgres did not take: the last of the next round, so that one stops no other."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Follow every `ROUND_S` from now on."""
        self._task = asyncio.create_task(self._run(), name="follower")

    async def stop(self) -> None:
        """Follow no more. Is idempotent."""
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def round(self) -> int:
        """Follow once; how many alerts have another place. Never raises for a store that is unavailable."""
        moves = [*await self._of_journal(), *self._of_postgres()]
        moves.sort(key=lambda move: -1 if move.alert.place is None else order_ms(move.alert.place))
        moves = moves[:MOVES]
        self._late &= {move.alert.alert_id for move in moves}
        moves.sort(key=lambda move: (move.is_of_postgres, move.alert.alert_id in self._late))
        moved = 0
        for alert, place, apply, is_of_postgres in moves:
            try:
                applied = await apply(alert, place)
            except (StorageFailure, TimeoutError):
                log.debug("alert %s cannot follow its driver now", alert.alert_id)
                if is_of_postgres:
                    self._late.add(alert.alert_id)
                    break
                continue
            self._late.discard(alert.alert_id)
            if applied is not None and applied.refused is None:
                moved += 1
                self._announcer.changed(applied.alert)
        return moved

    async def _of_journal(self) -> list[_Move]:
        acting = [kept.case.alert for kept in self._local.all() if kept.acting and _is_open(kept.case.alert)]
        here = [(alert, self._here(alert)) for alert in acting]
        unknown = [alert for alert, place in here if place is None]
        asked = (unknown[self._read_from :] + unknown[: self._read_from])[:READS]
        self._read_from = (self._read_from + READS) % len(unknown) if len(unknown) > READS else 0
        reads = (self._last_seen.of_redis(alert.tenant, alert.vendor, alert.driver) for alert in asked)
        found = [*here, *zip(asked, await asyncio.gather(*reads), strict=True)]
        return [
            _Move(alert, place, self._apply_here, False)
            for alert, known in found
            if (place := _worth(alert, known)) is not None
        ]

    def _of_postgres(self) -> list[_Move]:
        if not self._reach.is_up:
            return []
        found: list[_Move] = []
        for alert in self._news.all_open():
            place = _worth(alert, self._here(alert))
            if place is not None and self._local.get(alert.alert_id) is None:
                found.append(_Move(alert, place, self._apply_stored, True))
        return found

    def _here(self, alert: Alert) -> Place | None:
        return self._last_seen.here(alert.tenant, alert.vendor, alert.driver)

    async def _apply_here(self, alert: Alert, place: Place) -> Applied | None:
        applied = await self._local.apply(alert.alert_id, Moved(place))
        kept = self._local.get(alert.alert_id)
        if kept is not None and applied is not None and applied.refused is None:
            await self._copies.share(kept)
        return applied

    async def _apply_stored(self, alert: Alert, place: Place) -> Applied | None:
        async with asyncio.timeout(STORE_S):
            return await self._ledger.apply(alert.alert_id, Moved(place))

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(ROUND_S)
            try:
                await self.round()
            except Exception as error:  # its own text may hold a coordinate
                log.error("open alerts do not follow their drivers: %s", type(error).__name__)
                instruments.ALERT_STORE_FAULTS.inc()


def _worth(alert: Alert, place: Place | None) -> Place | None:
    """``place``, if the alert is to be changed for it."""
    return place if place is not None and is_worth_following(alert.place, place) else None


def _is_open(alert: Alert) -> bool:
    return alert.state in OPEN
