"""One web instance: every part made, wired, started in order and stopped in the opposite one."""

import contextlib
import functools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from realtime.admission.authenticate import POLL_S, Admission
from realtime.admission.guests import GUEST_LIMITS, GuestLimits, GuestLinks
from realtime.alerting import publisher as announcer
from realtime.alerting import scope_changes
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.standby import Disk
from realtime.answers.desk import AnswerDesk
from realtime.answers.routes import add_answers
from realtime.api.alerts.sos import DESK, SosDesk
from realtime.api.framework.context import ApiContext
from realtime.api.framework.ports import Condition
from realtime.api.routes import add_api, require_https
from realtime.auth.tokens import Authenticator
from realtime.clock import wall_clock_ms
from realtime.health import Vitals
from realtime.hooks.desk import CallbackService
from realtime.hooks.routes import add_hooks
from realtime.ingest.committer import Committer
from realtime.ingest.journey_logs import JourneyLogs
from realtime.ingest.pipeline import PositionService
from realtime.live.limiter import RedisLimiter
from realtime.live.service import LiveService
from realtime.pages.routes import add_pages
from realtime.press_priority import PressPriority
from realtime.processes.people import People
from realtime.processes.web_alerting import WebAlerting
from realtime.redis.client import Client, client
from realtime.sessions.book import SessionStore
from realtime.sessions.pairings import Pairings
from realtime.settings import Settings
from realtime.sockets import watch
from realtime.sockets.alerts import AlertWatch
from realtime.sockets.driver import DriverEvents
from realtime.sockets.gateway import Gateway
from realtime.sockets.sos import SosEvents
from realtime.sockets.timings import SOCKET_TIMINGS, SocketTimings
from realtime.sockets.watch import WatchEvents
from realtime.store.db.database import Database
from realtime.store.db.pools import GUESTS, PRESSES
from realtime.store.db.schema import POLL_S as SCHEMA_POLL_S
from realtime.store.journeys import commit, shares
from realtime.timers.checkins import CheckIns

REDIS_CONNECTIONS: Final = 64
ALERTS_POOL: Final = 3


def schema_check(db: Database) -> bool | str:
    """What ``/readyz`` says of the schema: the finding when it does not fit. Unknown counts as fine."""
    finding = db.schema
    return True if finding is None or finding.fits else f"{finding}: {finding.advice}"


async def open_presses(settings: Settings, db: Database) -> Database:
    """The connections for storing an SOS, one of them made already: no press is to wait for that."""
    press_db = await Database.open(settings, lane=PRESSES, gate_of=db)
    if db.is_up:
        await press_db.ping()
    return press_db


def redis_client(settings: Settings) -> Client:
    """A client for everything but pub/sub: bounded waits, no hidden retries.

    Raises ValueError when REDIS_URL has an option that the client refuses.
    """
    try:
        return client(
            settings.redis_url.get_secret_value(),
            timeout_s=settings.redis_timeout_s,
            max_connections=REDIS_CONNECTIONS,
        )
    except ValueError:  # its text may quote a part of the URL
        raise ValueError("REDIS_URL cannot be used: the client refuses its options") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTimings:
    """How often an instance checks what no message tells, and what callers that are not known may cost."""

    revocations_poll_s: float = POLL_S
    schema_poll_s: float = SCHEMA_POLL_S
    sockets: SocketTimings = SOCKET_TIMINGS
    guests: GuestLimits = GUEST_LIMITS


class Instance:
    """A web instance. `open` makes it; serve ``app``; ``drain`` and ``close`` end it."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        alerts_db: Database,
        guests_db: Database,
        press_db: Database,
        client: Client,
        disk: Disk,
        timings: InstanceTimings,
    ) -> None:
        self.settings = settings
        self._timings = timings
        self.db = db
        self._alerts_db = alerts_db
        self._press_db = press_db
        self.guests_db = guests_db
        self.guest_links = GuestLinks(guests_db, shares.signing_key(settings.alerts_key), timings.guests)
        self.client = client
        self.sessions = SessionStore(
            client, settings.redis_timeout_s, max_s=settings.session_max_h * 3_600, now_ms=wall_clock_ms
        )
        self.admission = Admission(
            db,
            Authenticator(settings),
            settings.sos_expired_days,
            sessions=self.sessions,
            poll_s=timings.revocations_poll_s,
            links=self.guest_links,
        )
        self.limiter = RedisLimiter(client, settings.redis_timeout_s)
        self.gateway = Gateway(settings, db, self.admission, self.limiter, wall_clock_ms, timings.sockets)
        self.live = LiveService(
            settings,
            db,
            client,
            namespace=watch.NAMESPACE,
            on_stalled=self.gateway.stalled,
            now_ms=wall_clock_ms,
        )
        priority = PressPriority()
        self.committer = Committer(
            functools.partial(commit.store, db, timeout_s=settings.commit_timeout_s),
            window_s=settings.commit_window_ms / 1000,
            max_points=settings.commit_max_points,
            queue_points=settings.commit_queue_points,
            priority=priority,
        )
        self.journey_logs = JourneyLogs(db)
        self.positions = PositionService(
            self.journey_logs,
            self.committer,
            self.live.publisher,
            journey_max_ms=settings.journey_max_h * 3_600_000,
            now_ms=wall_clock_ms,
        )
        self._last_seen = LastSeen(self.live.state, self.live.publisher.latest_of, wall_clock_ms)
        self.alerts = WebAlerting(
            settings,
            db,
            alerts_db,
            client,
            disk,
            self.live.bus,
            wall_clock_ms,
            press_db,
            self._last_seen,
            priority,
        )
        self.live.hub.wire(announcer.CHANNEL, self.alerts.news.on_items)
        scopes = self.alerts.scopes
        self.live.hub.wire(scope_changes.CHANNEL, scopes.on_items, scopes.on_doubt)
        self.people = People(
            settings, db, client, self.alerts.ways_out, wall_clock_ms, places=(self.alerts.standby.place,)
        )
        self._vitals = Vitals(settings, db, self.live, self.journey_logs, lanes=(guests_db, press_db))
        self.app = self._make_app()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, settings: Settings, timings: InstanceTimings = InstanceTimings()
    ) -> AsyncIterator["Instance"]:
        """A started instance; closed, without draining, when the block ends.

        ``timings``: how often it checks for expired and revoked credentials and for new vendors.
        """
        db = await Database.open(settings, checks_schema=True, schema_poll_s=timings.schema_poll_s)
        alerts_db = await Database.open(settings.model_copy(update={"db_pool_size": ALERTS_POOL}), gate_of=db)
        guests_db = await Database.open(settings, lane=GUESTS, gate_of=db)
        press_db = await open_presses(settings, db)
        client = redis_client(settings)
        disk = await Disk.open(settings, "web", alerts_db, wall_clock_ms)
        instance = cls(settings, db, alerts_db, guests_db, press_db, client, disk, timings)
        try:
            await instance._start()
            yield instance
        finally:
            await instance._close()

    def _make_app(self) -> web.Application:
        app = web.Application()
        engine, live = self.alerts, self.live
        sos = SosEvents(engine.intake, engine.news, engine.told, wall_clock_ms)
        driver_events = DriverEvents(
            self.db,
            self.journey_logs,
            self.positions,
            live.publisher,
            live.presence,
            self.limiter,
            wall_clock_ms,
            sos,
            self.settings.safety_url.rstrip("/"),
        )
        alerts = AlertWatch(live.hub, engine.news, engine.answering, self.gateway.principal_of, engine.told)
        self._watch_events = watch_events = WatchEvents(
            self.db,
            live.hub,
            self.limiter,
            self.settings.max_feeds_per_viewer,
            wall_clock_ms,
            alerts,
            links=self.guest_links,
            timings=self._timings.sockets,
        )
        self.gateway.attach(app, driver_events, watch_events)
        context = ApiContext(
            settings=self.settings,
            db=self.db,
            authenticator=self.admission,
            latest=live.origin,
            positions=self.positions,
            health=self.health,
            limiter=self.limiter,
            alerts=engine.intake,
            sessions=self.sessions,
            pairings=Pairings(self.client, self.settings.redis_timeout_s),
            codes=self.people.codes,
            eraser=self.people.eraser,
            checkins=CheckIns(self.client),
            now_ms=wall_clock_ms,
        )
        app[DESK] = SosDesk(self.admission, engine.intake, wall_clock_ms)
        add_api(app, context)
        require_https(app, self.settings.public_url)
        add_pages(app, self.settings)
        answers = AnswerDesk(
            self.settings.alerts_key, engine.intake, wall_clock_ms, self._last_seen, engine.told.phone
        )
        self.gateway.door.open_answer = answers.principal
        self.gateway.links.news = engine.news
        add_answers(app, answers, self.settings)
        hooks = CallbackService(engine.intake, engine.standby.intake, engine.standby.book, wall_clock_ms)
        add_hooks(app, hooks, self.settings)
        return app

    def health(self) -> Condition:
        """Ready once the store was seen with a schema that fits, until the drain. An engine that becomes
        unavailable later does not take the instance out: live viewing goes on without Postgres, acknowledging
        without Redis.
        """
        checks = {
            "started": self._vitals.ready,
            "schema": schema_check(self.db),
            "serving": not self.gateway.draining,
        }
        return Condition(checks, self.alerts.standby.store_faults.warnings())

    async def _start(self) -> None:
        self.admission.start()
        self.live.start()
        self.committer.start()
        self.alerts.start()
        self.gateway.start()
        self._watch_events.start()
        self._vitals.start()

    async def wait_failed(self) -> None:
        """Returns never; raises what makes this instance unfit to run (an unsafe database)."""
        await self._vitals.wait_failed()

    async def drain(self) -> None:
        """Stop being ready, move the clients away, commit what was taken."""
        await self.alerts.uptime.stop()
        await self.gateway.drain()
        await self.alerts.standby.stop_delivering()
        await self.committer.stop(self.settings.commit_timeout_s)
        await self.gateway.stop()

    async def _close(self) -> None:
        await self._vitals.stop()
        if not self.gateway.draining:
            await self.committer.stop(0.0)
            await self.gateway.stop()
        closers: list[Any] = [
            self._watch_events.stop,
            self.alerts.stop,
            self.live.stop,
            self.admission.stop,
            self.people.close,
            self.client.aclose,
            self.guests_db.close,
            self._press_db.close,
            self._alerts_db.close,
            self.db.close,
        ]
        for close in closers:
            with contextlib.suppress(Exception):
                await close()
