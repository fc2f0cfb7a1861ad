"""Workers that fire timers on the database of a test, with its clock in hand."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

from alerts.alert import Actor, ActorKind, Alert
from alerts.timers import Spec, TimerKind, TimerState
from geo.position import Point
from realtime.settings import Settings
from realtime.store.alerts import reads, timers
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.people import tenants
from realtime.timers.scheduler import TimerScheduler, UptimeKeeper
from tests.store.clock import DatabaseClock
from tests.store.conftest import put

MINUTE = 60_000
DRIVER = Actor(ActorKind.DRIVER, "d1")
OPERATOR = Actor(ActorKind.OPERATOR, "olga")


class World(DatabaseClock):
    """Workers on the test's database, with its clock in hand."""

    def __init__(self, url: str, db: Database, settings: Settings, stack: AsyncExitStack) -> None:
        super().__init__(url)
        self.db = db
        self.settings = settings
        self.online: set[str] = set()
        self.worker = TimerScheduler(db, settings, self.is_online)
        self.uptime = UptimeKeeper(db, "w1")
        self._stack = stack

    async def is_online(self, tenant: str, vendor: str, driver: str) -> bool:
        return driver in self.online

    async def another(self) -> TimerScheduler:
        """A worker of another process."""
        db = await Database.open(self.settings)
        self._stack.push_async_callback(db.close)
        return TimerScheduler(db, self.settings, self.is_online)

    async def arm(self, kind: TimerKind, driver: str = "d1", **spec: object) -> timers.Timer:
        asked = Spec(kind, uuid4(), **spec)  # type: ignore[arg-type]
        return await timers.arm(self.db, "t1", "north", driver, asked, Actor(ActorKind.DRIVER, driver))

    async def open_for(self, minutes: int) -> None:
        """Time passes, and ingest is open all the while."""
        async with self.db.writer() as connection:
            await connection.execute("DELETE FROM ingest_uptime")
            await connection.execute(
                "INSERT INTO ingest_uptime VALUES ('w1', now_ms() - $1, now_ms() + $1)", 600 * MINUTE
            )
        await self.later(minutes * MINUTE)

    async def begin(self, driver: str = "d1") -> UUID:
        """A journey with one point, received now."""
        now_ms = await self.now_ms()
        await tenants.connect_driver(self.db, "t1", "north", driver)
        head = await journeys.start(self.db, "t1", "north", driver, uuid4(), now_ms, None, None, None, now_ms)
        await put(self.db, "t1", head.journey_id, [Point(1, now_ms, 53.4, -2.9)], now_ms)
        return head.journey_id

    async def alerts(self) -> list[Alert]:
        return await reads.list_(self.db, "t1", limit=100)

    async def state(self, timer: timers.Timer) -> TimerState:
        listed = (await timers.page(self.db, "t1", live=False)).timers
        return next(t.state for t in listed if t.timer_id == timer.timer_id)


@contextlib.asynccontextmanager
async def timer_world(url: str) -> AsyncIterator[World]:
    """A `World` on the database at ``url``; four silent drivers, at least half of them, are a mass."""
    settings = Settings(database_url=url, db_timeout_s=10, mass_silence_drivers=4, mass_silence_share=0.5)
    async with AsyncExitStack() as stack:
        db = await Database.open(settings)
        stack.push_async_callback(db.close)
        yield World(url, db, settings, stack)
