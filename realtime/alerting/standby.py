"""What each process has for when Postgres is away: a folder on its disk with the local copy of contacts and
the journal, the intake on both, deliveries from the journal, and the import once Postgres is back.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

from alerts.alert import OPEN
from alerts.attempt import Channel
from alerts.case import Case
from alerts.delivery.dispatcher import Dispatcher
from alerts.delivery.routes import ProviderRoute
from alerts.journal.ledger import LocalLedger
from alerts.ports import StorageFailure
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover import contact_cache as directories
from realtime.alerting.failover.case_lookup import CaseLookup
from realtime.alerting.failover.cluster import Cluster
from realtime.alerting.failover.completer import Completer
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.failover.importer import Importer
from realtime.alerting.failover.keys import JOURNAL, local_key
from realtime.alerting.failover.outcomes import Outcomes
from realtime.alerting.failover.storage import LocalStorage
from realtime.alerting.failover.takeover import Takeover
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.metrics import DeliveryMetrics
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.ports import LocalCase
from realtime.alerting.position_follower import PositionFollower
from realtime.alerting.press_committer import PressCommitter
from realtime.alerting.publisher import AlertPublisher
from realtime.alerting.replies import bindings as reply_bindings
from realtime.alerting.replies.bindings import ReplyBindings, ReplyFile
from realtime.alerting.replies.repository import ReplyRepository
from realtime.alerting.repository import INTAKE_TIMES, AlertRepository
from realtime.alerting.store_faults import StoreFaults
from realtime.press_priority import PressPriority
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.redis.client import Client
from realtime.settings import Settings
from realtime.store.alerts.circumstances import operator_of
from realtime.store.alerts.health import BeatDetail
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.open_cases import OpenCases
from realtime.store.db.database import Database
from realtime.store.people.replies import ReplyStore

RESET_AFTER_S: Final = 2.0
"""A Postgres that was unavailable for so long was restarted: what failed before says nothing."""


class Disk:
    """What is on the disk of a process. `open` reads it; ``changed`` is told of each case that changes."""

    def __init__(self, folder: LocalStorage, directory: ContactCache, replies: ReplyFile) -> None:
        self.directory: Final = directory
        self.replies: Final = replies
        self.changed: Callable[[LocalCase], None] = lambda kept: None
        self.local: LocalLedger
        self.owner: Final = folder.owner
        self._folder: Final = folder

    @classmethod
    async def open(cls, settings: Settings, role: str, db: Database, now_ms: Callable[[], int]) -> "Disk":
        """The disk of this process. Raises OSError when there is none that can be written."""
        folder = LocalStorage.take(settings, role)
        path: Path = folder.path
        operator = functools.partial(operator_of, settings)
        key = local_key(settings, directories.PURPOSE)
        replies = ReplyFile(path, local_key(settings, reply_bindings.PURPOSE), now_ms)
        disk = cls(folder, ContactCache(db, path, key, operator, now_ms), replies)
        await disk.directory.open()
        await disk.replies.open()
        disk.local = await LocalLedger.open(
            path, local_key(settings, JOURNAL), now_ms=now_ms, on_change=lambda kept: disk.changed(kept)
        )
        return disk

    async def close(self) -> None:
        """Let the next process have it; what waits stays."""
        await self.directory.stop()
        await self.local.close()
        self._folder.release()


class Standby:
    """`start` begins; ``intake`` and ``book`` are what the edges ask. `stop_delivering`, then `close`.

    ``delivers``: whether this process delivers from Postgres while that is there: a worker does.
    ``press_db``: connections that only storing a press uses; None = those of ``db``.
    """

    def __init__(
        self,
        settings: Settings,
        disk: Disk,
        db: Database,
        ledger: PostgresLedger,
        announcer: AlertPublisher,
        news: OpenAlerts,
        ways: Mapping[Channel, ProviderRoute],
        client: Client,
        *,
        by: str,
        clock: Callable[[], float],
        now_ms: Callable[[], int],
        last_seen: LastSeen | None = None,
        delivers: bool = False,
        press_db: Database | None = None,
        priority: PressPriority | None = None,
    ) -> None:
        self._disk: Final = disk
        self._announcer: Final = announcer
        self._faults: Final = ledger.faults
        self.reach: Final = DatabaseGuard(db, self._back)
        local, directory = disk.local, disk.directory
        self.peers: Final = Cluster(
            client,
            local,
            process=disk.owner,
            key=local_key(settings, JOURNAL),
            clock=clock,
            is_stored=lambda: self.reach.is_up,
            delivers=delivers,
        )
        local.sight.may_send = self.peers.may_send
        local.sight.unseen = self.peers.unseen
        ledger.left_alone = self.peers.left_to_journals
        copies = self.peers
        operator = functools.partial(operator_of, settings)
        open_cases = OpenCases(db)
        self._shadow: Final = Takeover(
            self.reach, open_cases, local, copies, now_ms, ledger.faults, lambda: earlier.announced()
        )
        self.outcomes: Final = Outcomes(self.reach, open_cases, local, copies, ledger.faults, now_ms)
        earlier = CaseLookup(local, copies, self._shadow, directory, news, now_ms)
        self._committer: Final = PressCommitter(
            self.reach,
            press_db or db,
            ledger if press_db is None else PostgresLedger(press_db, faults=ledger.faults),
            directory,
            operator,
            ask_s=INTAKE_TIMES.ask_s,
            locate_s=INTAKE_TIMES.locate_s,
        )
        self.intake: Final = AlertRepository(
            self.reach,
            db,
            ledger,
            local,
            copies,
            directory,
            announcer,
            news,
            operator,
            earlier,
            is_import_rejected=lambda alert_id: self.importer.is_rejected(alert_id),
            on_journalled=lambda: self.importer.wake(),
            committer=self._committer,
            last_seen=last_seen,
            priority=priority,
        )
        self._follower: Final = (
            None
            if last_seen is None
            else PositionFollower(self.reach, ledger, local, copies, announcer, news, last_seen)
        )
        self._completer: Final = Completer(
            self.reach, open_cases, ledger, local, announcer.changed, delivers=delivers
        )
        bindings = ReplyBindings(client, disk.replies, local_key(settings, reply_bindings.PURPOSE), now_ms)
        self.book: Final = ReplyRepository(self.reach, ReplyStore(db), local, copies, directory, bindings)
        self.importer: Final = Importer(
            self.reach,
            ledger,
            local,
            copies,
            directory,
            announcer.changed,
            now_ms,
            self.book,
            fails=ledger.faults.fails,
            note=self._shadow.note,
        )
        self.cases: Final = JournalCases(local)
        self.store_faults: Final = StoreFaults(now_ms)
        self.place: Final = JournalDataStore(disk, self.importer)
        self._dispatcher: Final = Dispatcher(
            local,
            ways,
            by=f"{by}-journal",
            timeout_s=settings.delivery_timeout_s,
            clock=clock,
            meter=DeliveryMetrics(now_ms),
        )

    def start(self) -> None:
        """Begin to refresh, to deliver what the journal has, and to bring it in."""
        self._disk.changed = self._changed
        self._disk.directory.start()
        self.reach.start()
        self._committer.start()
        self.importer.start()
        self._completer.start()
        if self._follower is not None:
            self._follower.start()
        self.peers.start()
        self._shadow.start()
        self._dispatcher.start()

    async def stop_delivering(self) -> None:
        """Send nothing more; wait for what is on its way. Is idempotent."""
        await self._dispatcher.stop()

    async def close(self) -> None:
        """Stop at once; what waits stays on the disk."""
        if self._follower is not None:
            await self._follower.stop()
        await self._shadow.stop()
        await self._committer.stop()
        await self._completer.stop()
        await self.importer.stop()
        await self._dispatcher.stop(0.0)
        await self.peers.stop()
        await self.reach.stop()
        await self._disk.close()

    def has_press(self, tenant: str, driver: str) -> bool:
        """Whether a journal, this one or another, has a press of an open alert of the driver."""
        ours = (kept for kept in self._disk.local.all() if kept.presses)
        if any(
            (kept.case.alert.tenant, kept.case.alert.driver) == (tenant, driver)
            and kept.case.alert.state in OPEN
            for kept in ours
        ):
            return True
        copies = (self.peers.open_of(tenant, driver, drill) for drill in (False, True))
        return any(copy is not None and bool(copy.presses) for copy in copies)

    def beat(self) -> BeatDetail:
        """What this process says of itself with each beat."""
        return BeatDetail(self.importer.beat(), self.store_faults.recent(), self._disk.directory.unread_ms)

    def _back(self) -> None:
        """Postgres answers again. A short loss was an answer that came late: what fails goes on failing."""
        if self.reach.lost_for_s >= RESET_AFTER_S:
            self._faults.reset()
        self._committer.warm_up()
        self.importer.wake()

    def _changed(self, kept: LocalCase) -> None:
        self._announcer.changed(kept.case.alert)
        self._dispatcher.wake()


class JournalCases:
    """`realtime.alerting.receipts.LocalCases`: the cases on this disk."""

    def __init__(self, local: LocalLedger) -> None:
        self._local: Final = local

    async def case(self, alert_id: UUID) -> Case | None:
        """The case, if it is kept here."""
        return await self._local.look(alert_id)


class JournalDataStore:
    """`realtime.erasure.eraser.DataStore`: what this process keeps of a driver on its disk.

    The local copies of the other processes forget a driver within a second, by
    `realtime.alerting.scope_changes`, or with the next reading of everything.
    """

    name = "journal"

    def __init__(self, disk: Disk, importer: Importer) -> None:
        self._disk: Final = disk
        self._importer: Final = importer

    async def count(self, tenant: str, driver: str) -> int:
        """The driver's alerts that wait here, and what is known of them."""
        waiting = [kept.case.alert for kept in self._disk.local.all()]
        theirs = sum((alert.tenant, alert.driver) == (tenant, driver) for alert in waiting)
        return theirs + self._disk.directory.count(tenant, driver)

    async def erase(self, tenant: str, driver: str) -> None:
        """Bring the alerts into Postgres, from where they are erased; read the rest anew."""
        try:
            await self._importer.round()
        except StorageFailure as error:
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=2) from error
        await self._disk.directory.refresh()
