"""One worker: alerts delivered, SOS taken by HTTP, safety timers, the mirror; partitions, expired journeys,
presence of lost instances. Any number may run; each job is safe to be done by several, and those that are not
take a lock.
"""

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Sequence
from typing import Final

import asyncpg
from aiohttp import web

from alerts.alert import Alert
from alerts.ports import StorageFailure
from realtime.admission.authenticate import Admission
from realtime.aio import end
from realtime.alerting import publisher as announcer
from realtime.alerting import scope_changes
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.publisher import AlertPublisher
from realtime.alerting.receipts import DeliveryReceipts
from realtime.alerting.scope_changes import ScopeChangePublisher
from realtime.alerting.standby import Disk, Standby
from realtime.alerting.subscriber import AlertSubscriber
from realtime.answers.desk import AnswerDesk
from realtime.answers.routes import add_answers
from realtime.api.alerts.sos import SosDesk
from realtime.api.framework.ports import Condition
from realtime.api.routes import add_worker_api, require_https
from realtime.auth.tokens import Authenticator
from realtime.bus.bus import REDIS_FAULTS, BusItem, RedisBus
from realtime.clock import wall_clock_ms
from realtime.hooks.desk import CallbackService
from realtime.hooks.routes import add_hooks
from realtime.live.presence_sweeper import PresenceSweeper
from realtime.live.publisher import LivePublisher
from realtime.live.redis_state import LiveState
from realtime.live.successor import show_successor
from realtime.live.topics import EXPIRED
from realtime.metrics import instruments
from realtime.mirror.mirror import Mirror
from realtime.mirror.remote import open_remote
from realtime.monitoring.monitor import AUDIT_S
from realtime.processes.web import open_presses, redis_client, schema_check
from realtime.processes.worker_alerting import PeriodicJob, WorkerAlerting, boot_clock
from realtime.protocol import Refused
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.alerts.delivery_faults import DeliveryFaults
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.reads import ChangedAlerts
from realtime.store.db.database import Database
from realtime.store.db.schema import POLL_S as SCHEMA_POLL_S
from realtime.store.journeys import journeys, upkeep
from realtime.timers import deadlines
from realtime.timers.checkins import CheckIns
from realtime.timers.deadlines import Deadlines
from realtime.timers.scheduler import online_in

log = logging.getLogger(__name__)

UPKEEP_S: Final = 600.0
EXPIRE_S: Final = 30.0
SWEEP_S: Final = 2.0
RETRY_S: Final = 5.0
DRAIN_S: Final = 1.0
"""What the balancer takes to see that a worker is not ready: two checks (deploy/haproxy.cfg)."""
_AWAY: Final = (Refused, StorageFailure, asyncpg.PostgresError, *REDIS_FAULTS)


class Worker:
    """A worker. `open` makes and starts it; serve ``app``; `drain` before the end."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        client: Client,
        disk: Disk,
        *,
        press_db: Database | None = None,
        audit_every_s: float = AUDIT_S,
        delivery_faults: DeliveryFaults | None = None,
    ) -> None:
        self._settings = settings
        self._disk = disk
        self._db = db
        self._press_db = press_db
        self._client = client
        self._state = LiveState(client, settings.redis_timeout_s)
        self._bus = RedisBus(settings.redis_url.get_secret_value(), timeout_s=settings.redis_timeout_s)
        self._publisher = LivePublisher(None, self._bus, self._state, wall_clock_ms)
        self._sweeper = PresenceSweeper(client, self._state, self._bus, wall_clock_ms)
        self._admission = Admission(db, Authenticator(settings))
        self._news = OpenAlerts(ChangedAlerts(db))
        self._announcer = AlertPublisher(self._bus, wall_clock_ms, self._heard)
        self._scopes = ScopeChangePublisher(self._bus, wall_clock_ms, disk.directory.changed)
        db.changes.listen(self._scopes.changed)
        ledger = PostgresLedger(db, faults=delivery_faults, circumstances_of=disk.directory.read)
        last_seen = LastSeen(self._state, self._publisher.latest_of, wall_clock_ms)
        self._work = WorkerAlerting(
            settings,
            db,
            ledger,
            self._announcer.announce,
            wall_clock_ms,
            is_online=online_in(self._state),
            keep=lambda tried: self._standby.outcomes.keep(tried),
            detail=lambda: self._standby.beat(),
            is_in_journal=lambda tenant, driver: self._standby.has_press(tenant, driver),
            audit_every_s=audit_every_s,
            live_of=last_seen.of_redis,
            checkins=CheckIns(client),
            local_copy=disk.directory.of,
        )
        self._standby = Standby(
            settings,
            disk,
            db,
            ledger,
            self._announcer,
            self._news,
            self._work.ways,
            client,
            by=self._work.process,
            clock=boot_clock,
            now_ms=wall_clock_ms,
            last_seen=last_seen,
            delivers=True,
            press_db=press_db,
        )
        intake = self._standby.intake
        self._deadlines = Deadlines(
            self._standby.reach,
            db,
            intake,
            self._work.timer_faults,
            boot_clock,
            checkins=CheckIns(client),
        )
        self._remote = open_remote(settings)
        self._mirror = None
        if self._remote is not None:
            self._mirror = Mirror(
                db,
                client,
                self._remote,
                holder=self._work.process,
                redis_timeout_s=settings.redis_timeout_s,
                now_ms=wall_clock_ms,
            )
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribing: asyncio.Future[list[bool]]
        self._draining = False
        self.app = web.Application()
        add_worker_api(self.app, SosDesk(self._admission, intake, wall_clock_ms), self.health)
        require_https(self.app, settings.public_url)
        answers = AnswerDesk(
            settings.alerts_key, intake, wall_clock_ms, last_seen, DeliveryReceipts(db).phone
        )
        add_answers(self.app, answers, settings)
        add_hooks(self.app, CallbackService(intake, intake, self._standby.book, wall_clock_ms), settings)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        settings: Settings,
        *,
        audit_every_s: float = AUDIT_S,
        delivery_faults: DeliveryFaults | None = None,
        schema_poll_s: float = SCHEMA_POLL_S,
    ) -> AsyncIterator["Worker"]:
        """A started worker, stopped when the block ends.

        ``audit_every_s``: seconds between two audits of alerts, workers and journals. ``delivery_faults``:
        when a failing statement of Postgres counts as persistent; a new one by default. ``schema_poll_s``:
        seconds between two reads of a schema that does not fit.
        """
        db = await Database.open(settings, checks_schema=True, schema_poll_s=schema_poll_s)
        client = redis_client(settings)
        disk = await Disk.open(settings, "worker", db, wall_clock_ms)
        worker = cls(
            settings,
            db,
            client,
            disk,
            press_db=await open_presses(settings, db),
            audit_every_s=audit_every_s,
            delivery_faults=delivery_faults,
        )
        worker._start()
        try:
            yield worker
        finally:
            await worker._stop()

    def health(self) -> Condition:
        """A worker is ready while its jobs run, until the drain, unless the schema is known not to fit."""
        working = bool(self._tasks) and not any(task.done() for task in self._tasks)
        checks = {
            "working": working and self._work.is_delivering,
            "schema": schema_check(self._db),
            "serving": not self._draining,
        }
        return Condition(checks, self._standby.store_faults.warnings())

    async def drain(self) -> None:
        """Stop being ready, serve until the balancer has noticed, let messages on their way arrive."""
        self._draining = True
        await asyncio.gather(
            asyncio.sleep(DRAIN_S), self._work.stop_delivering(), self._standby.stop_delivering()
        )

    def _start(self) -> None:
        self._publisher.start()
        self._bus.start(
            AlertSubscriber(
                {announcer.CHANNEL: self._taken, scope_changes.CHANNEL: self._scopes.on_items},
                {scope_changes.CHANNEL: self._scopes.on_doubt},
            )
        )
        self._admission.start()
        self._news.start()
        self._work.start()
        self._standby.start()
        if self._mirror is not None:
            self._mirror.start()
        jobs = (
            PeriodicJob("upkeep", UPKEEP_S, self._upkeep),
            PeriodicJob("expire", EXPIRE_S, self._expire),
            PeriodicJob("sweep", SWEEP_S, self._sweep),
            PeriodicJob("deadlines", deadlines.POLL_S, self._deadlines.round),
            *self._work.jobs,
        )
        self._tasks = [asyncio.ensure_future(_every(job)) for job in jobs]
        channels = (announcer.CHANNEL, scope_changes.CHANNEL)
        self._subscribing = asyncio.gather(*(self._bus.subscribe(channel, 0) for channel in channels))

    async def _stop(self) -> None:
        await end([*self._tasks, self._subscribing])
        closers = (
            *(part.stop for part in [self._mirror] if part is not None),
            *(part.close for part in [self._remote] if part is not None),
            self._standby.close,
            self._work.close,
            self._announcer.stop,
            self._scopes.stop,
            self._news.stop,
            self._admission.stop,
            self._publisher.stop,
            self._bus.stop,
            self._client.aclose,
            *(db.close for db in [self._press_db] if db is not None),
            self._db.close,
        )
        for close in closers:
            with contextlib.suppress(Exception):
                await close()

    def _taken(self, items: Sequence[BusItem]) -> None:
        self._news.on_items(items)
        self._work.wake()

    def _heard(self, alert: Alert) -> None:
        self._news.heard(alert)
        self._work.wake()

    # --- jobs

    async def _upkeep(self) -> None:
        await self._db.check_schema()  # it has a connection of its own
        await upkeep.run_once(self._settings, wall_clock_ms())
        missing = await upkeep.missing_partitions(self._db, wall_clock_ms())
        instruments.PARTITIONS_MISSING.set(len(missing))
        if missing:
            log.error("%d partitions are missing, the first for %s", len(missing), missing[0])

    async def _expire(self) -> None:
        now_ms = wall_clock_ms()
        closed = await journeys.expire(self._db, now_ms - self._settings.journey_max_h * 3_600_000)
        for head in closed:
            self._publisher.journey(head.tenant, head.vendor, head.driver, head.journey_id, EXPIRED, now_ms)
            await show_successor(self._db, self._publisher, head, now_ms)
        if closed:
            log.info("closed %d journeys for their age", len(closed))

    async def _sweep(self) -> None:
        instruments.TASKS.set(len(asyncio.all_tasks()))
        await self._sweeper.sweep()


async def _every(job: PeriodicJob) -> None:
    while True:
        wait_s = job.pause_s
        try:
            await job.run()
        except _AWAY as error:
            log.warning("%s waits: %s", job.name, type(error).__name__)
            wait_s = min(job.pause_s, RETRY_S)
        except Exception as error:  # its own text may quote a row, so the log has the places alone
            places = "".join(traceback.format_tb(error.__traceback__))
            log.error("%s failed: %s\n%s", job.name, type(error).__name__, places)
        await asyncio.sleep(wait_s)
