"""What a worker does for alerts: deliver, fire the safety timers, audit, and say that it is alive.

Its jobs are called by the worker's loops; whatever they raise is logged there.
"""

import os
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from alerts.delivery.dispatcher import Dispatcher
from alerts.delivery.recorder import Keep
from alerts.delivery.routes import ways_of
from alerts.notifiers.socket import Announce
from realtime.alerting.metrics import DeliveryMetrics
from realtime.alerting.notifiers import ConfiguredNotifiers
from realtime.monitoring.monitor import AUDIT_S, BEAT_S, AlertMonitor, Pulse
from realtime.monitoring.operator_webhook import OperatorWebhook
from realtime.settings import Settings
from realtime.store.alerts.delivery_faults import DeliveryFaults
from realtime.store.alerts.health import WORKER, BeatDetail
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from realtime.store.people import devices, replies, verification_codes
from realtime.timers import scheduler
from realtime.timers.checkins import CheckIns
from realtime.timers.scheduler import (
    IsOnline,
    LiveOf,
    LocalCopy,
    TimerScheduler,
    no_contacts,
    no_position,
)

FORGET_S: Final = 3_600.0
SETTLING_S: Final = 3.0
"""Once Postgres is back: until the journals, which look each second, have brought in what was sent."""


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """Something that is done every ``pause_s``."""

    name: str
    pause_s: float
    run: Callable[[], Awaitable[object]]


class WorkerAlerting:
    """Starts with `start`; ends with `stop_delivering`, which lets messages on their way arrive, and `close`.

    ``detail``: what this process says of itself with each beat. ``keep``: where outcomes go that Postgres
    does not take.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        ledger: PostgresLedger,
        announce: Announce,
        now_ms: Callable[[], int],
        *,
        is_online: IsOnline | None = None,
        keep: Keep | None = None,
        detail: Callable[[], BeatDetail] = BeatDetail,
        audit_every_s: float = AUDIT_S,
        is_in_journal: Callable[[str, str], bool] = lambda tenant, driver: False,
        live_of: LiveOf = no_position,
        checkins: CheckIns | None = None,
        local_copy: LocalCopy = no_contacts,
    ) -> None:
        self._db: Final = db
        self._ledger: Final = ledger
        self._audit_every_s: Final = audit_every_s
        name = settings.instance_name
        self.process: Final = f"{name}-{os.getpid()}-{secrets.token_hex(4)}"
        """No other process is ever called so: what holds leases."""
        self.ways_out: Final = ConfiguredNotifiers(settings, announce, self._prune, now_ms)
        self.ways: Final = ways_of(self.ways_out.by_channel)
        """For whatever else in this process sends: what one finds out of a provider, all know."""
        self._dispatcher: Final = Dispatcher(
            ledger,
            self.ways,
            by=self.process,
            timeout_s=settings.delivery_timeout_s,
            clock=boot_clock,
            meter=DeliveryMetrics(now_ms),
            keep=keep,
            settling_s=SETTLING_S,
        )
        self._timers: Final = TimerScheduler(
            db,
            settings,
            is_online,
            is_in_journal=is_in_journal,
            live_of=live_of,
            checkins=checkins,
            local_copy=local_copy,
        )
        self._operator: Final = _operator(settings, now_ms)
        self._auditor: Final = AlertMonitor(
            db,
            self.process,
            tell=self._operator.tell if settings.operator_webhook_url else None,
            heartbeat=self._operator.call if settings.heartbeat_url else None,
        )
        self._pulse: Final = Pulse(db, name, WORKER, detail)

    @property
    def timer_faults(self) -> DeliveryFaults:
        """The timers that Postgres does not fire although it answers."""
        return self._timers.faults

    @property
    def is_delivering(self) -> bool:
        """Whether due messages are looked for."""
        return self._dispatcher.is_running

    @property
    def jobs(self) -> tuple[PeriodicJob, ...]:
        """What is to be done again and again."""
        return (
            PeriodicJob("timers", scheduler.POLL_S, self._timers.round),
            PeriodicJob("audit", self._audit_every_s, self._auditor.round),
            PeriodicJob("pulse", BEAT_S, self._pulse.beat),
            PeriodicJob("forget", FORGET_S, self._forget),
        )

    def start(self) -> None:
        """Begin to deliver."""
        self._dispatcher.start()

    def wake(self) -> None:
        """An alert was raised or has changed, here or elsewhere: something may be due."""
        self._dispatcher.wake()

    async def stop_delivering(self) -> None:
        """Claim nothing more, and wait for what is on its way. Is idempotent."""
        await self._dispatcher.stop()

    async def close(self) -> None:
        """Stop at once, and tell the others that this is no accident."""
        await self._dispatcher.stop(0.0)
        await self._auditor.stop()
        await self._pulse.stop()
        await self._operator.close()
        await self.ways_out.close()

    async def _forget(self) -> None:
        """What nobody waits for any more."""
        await self._ledger.forget_early()
        await scheduler.forget_uptime(self._db)
        await devices.forget_unseen(self._db)
        await replies.forget_answers(self._db)
        await verification_codes.prune(self._db)

    async def _prune(self, tenant: str, token: str) -> None:
        await devices.prune(self._db, token)


def _operator(settings: Settings, now_ms: Callable[[], int]) -> OperatorWebhook:
    secret = settings.operator_webhook_secret.get_secret_value() or settings.alerts_key
    return OperatorWebhook(settings.operator_webhook_url, secret, settings.heartbeat_url, now_ms)


def boot_clock() -> float:
    """Monotonic seconds that go on while the machine sleeps, where there is such a clock: leases do too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
