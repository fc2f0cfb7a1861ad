"""One web instance: every part made, wired, started in order and stopped in the opposite one."""

import asyncio
import contextlib
import functools
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from aiohttp import web

from alerts.delivery.ways import ways_of
from realtime import metrics
from realtime.admission import Admission
from realtime.answers.desk import AnswerDesk
from realtime.answers.routes import add_answers
from realtime.api.context import ApiContext
from realtime.api.routes import add_api
from realtime.api.sos import DESK, SosDesk
from realtime.auth import Authenticator
from realtime.committer import Committer
from realtime.fanout.bus import RedisBus
from realtime.fanout.hub import Hub
from realtime.fanout.redisurl import Client, client
from realtime.hooks.desk import HookDesk
from realtime.hooks.routes import add_hooks
from realtime.live.keeper import PresenceKeeper
from realtime.live.limiter import RedisLimiter
from realtime.live.origin import LiveOrigin
from realtime.live.publisher import LivePublisher
from realtime.live.space import LiveSpace
from realtime.live.state import LiveState
from realtime.pages.routes import add_pages
from realtime.positions import PositionService
from realtime.protocol import Refused
from realtime.safety import announcer
from realtime.safety.announcer import Announcer
from realtime.safety.answering import Answering
from realtime.safety.auditor import Pulse
from realtime.safety.news import AlertNews
from realtime.safety.notifiers import WaysOut
from realtime.safety.people import People
from realtime.safety.ports import Intake
from realtime.safety.standby import Disk, Standby
from realtime.safety.timers import UptimeKeeper
from realtime.safety.told import Told
from realtime.safety.work import boot_clock
from realtime.sessions.book import SessionBook
from realtime.sessions.pairings import Pairings
from realtime.settings import Settings
from realtime.sockets import watch
from realtime.sockets.alerts import AlertWatch
from realtime.sockets.driver import DriverEvents
from realtime.sockets.gateway import Gateway
from realtime.sockets.sos import SosEvents
from realtime.sockets.watch import WatchEvents
from realtime.store import commit, devices
from realtime.store.alert_reads import ChangedAlerts
from realtime.store.alerts import PostgresLedger
from realtime.store.audit import WEB, BeatDetail
from realtime.store.database import Database
from realtime.store.durability import assert_durable

log = logging.getLogger(__name__)

GAUGES_S: Final = 1.0
REDIS_CONNECTIONS: Final = 64
ALERTS_POOL: Final = 3


def wall_clock_ms() -> int:
    """Milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def redis_client(settings: Settings) -> Client:
    """A client for everything but pub/sub: bounded waits, no hidden retries."""
    return client(
        settings.redis_url.get_secret_value(),
        timeout_s=settings.redis_timeout_s,
        max_connections=REDIS_CONNECTIONS,
    )


class FanoutMetrics:
    """Counts what the fan-out reports."""

    def refilled(self, reason: str) -> None:
        """A feed was read again from the truth."""
        metrics.REFILLS.labels(reason).inc()

    def dropped(self, reason: str) -> None:
        """A message of the bus was not taken."""
        metrics.BUS_DROPPED.labels(reason).inc()

    def received(self, kind: str, items: int) -> None:
        """A message of the bus was taken."""
        metrics.BUS_MESSAGES.labels("in").inc()

    def stalled(self) -> None:
        """A viewer was cut off."""
        metrics.VIEWERS_STALLED.inc()

    def delivered(self, kind: str, age_ms: int) -> None:
        """A feed was written; its oldest fix had arrived ``age_ms`` ago."""
        metrics.FIX_TO_VIEWER.labels(kind).observe(max(0, age_ms) / 1000)


class Instance:
    """A web instance. `open` makes it; serve ``app``; ``drain`` and ``close`` end it."""

    def __init__(
        self, settings: Settings, db: Database, alerts_db: Database, client: Client, disk: Disk
    ) -> None:
        self.settings = settings
        self.db = db
        self._alerts_db = alerts_db  # an SOS never waits for a connection behind positions
        self.client = client
        self.ready = False
        self.sessions = SessionBook(
            client, settings.redis_timeout_s, max_s=settings.session_max_h * 3_600, now_ms=wall_clock_ms
        )
        self.admission = Admission(
            db, Authenticator(settings), settings.sos_expired_days, sessions=self.sessions
        )
        self.state = LiveState(client, settings.redis_timeout_s)
        self.bus = RedisBus(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
        self.origin = LiveOrigin(db, self.state, lambda channel: self.publisher.unsent(channel))
        self.limiter = RedisLimiter(client, settings.redis_timeout_s)
        self.gateway = Gateway(settings, db, self.admission, self.limiter, wall_clock_ms)
        self.hub = Hub(
            self.bus,
            self.origin,
            FanoutMetrics(),
            namespace=watch.NAMESPACE,
            tick_s=settings.fanout_tick_ms / 1000,
            buffer_limit_bytes=settings.viewer_buffer_bytes,
            stall_s=settings.viewer_stall_s,
            on_stalled=self.gateway.stalled,
            space=LiveSpace(),
            on_late=metrics.TICK_LATE.observe,
            now_ms=wall_clock_ms,
        )
        self.publisher = LivePublisher(self.hub, self.bus, self.state, wall_clock_ms)
        self.presence = PresenceKeeper(
            self.publisher,
            client,
            instance=self.bus.publisher,
            stale_after_s=settings.stale_after_s,
            timeout_s=settings.redis_timeout_s,
            now_ms=wall_clock_ms,
        )
        self.committer = Committer(
            functools.partial(commit.store, db, timeout_s=settings.commit_timeout_s),
            window_s=settings.commit_window_ms / 1000,
            max_points=settings.commit_max_points,
            queue_points=settings.commit_queue_points,
        )
        self.positions = PositionService(
            db,
            self.committer,
            self.publisher,
            journey_max_ms=settings.journey_max_h * 3_600_000,
            now_ms=wall_clock_ms,
        )
        process = f"{settings.instance_name}-{os.getpid()}-{secrets.token_hex(4)}"
        self.uptime = UptimeKeeper(db, process)
        self.news = AlertNews(ChangedAlerts(alerts_db))
        self.announcer = Announcer(self.bus, wall_clock_ms, self.news.heard)
        self.hub.wire(announcer.CHANNEL, self.news.on_items)
        self.ways_out = WaysOut(settings, self.announcer.announce, self._prune, wall_clock_ms)
        self.standby = Standby(
            settings,
            disk,
            alerts_db,
            PostgresLedger(alerts_db),
            self.announcer,
            self.news,
            ways_of(self.ways_out.by_channel),
            client,
            by=process,
            clock=boot_clock,
            now_ms=wall_clock_ms,
        )
        self.intake: Intake = self.standby.intake
        self._pulse = Pulse(
            alerts_db, f"web-{settings.instance_name}", WEB, lambda: BeatDetail(self.standby.importer.beat())
        )
        self.people = People(settings, db, client, self.ways_out, wall_clock_ms, places=(self.standby.place,))
        self.app = self._make_app()
        self._gauges: asyncio.Task[None] | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Instance"]:
        """A started instance; closed, without draining, when the block ends."""
        db = await Database.open(settings)
        alerts_db = await Database.open(settings.model_copy(update={"db_pool_size": ALERTS_POOL}))
        client = redis_client(settings)
        disk = await Disk.open(settings, "web", alerts_db, wall_clock_ms)
        instance = cls(settings, db, alerts_db, client, disk)
        try:
            await instance._start()
            yield instance
        finally:
            await instance._close()

    def _make_app(self) -> web.Application:
        app = web.Application()
        told = Told(self._alerts_db, self.standby.cases)
        sos = SosEvents(self.intake, self.news, told, wall_clock_ms)
        driver_events = DriverEvents(
            self.db, self.positions, self.publisher, self.presence, self.limiter, wall_clock_ms, sos
        )
        self.answering = Answering(self.intake, wall_clock_ms)
        alerts = AlertWatch(self.hub, self.news, self.answering, self.gateway.principal_of, told)
        self._watch_events = watch_events = WatchEvents(
            self.db, self.hub, self.limiter, self.settings.max_feeds_per_viewer, wall_clock_ms, alerts
        )
        self.gateway.attach(app, driver_events, watch_events)
        context = ApiContext(
            settings=self.settings,
            db=self.db,
            authenticator=self.admission,
            latest=self.origin,
            positions=self.positions,
            health=self.health,
            limiter=self.limiter,
            alerts=self.intake,
            sessions=self.sessions,
            pairings=Pairings(self.client, self.settings.redis_timeout_s),
            codes=self.people.codes,
            eraser=self.people.eraser,
            now_ms=wall_clock_ms,
        )
        app[DESK] = SosDesk(self.admission, self.intake, wall_clock_ms)
        add_api(app, context)
        add_pages(app, self.settings)
        answers = AnswerDesk(self.settings.alerts_key, self.intake, wall_clock_ms)
        self.gateway.door.open_answer = answers.principal
        self.gateway.links.news = self.news
        add_answers(app, answers)
        add_hooks(app, HookDesk(self.intake, self.standby.intake, self.standby.book), self.settings)
        return app

    async def _prune(self, tenant: str, token: str) -> None:
        await devices.prune(self.db, token)

    def health(self) -> Mapping[str, bool]:
        """Ready once the store was seen, until the drain. An engine that goes away later does not take the
        instance out: live viewing goes on without Postgres, acknowledging without Redis.
        """
        return {"started": self.ready, "serving": not self.gateway.draining}

    async def _start(self) -> None:
        self.admission.start()
        self.hub.start()
        self.news.start()
        self.publisher.start()
        self.presence.start()
        self.committer.start()
        self.uptime.start()
        self.standby.start()
        self._pulse.start()
        self.gateway.start()
        self._watch_events.start()
        self._gauges = asyncio.ensure_future(self._watch_engines())

    async def _watch_engines(self) -> None:
        """Become ready when the database was seen and is safe; keep the gauges."""
        while True:
            if not self.ready:
                await self._look_for_store()
            elif not self.db.is_up:
                await self.db.ping()
            self._set_gauges()
            self.positions.forget_idle()
            await asyncio.sleep(GAUGES_S)

    def _set_gauges(self) -> None:
        counts = self.hub.counts()
        metrics.VIEWERS_LAGGING.set(counts.behind)
        for kind in metrics.FEED_KINDS:
            metrics.FEEDS.labels(kind).set(counts.feeds.get(kind, 0))
            metrics.VIEWERS.labels(kind).set(counts.members.get(kind, 0))
        metrics.TASKS.set(len(asyncio.all_tasks()))
        metrics.POSTGRES_UP.set(self.db.is_up)
        metrics.REDIS_UP.set(self.presence.redis_is_up)
        metrics.REPLICA_FRESH.set(self.db.replica_is_fresh)
        for (pool, state), count in self.db.connections().items():
            metrics.DB_POOL.labels(pool, state).set(count)

    async def _look_for_store(self) -> None:
        with contextlib.suppress(Refused):  # it is away: look again in a moment
            await assert_durable(self.db, self.settings.allow_unsafe_durability)
            self.ready = True

    async def wait_failed(self) -> None:
        """Returns never; raises what makes this instance unfit to run (an unsafe database)."""
        assert self._gauges is not None
        await asyncio.shield(self._gauges)

    async def drain(self) -> None:
        """Stop being ready, move the clients away, commit what was taken."""
        await self.uptime.stop()
        await self.gateway.drain()
        await self.standby.stop_delivering()
        await self.committer.stop(self.settings.commit_timeout_s)
        await self.gateway.stop()

    async def _close(self) -> None:
        if self._gauges is not None:
            self._gauges.cancel()
            await asyncio.gather(self._gauges, return_exceptions=True)
        if not self.gateway.draining:
            await self.committer.stop(0.0)
            await self.gateway.stop()
        closers: list[Any] = [
            self.uptime.stop,
            self._watch_events.stop,
            self._pulse.stop,
            self.standby.close,
            self.news.stop,
            self.ways_out.close,
            self.announcer.stop,
            self.presence.stop,
            self.publisher.stop,
            self.hub.stop,
            self.admission.stop,
            self.people.close,
            self.client.aclose,
            self._alerts_db.close,
            self.db.close,
        ]
        for close in closers:
            with contextlib.suppress(Exception):
                await close()
