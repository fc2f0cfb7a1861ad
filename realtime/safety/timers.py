"""Fires the safety timers. Every worker runs this; a timer is locked by whoever fires it, and its alert is
raised in the same transaction. So it fires once, and soon, whichever of them is dead.

Silence is counted only while ingest was open (`UptimeKeeper` says when). Many drivers silent at once are held
back: the auditor tells the operator, and contacts are told when nobody dismisses it in time.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from alerts import timers
from alerts.alert import Actor, ActorKind
from alerts.policy import Circumstances
from alerts.timers import Sign, Timer, TimerKind, TimerState
from realtime import metrics
from realtime.fanout.endings import end
from realtime.live.channels import PRESENCE
from realtime.live.presence import State
from realtime.live.state import LiveState
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store import alert_steps
from realtime.store import timers as stored
from realtime.store.circumstances import circumstances, operator_of
from realtime.store.database import Database

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
AT_ONCE: Final = 200
"""Timers in one round."""
AT_A_TIME: Final = 3
"""Of them at once in a process: half of its pool is left to presses."""
PUT_OFF_MS: Final = 5_000
HEARD_LISTED: Final = 20_000
"""Drivers of a tenant that are compared with a silent one."""
ONLINE_TIMEOUT_S: Final = 2.0
BEAT_S: Final = 2.0
GAP_MS: Final = 10_000
"""A process that could not commit for longer was closed meanwhile."""
UPTIME_KEPT_MS: Final = 3 * 86_400_000

IsOnline = Callable[[str, str, str], Awaitable[bool]]
"""Whether the app of (tenant, vendor, driver) is connected."""

_SYSTEM: Final = Actor(ActorKind.SYSTEM, "timers")


class _Due(Struct, frozen=True):
    timer_id: UUID
    tenant: str
    vendor: str
    driver: str
    is_silence: bool


class SafetyTimers:
    """`round` looks at what is due. ``is_online``: None when only positions are a sign of life."""

    def __init__(self, db: Database, settings: Settings, is_online: IsOnline | None = None) -> None:
        self._db: Final = db
        self._settings: Final = settings
        self._is_online: Final = is_online

    async def round(self) -> int:
        """Look at everything that is due; how many fired. Raises Refused(unavailable)."""
        async with self._db.writer() as connection:
            rows = await connection.fetch(stored.SQL["due"], AT_ONCE)
        # Every worker has the same ones, and each begins somewhere else, so that they divide them among them.
        waiting = random.sample([_due(row) for row in rows], len(rows))
        lanes = (self._lane(waiting) for _ in range(AT_A_TIME))
        counts = await asyncio.gather(*lanes, return_exceptions=True)
        for count in counts:
            if isinstance(count, BaseException):
                raise count
        return sum(count for count in counts if isinstance(count, int))

    async def _lane(self, waiting: list[_Due]) -> int:
        """Look at one after the other until none waits; how many fired. Raises Refused(unavailable)."""
        fired = 0
        while waiting:
            due = waiting.pop()
            try:
                fired += await self._is_due(due) and await self._look(due)
            except Refused:
                raise
            except Exception as error:
                log.error("a timer cannot be fired: %s", type(error).__name__)
                async with self._db.writer() as connection:
                    await connection.execute(stored.SQL["put_off"], due.timer_id, PUT_OFF_MS)
        return fired

    async def _is_due(self, due: _Due) -> bool:
        """Whether it still is: another worker may have been faster, and nothing more is read for it."""
        async with self._db.writer() as connection:
            return bool(await connection.fetchval(stored.SQL["is_due"], due.timer_id))

    async def _look(self, due: _Due) -> bool:
        """Look at one timer, unless somebody else is at it; whether it fired."""
        operator = operator_of(self._settings, due.tenant)
        known = await circumstances(self._db, due.tenant, due.vendor, due.driver, operator)
        online = due.is_silence and await self._online(due)
        async with self._db.writer() as connection:
            row = await connection.fetchrow(stored.SQL["lock_due"], due.timer_id)
            if row is None:
                return False
            before = timers.settled_into(stored.timer_of(row), row["now_ms"])
            if before.due_ms > row["now_ms"]:  # it was only to be moved to a clock that was set back
                await stored.put(connection, before)
                return False
            after = await self._looked(connection, before, online, row["now_ms"], known)
            await stored.put(connection, after)
        if after.state is TimerState.HELD and before.state is not TimerState.HELD:
            log.warning("a timer is held back: many are silent")
        if after.state is not TimerState.FIRED:
            return False
        metrics.TIMERS_FIRED.labels(after.kind.value).inc()
        metrics.TIMER_LATE_SECONDS.observe(max(0, row["now_ms"] - before.due_ms) / 1000)
        return True

    async def _looked(
        self,
        connection: asyncpg.Connection,
        timer: Timer,
        online: bool,
        now_ms: int,
        known: Circumstances,
    ) -> Timer:
        """How ``timer`` stands after this look; it has raised its alert when it is fired."""
        if timer.journey_id is not None and await _has_ended(connection, timer, timer.journey_id):
            return timers.ended(timer, TimerState.DONE, _SYSTEM, now_ms) or timer
        sign = await stored.sign_of(connection, timer.tenant, timer.driver, timer.journey_id)
        if timer.kind is TimerKind.SIGNAL_LOST:
            timer = timers.looked(timer, sign, online, now_ms)
            silent_ms = await _silent_ms(connection, timer, now_ms)
            if silent_ms < timers.allowed_ms(timer):
                return timers.look_again(timer, silent_ms, now_ms)
            if timer.state is TimerState.ARMED and await self._is_mass(connection, timer, now_ms):
                until_ms = await self._hold_ends(connection, timer.tenant, now_ms)
                return timers.held(timer, until_ms, now_ms)
        return await _fire(connection, timer, sign, now_ms, known)

    async def _is_mass(self, connection: asyncpg.Connection, timer: Timer, now_ms: int) -> bool:
        rows = await connection.fetch(stored.SQL["last_heard"], timer.tenant, timer.driver, HEARD_LISTED)
        others = [row["heard_ms"] for row in rows]
        silent = 1 + timers.fell_silent_with(timer.heard_ms or timer.armed_ms, others, now_ms)
        settings = self._settings
        least, share = settings.mass_silence_drivers, settings.mass_silence_share
        return timers.is_mass(silent, 1 + len(others), least, share)

    async def _hold_ends(self, connection: asyncpg.Connection, tenant: str, now_ms: int) -> int:
        """Return the end of the tenant's hold: the one under way, else a new one from now.

        The lock keeps two transactions from each beginning a hold because neither sees the other's yet.
        """
        await connection.execute(stored.SQL["lock_hold"], tenant)
        until_ms: int | None = await connection.fetchval(stored.SQL["held_until"], tenant)
        return until_ms or now_ms + self._settings.mass_silence_hold_s * 1000

    async def _online(self, due: _Due) -> bool:
        if self._is_online is None:
            return False
        try:
            async with asyncio.timeout(ONLINE_TIMEOUT_S):
                return await self._is_online(due.tenant, due.vendor, due.driver)
        except Exception as error:
            log.debug("presence cannot be asked: %s", type(error).__name__)
            return False


def online_in(state: LiveState) -> IsOnline:
    """Whether an app is connected and was heard lately, by the presence that instances keep in Redis."""

    async def is_online(tenant: str, vendor: str, driver: str) -> bool:
        found = await state.read_one(tenant, vendor, PRESENCE, driver)
        if found is None:
            return False
        presence = msgspec.json.decode(found.item.fragment, type=dict[str, Any])
        return bool(presence.get("state") == State.ONLINE)

    return is_online


class UptimeKeeper:
    """Says that this process can take positions, while it can commit. `start` begins, `stop` ends it.

    ``process``: a name that no other process has, nor had.
    """

    def __init__(self, db: Database, process: str) -> None:
        self._db: Final = db
        self._process: Final = process
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say it every `BEAT_S` from now on."""
        self._task = asyncio.create_task(self._run(), name="uptime")

    async def stop(self) -> None:
        """Say it no more. Is idempotent."""
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def beat(self) -> None:
        """Say it once. Raises Refused(unavailable)."""
        await stored.beat(self._db, self._process, GAP_MS)

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except Refused:
                log.debug("positions cannot be kept now: this is no uptime")
            except Exception as error:
                log.error("uptime cannot be kept: %s", type(error).__name__)
            await asyncio.sleep(BEAT_S)


async def forget_uptime(db: Database) -> None:
    """Forget uptime that no silence is counted in any more. Raises Refused(unavailable)."""
    await stored.forget_uptime(db, UPTIME_KEPT_MS)


def _due(row: asyncpg.Record) -> _Due:
    return _Due(
        UUID(int=row["timer_id"].int), row["tenant_id"], row["vendor_id"], row["driver_id"],
        row["kind"] == TimerKind.SIGNAL_LOST.value,
    )  # fmt: skip


async def _silent_ms(connection: asyncpg.Connection, timer: Timer, now_ms: int) -> int:
    heard_ms = timer.heard_ms or timer.armed_ms
    return timers.silence_ms(heard_ms, now_ms, await stored.uptime(connection, heard_ms))


async def _has_ended(connection: asyncpg.Connection, timer: Timer, journey_id: UUID) -> bool:
    given = (timer.tenant, timer.driver, journey_id)
    return bool(await connection.fetchval(stored.SQL["has_ended"], *given))


async def _fire(
    connection: asyncpg.Connection, timer: Timer, sign: Sign | None, now_ms: int, known: Circumstances
) -> Timer:
    place, journey_id = (None, None) if sign is None else (sign.place, sign.journey_id)
    press = timers.press_of(timer, place, journey_id, now_ms)
    taken = await alert_steps.press(connection, press, known)
    return timers.fired(timer, taken.alert.alert_id, now_ms)
