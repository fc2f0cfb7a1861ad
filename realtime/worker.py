"""One worker: partitions, expired journeys, presence of lost instances. Any number may run; each job is safe
to be done by several, and those that are not take a lock.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Final

import asyncpg
from aiohttp import web

from realtime import metrics
from realtime.api.routes import add_about
from realtime.fanout.bus import REDIS_FAULTS, RedisBus
from realtime.fanout.endings import end
from realtime.fanout.redisurl import Client
from realtime.instance import redis_client, wall_clock_ms
from realtime.live.channels import EXPIRED
from realtime.live.publisher import LivePublisher
from realtime.live.state import LiveState
from realtime.live.sweeper import PresenceSweeper
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store import journeys, upkeep
from realtime.store.database import Database

log = logging.getLogger(__name__)

UPKEEP_S: Final = 600.0
EXPIRE_S: Final = 30.0
SWEEP_S: Final = 2.0
RETRY_S: Final = 5.0
_AWAY: Final = (Refused, asyncpg.PostgresError, *REDIS_FAULTS)


class Worker:
    """A worker. `open` makes and starts it; serve ``app``."""

    def __init__(self, settings: Settings, db: Database, client: Client) -> None:
        self._settings = settings
        self._db = db
        self._client = client
        self._state = LiveState(client, settings.redis_timeout_s)
        self._bus = RedisBus(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
        self._publisher = LivePublisher(None, self._bus, self._state, wall_clock_ms)
        self._sweeper = PresenceSweeper(client, self._state, self._bus, wall_clock_ms)
        self._tasks: list[asyncio.Task[None]] = []
        self.app = web.Application()
        add_about(self.app, self.health)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Worker"]:
        """A started worker, stopped when the block ends."""
        db = await Database.open(settings)
        client = redis_client(settings)
        worker = cls(settings, db, client)
        worker._start()
        try:
            yield worker
        finally:
            await worker._stop()

    def health(self) -> Mapping[str, bool]:
        """A worker is ready while its jobs run."""
        return {"working": bool(self._tasks) and not any(task.done() for task in self._tasks)}

    def _start(self) -> None:
        self._publisher.start()
        jobs = ((UPKEEP_S, self._upkeep), (EXPIRE_S, self._expire), (SWEEP_S, self._sweep))
        self._tasks = [asyncio.ensure_future(_every(pause_s, job)) for pause_s, job in jobs]

    async def _stop(self) -> None:
        await end(self._tasks)
        for close in (self._publisher.stop, self._bus.stop, self._client.aclose, self._db.close):
            with contextlib.suppress(Exception):
                await close()

    # --- jobs

    async def _upkeep(self) -> None:
        await upkeep.run_once(self._settings, wall_clock_ms())
        missing = await upkeep.missing_partitions(self._db, wall_clock_ms())
        metrics.PARTITIONS_MISSING.set(len(missing))
        if missing:
            log.error("%d partitions are missing, the first for %s", len(missing), missing[0])

    async def _expire(self) -> None:
        now_ms = wall_clock_ms()
        closed = await journeys.expire(self._db, now_ms - self._settings.journey_max_h * 3_600_000)
        for head in closed:
            self._publisher.journey(head.tenant, head.vendor, head.driver, head.journey_id, EXPIRED, now_ms)
        if closed:
            log.info("closed %d journeys for their age", len(closed))

    async def _sweep(self) -> None:
        metrics.TASKS.set(len(asyncio.all_tasks()))
        await self._sweeper.sweep()


async def _every(pause_s: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        wait_s = pause_s
        try:
            await job()
        except _AWAY as error:
            log.warning("%s waits: %s", job.__name__.strip("_"), type(error).__name__)
            wait_s = min(pause_s, RETRY_S)
        except Exception:
            log.exception("%s failed", job.__name__.strip("_"))
        await asyncio.sleep(wait_s)
