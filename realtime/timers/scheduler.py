"""Fires the safety timers, in batches. Every worker runs this; a timer is locked by the transaction that
fires it, and its alert is raised in the same transaction. So it fires once, and soon, even when another
worker has terminated.

Silence is counted only while ingest was open (`UptimeKeeper` records when). When many drivers are silent at
once their timers are held back: the auditor notifies the operator, and the contacts are notified unless the
operator dismisses it in time.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts import timers
from alerts.alert import Actor, ActorKind, Place, Press
from alerts.policy import Circumstances, Pins, Source
from alerts.timers import Sign, Timer, TimerKind, TimerState
from realtime.aio import end
from realtime.alerting.last_positions import placed_or_as_pressed
from realtime.live.presence import PresenceState
from realtime.live.redis_state import LiveState
from realtime.live.topics import PRESENCE
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.alerts import timers as stored
from realtime.store.alerts import transactions
from realtime.store.alerts.circumstances import (
    FAR,
    RECENT,
    Depth,
    DriverQuery,
    LastSeenPosition,
    Whose,
    circumstances_of,
    operator_of,
    read_within,
    seen_within,
)
from realtime.store.alerts.delivery_faults import DeliveryFaults, DeliveryStage
from realtime.store.db.database import Database
from realtime.timers.checkins import CheckIns

A = TypeVar("A")
R = TypeVar("R")
log = logging.getLogger(__name__)

POLL_S: Final = 1.0
READ_TIMERS: Final = 1_000
"""Due timers that one query reads."""
BATCH_TIMERS: Final = 50
"""Timers in one transaction. It waits for no lock; a press of one of its drivers waits for it."""
TRANSACTIONS_AT_ONCE: Final = 2
"""Of one process: most of its connections are left to presses."""
PUT_OFF_MS: Final = 5_000
LATE_MS: Final = 5_000
"""How long a timer waits for a journey that cannot be read: its driver may have ended it."""
RECENT_MS: Final = 1_000
"""How long one statement may take that reads where the drivers of a batch were last seen."""
SEARCH_EACH_MS: Final = 250
"""How long the same may take for one driver: further back, or after the statement for all has failed."""
CIRCUMSTANCES_S: Final = 2.0
"""How long the contacts of a batch may take; then those of the local copy are used."""
SEARCH_S: Final = 2.0
"""How long after a batch began no more of these are sent: its transaction holds the locks of its drivers."""
COMPARED_DRIVERS: Final = 20_000
"""Drivers of a tenant that are compared with a silent one, at most."""
ONLINE_TIMEOUT_S: Final = 2.0
BEAT_S: Final = 2.0
GAP_MS: Final = 10_000
"""A process that could not commit for longer took no positions meanwhile."""
UPTIME_KEPT_MS: Final = 3 * 86_400_000

IsOnline = Callable[[str, str, str], Awaitable[bool]]
"""Whether the app of (tenant, vendor, driver) is connected."""

LiveOf = Callable[[str, str, str], Awaitable[Place | None]]
"""The live position of (tenant, vendor, driver), None where it is not known. Bounded, never raises."""

_SYSTEM: Final = Actor(ActorKind.SYSTEM, "timers")


async def no_position(tenant: str, vendor: str, driver: str) -> Place | None:
    """No live position is known of any driver."""
    return None


LocalCopy = Callable[[str, str, str], Circumstances]
"""What the local copy knows of (tenant, vendor, driver)."""


def no_contacts(tenant: str, vendor: str, driver: str) -> Circumstances:
    """Nothing is known of any driver."""
    return Circumstances({}, (), Pins(), source=Source.NONE)


class _Due(Struct, frozen=True):
    timer_id: UUID
    whose: Whose
    is_silence: bool


class _Firing(Struct, frozen=True):
    """A timer that is to raise its alert, and where its driver was last seen.

    ``is_journey_known``: whether the journey that it names, if any, was found to be its driver's.
    """

    timer: Timer
    seen: LastSeenPosition = LastSeenPosition()
    live: Place | None = None
    is_journey_known: bool = True

    def press(self, now_ms: int) -> Press:
        """Return the press that raises the alert."""
        timer = self.timer if self.is_journey_known else replace(self.timer, journey_id=None)
        press = timers.press_of(timer, None, None, now_ms)
        return placed_or_as_pressed(press, self.seen, [] if self.live is None else [self.live], now_ms)


class _Done(Struct, frozen=True):
    """Result of a batch. ``left``: timers that are to be processed alone."""

    processed: int = 0
    fired: int = 0
    left: Sequence[_Due] = ()


class _Snapshot:
    """What one transaction reads once for all of its timers. ``now_ms`` by Postgres' clock."""

    def __init__(
        self, connection: asyncpg.Connection, now_ms: int, live: Mapping[UUID, Place | None]
    ) -> None:
        self.connection: Final = connection
        self.now_ms: Final = now_ms
        self.live: Final = live
        """The live position of the driver of each timer."""
        self.holds: Final[dict[str, int]] = {}
        """The end of each tenant's hold."""
        self._last_seen: Final[dict[str, tuple[dict[str, int], list[int]]]] = {}
        self._uptime: tuple[int, list[tuple[int, int]]] | None = None

    async def last_seen(self, tenant: str) -> tuple[dict[str, int], list[int]]:
        """Return when the drivers of ``tenant`` on active journeys last sent: by driver, and ascending. Of
        none where that cannot be read: no alert is held back for it.
        """
        if tenant not in self._last_seen:
            rows = await read_within(
                self.connection,
                RECENT_MS,
                f"when the drivers of tenant {tenant} last sent",
                lambda: self.connection.fetch(stored.SQL["last_heard"], tenant, COMPARED_DRIVERS),
            )
            by_driver = {row["driver_id"]: row["heard_ms"] for row in rows or ()}
            self._last_seen[tenant] = by_driver, sorted(by_driver.values())
        return self._last_seen[tenant]

    async def uptime(self, since_ms: int) -> list[tuple[int, int]] | None:
        """Return when each process could store positions, from ``since_ms`` on or from earlier; None when
        that cannot be read.
        """
        if self._uptime is None or self._uptime[0] > since_ms:
            read = await read_within(
                self.connection, RECENT_MS, "uptime", lambda: stored.uptime(self.connection, since_ms)
            )
            if read is None:
                return None
            self._uptime = since_ms, read
        return self._uptime[1]

    async def each(
        self,
        what: str,
        asked: Sequence[A],
        read: Callable[[Sequence[A]], Awaitable[Sequence[R]]],
        until_s: float,
    ) -> list[tuple[R] | None]:
        """Return what ``read`` reads for each of ``asked``, in one statement, else in one for each of them;
        None where that cannot be read. After ``until_s`` by the monotonic clock no more are read.
        """
        if not asked:
            return []
        together = await read_within(
            self.connection, RECENT_MS, f"{what} of {len(asked)} timers", lambda: read(asked)
        )
        if together is not None:
            return [(one,) for one in together]
        found: list[tuple[R] | None] = []
        for one in asked:
            alone = None
            left_ms = min(SEARCH_EACH_MS, round((until_s - time.monotonic()) * 1000))
            if left_ms > 0:
                alone = await read_within(
                    self.connection, left_ms, f"{what} of a timer", partial(read, [one])
                )
            found.append(None if alone is None else (alone[0],))
        return found


class TimerScheduler:
    """`round` fires what is due. ``is_online``: None when only positions are a sign of life.

    ``batch``: timers in one transaction. ``live_of``: where a driver was last seen live. ``is_in_journal``:
    whether a journal has an open alert of (tenant, driver) that Postgres may not have: firing would open a
    second one, so the timer waits for its import.
    ``checkins``: those that Redis has for Postgres, which are written before anything is fired.
    ``local_copy``: contacts and policies for drivers of whom Postgres has none that can be read.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        is_online: IsOnline | None = None,
        *,
        batch: int = BATCH_TIMERS,
        faults: DeliveryFaults | None = None,
        is_in_journal: Callable[[str, str], bool] = lambda tenant, driver: False,
        live_of: LiveOf = no_position,
        checkins: CheckIns | None = None,
        local_copy: LocalCopy = no_contacts,
    ) -> None:
        self._local_copy: Final = local_copy
        self._live_of: Final = live_of
        self._checkins: Final = checkins
        self._is_in_journal: Final = is_in_journal
        self.faults: Final = faults or DeliveryFaults()
        """Timers that cannot be fired although Postgres answers: `realtime.timers.deadlines` fires them."""
        self._db: Final = db
        self._batch: Final = batch
        self._settings: Final = settings
        self._is_online: Final = is_online

    async def round(self) -> int:
        """Process each timer that is due; return how many fired. Raises Refused(unavailable)."""
        try:
            await self._apply_checkins()
            return await self._round()
        except Exception:
            self.faults.claims_failed()
            raise

    async def _apply_checkins(self) -> None:
        """Write the check-ins of Redis; without Redis timers are fired as Postgres has them."""
        if self._checkins is None:
            return
        try:
            await self._checkins.apply(self._db)
        except Refused:
            raise
        except Exception as error:
            log.debug("check-ins cannot be read: %s", type(error).__name__)

    async def _round(self) -> int:
        fired = 0
        while True:
            async with self._db.writer() as connection:
                rows = await connection.fetch(stored.SQL["due"], READ_TIMERS)
            due = [one for one in map(_due, rows) if not self._waits(one.whose.tenant, one.whose.driver)]
            batches = [due[at : at + self._batch] for at in range(0, len(due), self._batch)]
            # Every worker reads the same ones; a random order lets them share the work.
            random.shuffle(batches)
            processed, fired_now = await self._process_all(batches)
            self.faults.claims_worked(processed)
            fired += fired_now
            if len(rows) < READ_TIMERS or not processed:
                return fired

    def _waits(self, tenant: str, driver: str) -> bool:
        """Return whether the timers of a driver wait: for the import of an alert, or for a check-in."""
        if self._checkins is not None and self._checkins.is_awaited(tenant, driver):
            return True
        return self._is_in_journal(tenant, driver)

    async def _process_all(self, batches: list[list[_Due]]) -> tuple[int, int]:
        """Process the batches, `TRANSACTIONS_AT_ONCE`; return the numbers of timers processed and fired."""
        tasks = [self._process_until_none(batches) for _ in range(TRANSACTIONS_AT_ONCE)]
        processed = fired = 0
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            processed, fired = processed + result[0], fired + result[1]
        return processed, fired

    async def _process_until_none(self, batches: list[list[_Due]]) -> tuple[int, int]:
        """Process batches until none waits; a timer that a batch leaves is processed alone, after them."""
        processed = fired = 0
        while batches:
            done = await self._process_or_put_off(batches.pop())
            processed, fired = processed + done.processed, fired + done.fired
            for one in done.left:
                batches.insert(0, [one])
        return processed, fired

    async def _process_or_put_off(self, batch: list[_Due]) -> _Done:
        """Process a batch. One that fails is left to be processed one by one; a single timer is put off."""
        try:
            done = await self._process(batch)
        except Refused:
            raise
        except Exception as error:
            if len(batch) > 1:
                ids = " ".join(str(due.timer_id) for due in batch)
                log.warning("timers are processed one by one: %s: %s", type(error).__name__, ids)
                return _Done(left=batch)
            log.error("timer %s cannot be fired: %s", batch[0].timer_id, type(error).__name__)
            self.faults.alert_failed(batch[0].timer_id, DeliveryStage.FIRE)
            instruments.ALERT_STORE_FAULTS.inc()
        else:
            for due in batch:
                self.faults.alert_worked(due.timer_id, DeliveryStage.FIRE)
            return done
        async with self._db.writer() as connection:
            await connection.execute(stored.SQL["put_off"], [batch[0].timer_id], PUT_OFF_MS)
        return _Done()

    async def _process(self, batch: list[_Due]) -> _Done:
        """Process those of ``batch`` that no other transaction has locked."""
        asked = [due for due in batch if due.is_silence]
        online = dict(zip(asked, await asyncio.gather(*(self._online(due) for due in asked)), strict=True))
        positions = await asyncio.gather(*(self._live_of(*due.whose) for due in batch))
        live = dict(zip((due.timer_id for due in batch), positions, strict=True))
        known = await self._circumstances([due.whose for due in batch])
        by_id = {due.timer_id: due for due in batch}
        async with self._db.writer() as connection:
            rows = await connection.fetch(stored.SQL["lock_due"], list(by_id))
            if not rows:
                return _Done()
            snapshot = _Snapshot(connection, rows[0]["now_ms"], live)
            before = [timers.settled_into(stored.timer_of(row), snapshot.now_ms) for row in rows]
            due = [timer for timer in before if timer.due_ms <= snapshot.now_ms]
            is_online = {timer.timer_id: online.get(by_id[timer.timer_id], False) for timer in due}
            found = await self._decide(snapshot, due, is_online)
            of = {timer.timer_id: known[by_id[timer.timer_id].whose] for timer in due}
            after = await (_fire_many if len(batch) > 1 else _fire_one)(snapshot, found, of)
            # The clock was set back: the others are moved with it, and not due any more.
            moved = [timer for timer in before if timer.due_ms > snapshot.now_ms]
            await stored.put(connection, [*moved, *(timer for timer in after if timer is not None)])
        left = [by_id[was.timer_id] for was, now in zip(due, after, strict=True) if now is None]
        return _Done(len(rows) - len(left), _counted(due, after, snapshot.now_ms), left)

    async def _circumstances(self, drivers: Sequence[Whose]) -> dict[Whose, Circumstances]:
        """Return what is known of each driver: by Postgres, else by the local copy.

        An alert that takes along a local copy is completed later, when Postgres can be read.
        """
        try:
            async with asyncio.timeout(CIRCUMSTANCES_S):
                return await circumstances_of(
                    self._db, drivers, lambda tenant: operator_of(self._settings, tenant)
                )
        except Exception as error:  # whatever Postgres failed with, the timers fire
            log.error("the contacts of %d timers cannot be read: %s", len(set(drivers)), type(error).__name__)
            instruments.ALERT_STORE_FAULTS.inc()
        return {one: self._from_local_copy(one) for one in drivers}

    def _from_local_copy(self, whose: Whose) -> Circumstances:
        try:
            return self._local_copy(*whose)
        except Exception as error:
            log.error("the local copy of the contacts cannot be read: %s", type(error).__name__)
            return no_contacts(*whose)

    async def _decide(
        self, snapshot: _Snapshot, due: list[Timer], online: dict[UUID, bool]
    ) -> list[Timer | _Firing]:
        """Return the next state of each timer, or that it is to fire.

        What cannot be read keeps no deadline from firing. There are three cases:

        1. Signs of life, or the uptime: a timer that fires on silence is looked at again, the others do not
           need them.
        2. The journey that a timer names: its driver may have ended it, so the timer waits for `LATE_MS`
           after its deadline. Then it fires, without that journey.
        3. Contacts, or where the driver was last seen: the alert goes without.
        """
        now_ms, until_s = snapshot.now_ms, time.monotonic() + SEARCH_S
        naming = [timer for timer in due if timer.journey_id is not None]
        journeys = dict(
            zip(
                [timer.timer_id for timer in naming],
                await snapshot.each("journeys", naming, partial(_journeys_of, snapshot.connection), until_s),
                strict=True,
            )
        )
        # A timer that names a journey of another driver is processed as one that names none.
        due = [
            replace(timer, journey_id=None) if journeys.get(timer.timer_id) == (None,) else timer
            for timer in due
        ]
        silent = [timer for timer in due if timer.kind is TimerKind.SIGNAL_LOST]
        signs = dict(
            zip(
                [timer.timer_id for timer in silent],
                await snapshot.each("signs", silent, partial(_signs_of, snapshot.connection), until_s),
                strict=True,
            )
        )
        found: list[Timer | _Firing] = []
        for timer in due:
            journey = journeys.get(timer.timer_id, (False,)) if timer.journey_id is not None else (False,)
            if journey == (True,):
                found.append(timers.ended(timer, TimerState.DONE, _SYSTEM, now_ms) or timer)
            elif timer.kind is TimerKind.SIGNAL_LOST:
                sign = None if journey is None else signs[timer.timer_id]
                found.append(await self._decide_silence(snapshot, timer, sign, online[timer.timer_id]))
            elif journey is None and now_ms < timer.due_ms + LATE_MS:
                found.append(timer)
            else:
                found.append(_Firing(timer, is_journey_known=journey is not None))
        return await self._located(snapshot, found)

    async def _located(self, snapshot: _Snapshot, found: list[Timer | _Firing]) -> list[Timer | _Firing]:
        """Add to each that is to fire where its driver was last seen."""
        firing = [one for one in found if isinstance(one, _Firing)]
        asked = [DriverQuery(one.timer.tenant, one.timer.driver, one.timer.journey_id) for one in firing]
        until_s = time.monotonic() + SEARCH_S
        seen = await self._seen(snapshot, asked, until_s)
        located = [
            replace(one, seen=theirs, live=snapshot.live.get(one.timer.timer_id))
            for one, theirs in zip(firing, seen, strict=True)
        ]
        lost = [one for one in located if one.seen.has_more and one.press(snapshot.now_ms).place is None]
        asked = [DriverQuery(one.timer.tenant, one.timer.driver, one.timer.journey_id) for one in lost]
        far = await self._seen_alone(snapshot, asked, FAR, until_s)
        known = {one.timer.timer_id: one for one in located}
        for was, seen_far in zip(lost, far, strict=True):
            if seen_far is not None:
                known[was.timer.timer_id] = replace(was, seen=seen_far)
        return [known[one.timer.timer_id] if isinstance(one, _Firing) else one for one in found]

    async def _seen(
        self, snapshot: _Snapshot, asked: Sequence[DriverQuery], until_s: float
    ) -> list[LastSeenPosition]:
        """Return where each driver was last seen, in one statement, else in one for each of them."""
        seen = await seen_within(snapshot.connection, asked, snapshot.now_ms, RECENT, RECENT_MS)
        if seen is not None:
            return seen
        alone = await self._seen_alone(snapshot, asked, RECENT, until_s)
        return [LastSeenPosition() if one is None else one for one in alone]

    async def _seen_alone(
        self, snapshot: _Snapshot, asked: Sequence[DriverQuery], depth: Depth, until_s: float
    ) -> list[LastSeenPosition | None]:
        """Return the same of each driver in a statement of its own; None where that cannot be read.

        After ``until_s`` by the monotonic clock no more are read: a timer fires without a place rather than
        not.
        """
        found: list[LastSeenPosition | None] = []
        for one in asked:
            left_ms = min(SEARCH_EACH_MS, round((until_s - time.monotonic()) * 1000))
            seen = None
            if left_ms > 0:
                seen = await seen_within(snapshot.connection, [one], snapshot.now_ms, depth, left_ms)
            found.append(None if seen is None else seen[0])
        return found

    async def _decide_silence(
        self, snapshot: _Snapshot, timer: Timer, sign: tuple[Sign | None] | None, online: bool
    ) -> Timer | _Firing:
        """Return the next state of a timer that fires on silence, or that it is to fire. ``sign``: None when
        it could not be read; nothing is known of the silence then.
        """
        if sign is None:
            return replace(timer, due_ms=snapshot.now_ms + PUT_OFF_MS)
        before, timer = timer, timers.looked(timer, sign[0], online, snapshot.now_ms)
        heard_ms = timer.heard_ms or timer.armed_ms
        uptime = await snapshot.uptime(heard_ms)
        if uptime is None:
            return replace(before, due_ms=snapshot.now_ms + PUT_OFF_MS)
        silent_ms = timers.silence_ms(heard_ms, snapshot.now_ms, uptime)
        if silent_ms < timers.allowed_ms(timer):
            return timers.look_again(timer, silent_ms, snapshot.now_ms)
        if timer.state is TimerState.ARMED and await self._is_mass(snapshot, timer):
            if timer.tenant not in snapshot.holds:
                snapshot.holds[timer.tenant] = await self._hold_ends(
                    snapshot.connection, timer.tenant, snapshot.now_ms
                )
            return timers.held(timer, snapshot.holds[timer.tenant], snapshot.now_ms)
        return _Firing(timer)

    async def _is_mass(self, snapshot: _Snapshot, timer: Timer) -> bool:
        """Return whether so many drivers fell silent with this one that the cause is probably ours."""
        by_driver, last_seen = await snapshot.last_seen(timer.tenant)
        heard_ms = timer.heard_ms or timer.armed_ms
        silent = timers.fell_silent_with(heard_ms, last_seen, snapshot.now_ms)
        active = len(last_seen)
        if (own_ms := by_driver.get(timer.driver)) is not None:
            silent -= timers.fell_silent_with(heard_ms, [own_ms], snapshot.now_ms)
            active -= 1
        settings = self._settings
        least, share = settings.mass_silence_drivers, settings.mass_silence_share
        return timers.is_mass(1 + silent, 1 + active, least, share)

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
                return await self._is_online(*due.whose)
        except Exception as error:
            log.debug("presence for timer %s is unknown: %s", due.timer_id, type(error).__name__)
            return False


def online_in(state: LiveState) -> IsOnline:
    """Return the query whether an app is connected, by the presence that instances store in Redis."""

    async def is_online(tenant: str, vendor: str, driver: str) -> bool:
        found = await state.read_one(tenant, vendor, PRESENCE, driver)
        if found is None:
            return False
        presence = msgspec.json.decode(found.item.fragment, type=dict[str, Any])
        return bool(presence.get("state") == PresenceState.ONLINE)

    return is_online


class UptimeKeeper:
    """Records that this process can store positions, while it can commit. `start` begins, `stop` ends it.

    ``process``: a name that no other process has or had.
    """

    def __init__(self, db: Database, process: str) -> None:
        self._db: Final = db
        self._process: Final = process
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Record it every `BEAT_S` seconds from now on."""
        self._task = asyncio.create_task(self._run(), name="uptime")

    async def stop(self) -> None:
        """Record it no more. Is idempotent."""
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def beat(self) -> None:
        """Record it once. Raises Refused(unavailable)."""
        await stored.beat(self._db, self._process, GAP_MS)

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except Refused:
                log.debug("positions cannot be stored now: this is no uptime")
            except Exception as error:
                log.error("uptime cannot be stored: %s", type(error).__name__)
            await asyncio.sleep(BEAT_S)


async def forget_uptime(db: Database) -> None:
    """Delete uptime in which no silence is counted any more. Raises Refused(unavailable)."""
    await stored.forget_uptime(db, UPTIME_KEPT_MS)


async def _journeys_of(connection: asyncpg.Connection, naming: Sequence[Timer]) -> list[bool | None]:
    """Return of the journey that each timer names whether its driver has ended it; None: it is another's."""
    named = [(t.tenant, t.driver, t.journey_id) for t in naming if t.journey_id is not None]
    theirs = await stored.journeys_of(connection, named)
    return [theirs.get(one) for one in named]


async def _signs_of(connection: asyncpg.Connection, silent: Sequence[Timer]) -> list[Sign | None]:
    """Return the last that is known of the driver of each timer."""
    return await stored.signs_of(connection, [(t.tenant, t.driver, t.journey_id) for t in silent])


def _due(row: asyncpg.Record) -> _Due:
    whose = Whose(row["tenant_id"], row["vendor_id"], row["driver_id"])
    return _Due(UUID(int=row["timer_id"].int), whose, row["kind"] == TimerKind.SIGNAL_LOST.value)


async def _fire_many(
    snapshot: _Snapshot, found: Sequence[Timer | _Firing], known: dict[UUID, Circumstances]
) -> list[Timer | None]:
    """Raise the alerts of the timers that fire and open one; return the next states, None for a timer that
    is to be fired alone.
    """
    firing = [one for one in found if isinstance(one, _Firing)]
    presses = [(one.press(snapshot.now_ms), known[one.timer.timer_id]) for one in firing]
    opened_alerts = iter(await transactions.open_many(snapshot.connection, presses))
    after: list[Timer | None] = []
    for one in found:
        if not isinstance(one, _Firing):
            after.append(one)
        elif (opened := next(opened_alerts)) is None:
            after.append(None)
        else:
            after.append(timers.fired(one.timer, opened.alert.alert_id, snapshot.now_ms))
    return after


async def _fire_one(
    snapshot: _Snapshot, found: Sequence[Timer | _Firing], known: dict[UUID, Circumstances]
) -> list[Timer | None]:
    """The same for one timer, which may join its driver's open alert and wait for its driver's lock."""
    after: list[Timer | None] = []
    for one in found:
        if isinstance(one, _Firing):
            press = one.press(snapshot.now_ms)
            taken = await transactions.press(snapshot.connection, press, known[one.timer.timer_id])
            after.append(timers.fired(one.timer, taken.alert.alert_id, snapshot.now_ms))
        else:
            after.append(one)
    return after


def _counted(before: Sequence[Timer], after: Sequence[Timer | None], now_ms: int) -> int:
    """Count the timers that were held back or fired; return how many fired."""
    fired = 0
    for was, now in zip(before, after, strict=True):
        if now is None:
            continue
        if now.state is TimerState.HELD and was.state is not TimerState.HELD:
            log.warning("timer %s is held back: many drivers are silent", now.timer_id)
        if now.state is TimerState.FIRED:
            fired += 1
            instruments.TIMERS_FIRED.labels(now.kind.value).inc()
            instruments.TIMER_LATE_SECONDS.observe(max(0, now_ms - was.due_ms) / 1000)
    return fired
