"""The worker: of all that run, the one that has the lease reads Redis and Postgres and writes what changed.

It is in nobody's way: what it needs of Redis and Postgres it reads like any viewer, what it writes goes
through threads of its own, and what does not get through is made up for by what is newest later.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from alerts.delivery.breaker import Breaker
from realtime.aio import end
from realtime.bus.bus import REDIS_FAULTS
from realtime.metrics import instruments
from realtime.mirror.nodes import (
    ALERTS,
    JOURNEYS,
    LIVE,
    SECTIONS,
    alert_nodes,
    journey_nodes,
)
from realtime.mirror.plan import Chunk, MirrorPlan
from realtime.mirror.reader import LiveReader
from realtime.mirror.remote import RealtimeDatabase, RemoteAway, RemoteRefused
from realtime.protocol import Refused
from realtime.redis.client import Client
from realtime.store import mirror
from realtime.store.db import leases
from realtime.store.db.database import Database

log = logging.getLogger(__name__)

LEASE: Final = "mirror"
LEASE_S: Final = 15.0
RENEW_S: Final = 5.0
MARGIN_S: Final = 2.0
"""The lease is thought over this long before it is."""
TICK_S: Final = 1.0
SLOW_S: Final = 5.0
"""From one reading of all open journeys to the next."""
RESYNC_S: Final = 600.0
CHUNK_PATHS: Final = 1_000
CHUNK_BYTES: Final = 512 * 1024
BEAT: Final = "mirror"
"""The node that says how fresh the mirror is: ``{fence, at_ms}``."""

_AWAY: Final = (Refused, TimeoutError, *REDIS_FAULTS)


class Mirror:
    """`start` begins, `stop` ends it. ``holder``: a name no other process has.

    ``now_ms``: the wall clock, for ages; ``clock``: monotonic seconds that go on while the process is frozen.
    """

    def __init__(
        self,
        db: Database,
        client: Client,
        remote: RealtimeDatabase,
        *,
        holder: str,
        redis_timeout_s: float,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        tick_s: float = TICK_S,
        lease_s: float = LEASE_S,
        renew_s: float = RENEW_S,
        max_chunk_paths: int = CHUNK_PATHS,
    ) -> None:
        self._db = db
        self._reader = LiveReader(db, client, redis_timeout_s, now_ms, clock)
        self._remote = remote
        self._holder = holder
        self._now_ms = now_ms
        self._clock = clock
        self._tick_s = tick_s
        self._lease_s = lease_s
        self._renew_s = renew_s
        self._fence: int | None = None
        self._ours_until_s = 0.0
        self._plan = MirrorPlan()
        self._breaker = Breaker(longest_pause_s=10.0)
        self._max_chunk_paths = self._chunk_paths = max_chunk_paths
        self._seen = set[str]()
        """Sections that have been read since the lease is ours: what nobody wants of them may go."""
        self._journeys_s: float | None = None
        self._synced_s: float | None = None
        """None: what is there is not known."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_leading(self) -> bool:
        """Whether this process is the one that writes."""
        return self._fence is not None and self._clock() < self._ours_until_s

    @property
    def plan(self) -> MirrorPlan:
        """What is to be there, and what of it waits."""
        return self._plan

    def start(self) -> None:
        """Begin to ask for the lease, and to mirror while it is ours."""
        self._tasks = [
            asyncio.ensure_future(_every(self._renew_s, self._renew)),
            asyncio.ensure_future(_every(self._tick_s, self.tick)),
        ]

    async def stop(self) -> None:
        """End, and let another take over at once. Is idempotent."""
        await end(self._tasks)
        self._tasks = []
        if self._fence is not None:
            self._fence = None
            with contextlib.suppress(Refused):  # it runs out by itself
                await leases.give_back(self._db, LEASE, self._holder)
        instruments.MIRROR_LEADING.set(0)

    # --- the lease

    async def _renew(self) -> None:
        asked_s = self._clock()
        try:
            fence = await leases.take(self._db, LEASE, self._holder, self._lease_s)
        except Refused:
            # Nobody can take it while Postgres is away. Who wrote last is known by the mirror itself.
            if self._fence is not None and await self._is_newest(self._fence):
                self._ours_until_s = asked_s + self._lease_s - MARGIN_S
            return
        if fence is not None:
            self._ours_until_s = asked_s + self._lease_s - MARGIN_S
        if fence != self._fence:
            log.info("the mirror is %s", "another's" if fence is None else "ours")
            self._fence = fence
            self._plan = MirrorPlan()
            self._seen.clear()
            self._journeys_s = self._synced_s = None
        instruments.MIRROR_LEADING.set(fence is not None)

    async def _is_newest(self, fence: int) -> bool:
        try:
            there = await self._remote.get(f"{BEAT}/fence")
        except RemoteAway:
            return False
        return not isinstance(there, int) or there <= fence

    # --- one second

    async def tick(self) -> None:
        """Read what is there now, write what changed."""
        if not self.is_leading:
            return
        await self._read()
        instruments.MIRROR_WAITING.set(self._plan.waiting)
        now_s = self._clock()
        if self._remote.is_updating or not self._breaker.room(now_s, 1) or not self.is_leading:
            return
        self._breaker.began(now_s)
        try:
            await self._sync_if_due()
            if self.is_leading:
                await self._write()
        except RemoteAway as error:
            self._struck(str(error))
            return
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.well()

    async def _write(self) -> None:
        """Each update carries the beat, so that readers see how fresh the rest is.

        An update that is refused for what is in it is halved until the path that cannot be is alone.
        """
        chunk = self._plan.chunk(self._chunk_paths, CHUNK_BYTES)
        begun_s = self._clock()
        beat: Chunk = {BEAT: {"fence": self._fence, "at_ms": self._now_ms()}}
        try:
            await self._remote.update(chunk | beat)
        except RemoteRefused:
            instruments.MIRROR_UPDATES.labels("failed").inc()
            self._refused(chunk)
            return
        except BaseException:
            self._plan.lost(chunk)
            raise
        self._plan.written(chunk)
        self._chunk_paths = min(self._chunk_paths * 2, self._max_chunk_paths)
        instruments.MIRROR_UPDATES.labels("ok").inc()
        instruments.MIRROR_PATHS.inc(len(chunk))
        instruments.MIRROR_SECONDS.observe(self._clock() - begun_s)
        instruments.MIRROR_WAITING.set(self._plan.waiting)

    def _refused(self, chunk: Chunk) -> None:
        if len(chunk) > 1:
            self._chunk_paths = len(chunk) // 2
            self._plan.lost(chunk)
        else:
            log.error("the mirror's database refuses a path; it is left out until it changes")
            self._plan.written(chunk)

    def _struck(self, why: str) -> None:
        instruments.MIRROR_UPDATES.labels("failed").inc()
        now_s = self._clock()
        was_down = self._breaker.is_down(now_s)
        self._breaker.struck(now_s)
        if self._breaker.is_down(now_s):
            self._synced_s = None  # after an outage nothing is believed
            if not was_down:
                log.warning("the mirror's database is unavailable: %s", why)

    async def _sync_if_due(self) -> None:
        """After an outage, a change of hands, and now and then: see what is there, write all of it again."""
        now_s = self._clock()
        if self._synced_s is not None and now_s - self._synced_s < RESYNC_S:
            return
        self._plan.found(await paths_of(self._remote, sorted(self._seen)))
        self._synced_s = now_s
        log.info("the mirror is written anew: %r", self._plan)

    # --- reading

    async def _read(self) -> None:
        """An engine that is away changes nothing: its silence is not everybody's absence."""
        reads = {ALERTS: self._read_alerts, JOURNEYS: self._read_journeys, LIVE: self._read_live}
        for section, read in reads.items():
            try:
                await read()
            except _AWAY as error:
                log.debug("%s: %s", section, type(error).__name__)
                continue
            if section not in self._seen:
                self._seen.add(section)
                self._synced_s = None

    async def _read_alerts(self) -> None:
        self._plan.want(ALERTS, alert_nodes(await mirror.open_alerts(self._db)))

    async def _read_journeys(self) -> None:
        now_s = self._clock()
        if self._journeys_s is not None and now_s - self._journeys_s < SLOW_S:
            return
        self._plan.want(JOURNEYS, journey_nodes(await mirror.open_journeys(self._db)))
        self._journeys_s = now_s

    async def _read_live(self) -> None:
        async for group, nodes in self._reader.read():
            self._plan.want(group, nodes)


async def paths_of(remote: RealtimeDatabase, sections: Iterable[str] = SECTIONS) -> list[str]:
    """Every path of a driver, journey or alert that is in the database. Raises RemoteAway."""
    paths = []
    for section in sections:
        for tenant in await remote.keys(section):
            for vendor in await remote.keys(f"{section}/{tenant}"):
                branch = f"{section}/{tenant}/{vendor}"
                paths += [f"{branch}/{leaf}" for leaf in await remote.keys(branch)]
    return paths


async def _every(pause_s: float, job: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await job()
        except Exception:
            log.exception("the mirror stumbled")
        await asyncio.sleep(pause_s)
