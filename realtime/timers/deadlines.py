"""Fires "arrive by" and "check in" timers from memory while Postgres is unavailable or fails to fire them.

A worker reads the nearest deadlines while Postgres answers. A timer whose deadline passes while Postgres does
not fire it is pressed through the intake, which keeps the SOS in the journal. Firing is the same press in
every process, however often (`alerts.timers.press_of`). Postgres later fires the timer once more, finds the
press and opens no second alert.

A check-in or an arrival that Postgres does not take is stored in Redis (`realtime.timers.checkins`), and
counts here before anything is fired. Without Redis its driver is answered ``unavailable``; then the alert is
raised, and the driver calls it off. Silence is not counted while no position can be stored, so "signal
lost" is not fired here.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import msgspec

from alerts.timers import LIVE, Timer, TimerState, press_of
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.ports import Intake
from realtime.metrics import instruments
from realtime.store.alerts.delivery_faults import DeliveryFaults
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.timers.checkins import CheckIns, overlaid

log = logging.getLogger(__name__)

POLL_S: Final = 2.0
READ_TIMEOUT_S: Final = 5.0
UNAVAILABLE_S: Final = 4.0
"""A shorter absence is waited out: Postgres fires the timer itself."""
LATE_MS: Final = 5_000
"""How long after its deadline a timer is left to a Postgres that answers."""
FRESH_S: Final = 60.0
"""Deadlines that were read longer before are not fired: their drivers may have checked in since."""
MAX_TIMERS: Final = 1_000
"""The nearest deadlines; further ones are read as they come near, unless Postgres is unavailable by then."""

_SQL: Final = load("deadlines")
_read: Final = msgspec.json.Decoder(Timer).decode


def missed(timers: Iterable[Timer], now_ms: int, late_ms: int) -> list[Timer]:
    """Of ``timers`` those whose deadline passed ``late_ms`` ago or longer, the longest overdue first."""
    return sorted(
        (timer for timer in timers if timer.due_ms + late_ms <= now_ms), key=lambda timer: timer.due_ms
    )


class Deadlines:
    """`round` every `POLL_S`. ``faults``: timers that Postgres fails to fire. ``clock``: monotonic."""

    def __init__(
        self,
        reach: DatabaseGuard,
        db: Database,
        intake: Intake,
        faults: DeliveryFaults,
        clock: Callable[[], float] = time.monotonic,
        *,
        unavailable_s: float = UNAVAILABLE_S,
        max_timers: int = MAX_TIMERS,
        checkins: CheckIns | None = None,
    ) -> None:
        self._checkins: Final = checkins
        self._reach: Final = reach
        self._db: Final = db
        self._intake: Final = intake
        self._faults: Final = faults
        self._clock: Final = clock
        self._unavailable_s: Final = unavailable_s
        self._max_timers: Final = max_timers
        self._timers: dict[UUID, Timer] = {}
        self._fired: dict[UUID, int] = {}
        """By timer: which of its firings this process has pressed."""
        self._read_s = float("-inf")
        self._down_s: float | None = None
        """Since when Postgres is unavailable."""
        self._offset_ms = 0.0
        """What Postgres' clock showed, less ours."""

    async def round(self) -> int:
        """Read the deadlines, or fire what Postgres does not; how many were fired."""
        if self._reach.is_up:
            await self._read()
        if not self._reach.is_up:
            self._down_s = self._clock() if self._down_s is None else self._down_s
            if self._reach.lost_for_s < self._unavailable_s or not self._is_fresh(self._down_s):
                return 0
            overdue = missed(self._timers.values(), self._now_ms(), 0)
            return await self._fire(await self._unanswered(overdue, 0))
        self._down_s = None
        failing = [timer for timer in self._timers.values() if self._faults.fails(timer.timer_id)]
        overdue = await self._unanswered(missed(failing, self._now_ms(), LATE_MS), LATE_MS)
        return await self._fire([timer for timer in overdue if await self._is_still_due(timer)])

    async def _unanswered(self, overdue: list[Timer], late_ms: int) -> list[Timer]:
        """Return those of ``overdue`` that are overdue with the check-ins that Redis has too.

        A timer that was answered stands in memory as it is then.
        """
        if self._checkins is None or not overdue:
            return overdue
        try:
            answers = await self._checkins.read()
        except Exception as error:
            log.warning("check-ins cannot be read from redis: %s", type(error).__name__)
            return overdue
        now_ms = self._now_ms()
        self._timers |= {timer.timer_id: overlaid(timer, answers, now_ms) for timer in overdue}
        now = [self._timers[timer.timer_id] for timer in overdue]
        return missed([timer for timer in now if timer.state in LIVE], now_ms, late_ms)

    def _is_fresh(self, at_s: float) -> bool:
        """Whether the deadlines were at most `FRESH_S` old at ``at_s``: check-ins since then are unknown."""
        if at_s - self._read_s <= FRESH_S:
            return True
        log.error("the deadlines in memory are too old to be fired")
        instruments.ALERT_STORE_FAULTS.inc()
        return False

    async def _is_still_due(self, timer: Timer) -> bool:
        """Whether ``timer`` stands as it was last read, as far as Postgres can tell: it may have been checked
        in while the list of deadlines could not be read.
        """
        try:
            stored = await self._reach.ask(lambda: self._one(timer), READ_TIMEOUT_S)
        except Exception as error:
            log.warning("timer %s cannot be read: %s", timer.timer_id, type(error).__name__)
            return self._is_fresh(self._clock())
        if stored is None or stored.state is not TimerState.ARMED:
            return False
        # What Redis has of check-ins moved ours, not the stored one.
        return stored.due_ms <= timer.due_ms and stored.fired == timer.fired

    async def _one(self, timer: Timer) -> Timer | None:
        async with self._db.reader(timer.tenant) as connection:
            row = await connection.fetchrow(_SQL["one"], timer.tenant, timer.driver, timer.timer_id)
        return None if row is None else _read(row["timer"])

    async def _read(self) -> None:
        """Read the nearest deadlines. What cannot be read stays as it was last read."""
        try:
            rows = await self._reach.ask(self._nearest, READ_TIMEOUT_S)
        except Exception as error:
            log.warning("the deadlines of timers cannot be read: %s", type(error).__name__)
            return
        now_ms, timers = rows
        self._read_s = self._clock()
        self._offset_ms = now_ms - self._read_s * 1000
        self._timers = {timer.timer_id: timer for timer in timers}
        self._fired = {key: fired for key, fired in self._fired.items() if key in self._timers}

    async def _nearest(self) -> tuple[int, list[Timer]]:
        async with self._db.writer() as connection:  # across tenants
            rows = await connection.fetch(_SQL["nearest"], self._max_timers)
        return rows[0]["now_ms"], [_read(row["timer"]) for row in rows if row["timer"] is not None]

    async def _fire(self, timers: list[Timer]) -> int:
        fired = 0
        for timer in timers:
            if self._fired.get(timer.timer_id) == timer.fired:
                continue
            try:
                taken = await self._intake.press(press_of(timer, None, None, self._now_ms()))
            except Exception as error:  # the others are fired all the same
                log.error("timer %s cannot be fired: %s", timer.timer_id, type(error).__name__)
                continue
            self._fired[timer.timer_id] = timer.fired
            fired += 1
            instruments.TIMERS_FIRED.labels(timer.kind.value).inc()
            log.warning("timer %s was fired without postgres: alert %s", timer.timer_id, taken.alert.alert_id)
        return fired

    def _now_ms(self) -> int:
        return int(self._clock() * 1000 + self._offset_ms)
