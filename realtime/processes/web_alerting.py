"""The alert engine of a web instance: takes presses and answers, tells of what changes, and sends only what
its own journal has. A worker's is `work`.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from typing import Final

from alerts.delivery.routes import ways_of
from realtime.alerting.actions import AlertActions
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.notifiers import ConfiguredNotifiers
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import Intake
from realtime.alerting.publisher import AlertPublisher
from realtime.alerting.receipts import DeliveryReceipts
from realtime.alerting.scope_changes import ScopeChangePublisher
from realtime.alerting.standby import Disk, Standby
from realtime.bus.bus import RedisBus
from realtime.monitoring.monitor import Pulse
from realtime.press_priority import PressPriority
from realtime.processes.worker_alerting import boot_clock
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.alerts.health import WEB
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.reads import ChangedAlerts
from realtime.store.db.database import Database
from realtime.store.people import devices
from realtime.timers.scheduler import UptimeKeeper


class WebAlerting:
    """``intake`` and ``answering`` are what the edges ask, ``news`` and ``told`` what they show.

    `start`, then `stop`. ``alerts_db``: connections that positions do not use. ``press_db``: those that
    only storing an SOS uses.
    """

    def __init__(
        self,
        settings: Settings,
        db: Database,
        alerts_db: Database,
        client: Client,
        disk: Disk,
        bus: RedisBus,
        now_ms: Callable[[], int],
        press_db: Database | None = None,
        last_seen: LastSeen | None = None,
        priority: PressPriority | None = None,
    ) -> None:
        self._db: Final = db
        process = f"{settings.instance_name}-{os.getpid()}-{secrets.token_hex(4)}"
        self.uptime: Final = UptimeKeeper(db, process)
        self.news: Final = OpenAlerts(ChangedAlerts(alerts_db))
        self.announcer: Final = AlertPublisher(bus, now_ms, self.news.heard)
        self.ways_out: Final = ConfiguredNotifiers(settings, self.announcer.announce, self._prune, now_ms)
        self.standby: Final = Standby(
            settings,
            disk,
            alerts_db,
            PostgresLedger(alerts_db, circumstances_of=disk.directory.read),
            self.announcer,
            self.news,
            ways_of(self.ways_out.by_channel),
            client,
            by=process,
            clock=boot_clock,
            now_ms=now_ms,
            press_db=press_db,
            last_seen=last_seen,
            priority=priority,
        )
        self.scopes: Final = ScopeChangePublisher(bus, now_ms, disk.directory.changed)
        for one in (db, alerts_db):
            one.changes.listen(self.scopes.changed)
        self.intake: Final[Intake] = self.standby.intake
        self.answering: Final = AlertActions(self.intake, now_ms)
        self.told: Final = DeliveryReceipts(alerts_db, self.standby.cases)
        self._pulse: Final = Pulse(alerts_db, f"web-{settings.instance_name}", WEB, self.standby.beat)

    async def _prune(self, tenant: str, token: str) -> None:
        await devices.prune(self._db, token)

    def start(self) -> None:
        """Begin to be up and to say so, to hear of changes, and to bring in what the journal has."""
        self.news.start()
        self.uptime.start()
        self.standby.start()
        self._pulse.start()

    async def stop(self) -> None:
        """End all of it; what the journal has stays."""
        for close in (
            self.uptime.stop,
            self._pulse.stop,
            self.standby.close,
            self.news.stop,
            self.ways_out.close,
            self.announcer.stop,
            self.scopes.stop,
        ):
            with contextlib.suppress(Exception):
                await close()
