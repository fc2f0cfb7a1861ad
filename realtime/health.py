"""Once a second an instance looks at itself: whether it may serve, and what its gauges say."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from realtime.ingest.journey_logs import JourneyLogs
from realtime.live.service import LiveService
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.db.durability import assert_durable

LOOK_S: Final = 1.0


class Vitals:
    """``ready`` once the database was seen and is safe, and from then on.

    ``lanes``: databases of one kind of request each, whose connections are counted too.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        live: LiveService,
        journey_logs: JourneyLogs,
        lanes: Sequence[Database] = (),
    ) -> None:
        self._allow_unsafe = settings.allow_unsafe_durability
        self._db = db
        self._lanes = lanes
        self._live = live
        self._journey_logs = journey_logs
        self._task: asyncio.Task[None] | None = None
        self.ready = False

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def wait_failed(self) -> None:
        """Returns never; raises what makes this instance unfit to run (an unsafe database)."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def _look(self) -> None:
        while True:
            if not self.ready:
                await self._look_for_store()
            elif not self._db.is_up:
                await self._db.ping()
            self._set_gauges()
            self._journey_logs.forget_idle()
            await asyncio.sleep(LOOK_S)

    async def _look_for_store(self) -> None:
        with contextlib.suppress(Refused):  # it is away: look again in a moment
            await assert_durable(self._db, self._allow_unsafe)
            self.ready = True

    def _set_gauges(self) -> None:
        counts = self._live.hub.counts()
        instruments.VIEWERS_LAGGING.set(counts.behind)
        for kind in instruments.FEED_KINDS:
            instruments.FEEDS.labels(kind).set(counts.feeds.get(kind, 0))
            instruments.VIEWERS.labels(kind).set(counts.members.get(kind, 0))
        instruments.TASKS.set(len(asyncio.all_tasks()))
        instruments.POSTGRES_UP.set(self._db.is_up)
        instruments.REDIS_UP.set(self._live.presence.redis_is_up)
        instruments.REPLICA_FRESH.set(self._db.replica_is_fresh)
        for db in (self._db, *self._lanes):
            for (pool, state), count in db.connections().items():
                instruments.DB_POOL.labels(pool, state).set(count)
