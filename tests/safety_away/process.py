"""What one process is made of, as far as it takes presses: a real Postgres behind a line that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Alert, Press
from realtime.alerting.db_guard import PRESS_TURN_S, DatabaseGuard
from realtime.alerting.failover.case_lookup import CaseLookup
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.failover.importer import Importer
from realtime.alerting.failover.takeover import AT_ONCE, AWAY_S, Takeover
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.open_alerts import OpenAlerts
from realtime.alerting.press_committer import PressCommitter
from realtime.alerting.publisher import AlertPublisher
from realtime.alerting.replies.bindings import ReplyBindings, ReplyFile
from realtime.alerting.replies.repository import ReplyRepository
from realtime.alerting.repository import INTAKE_TIMES, AlertRepository, IntakeTimes
from realtime.bus.bus import BusItem, RedisBus
from realtime.live.redis_state import StoredValue
from realtime.redis.client import client
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.delivery_faults import PERSISTENT_S, DeliveryFaults
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.open_cases import OpenCases
from realtime.store.alerts.reads import ChangedAlerts
from realtime.store.db.database import Database
from realtime.store.people.replies import ReplyStore
from tests.alerts.ledger_contract import a_press
from tests.safety_away.fakes import Journal, Line, Others, now_ms

PHONE = "+41790000001"
OLGA = Actor(ActorKind.OPERATOR, "olga", "Olga")


@dataclass(frozen=True)
class Bounds:
    """What a test may make smaller than production has it."""

    times: IntakeTimes = INTAKE_TIMES
    press_slot_timeout_s: float = PRESS_TURN_S
    take_over_after_s: float = AWAY_S
    batch_size: int = AT_ONCE
    persistent_s: float = PERSISTENT_S


PATIENT: Final = Bounds(times=IntakeTimes(ask_s=10.0, locate_s=5.0))
"""Those of production, but a Postgres that answers late on a busy machine is waited for."""


class Positions:
    """Live positions in Redis: the one that a test puts there."""

    item: BusItem | None = None

    async def read_one(self, *whom: str) -> StoredValue | None:
        return None if self.item is None else StoredValue(self.item, "")


@dataclass
class Process:
    """What one process is made of, as far as it takes presses."""

    line: Line
    db: Database
    ledger: PostgresLedger
    journal: Journal
    others: Others
    reach: DatabaseGuard
    intake: AlertRepository
    importer: Importer
    book: ReplyRepository
    directory: ContactCache
    told: list[Alert]
    shadow: Takeover
    news: OpenAlerts
    state: "Positions"
    committer: PressCommitter
    journalled: int = 0
    """How often the importer was woken for a press."""

    def wake(self) -> None:
        """As the importer is woken."""
        self.journalled += 1

    def press(self, **changes: Any) -> Press:
        return replace(a_press(now_ms()), **changes)

    async def back(self) -> int:
        """Postgres is there again, and is seen to be; what was brought in."""
        self.line.mend()
        assert await settled(self.reach.probe)
        return await self.importer.round()

    async def stored(self) -> list[Alert]:
        found = await reads.open_of(self.db, "t1", driver="d1")
        return list(found)


async def settled(look: Callable[[], Any]) -> bool:
    """Whether ``look`` says yes in the end."""
    for _ in range(100):
        if await look():
            return True
        await asyncio.sleep(0.05)
    return False


@asynccontextmanager
async def a_process(
    line: Line, redis_url: str, folder: Path, bounds: Bounds = PATIENT
) -> AsyncIterator[Process]:
    db = await Database.open(Settings(database_url=line.url, db_timeout_s=10))  # type: ignore[arg-type]
    bus = RedisBus(redis_url)
    told: list[Alert] = []
    announcer = AlertPublisher(bus, now_ms, told.append)
    reach = DatabaseGuard(db, press_slot_timeout_s=bounds.press_slot_timeout_s)
    directory = ContactCache(db, folder, bytes(32), lambda tenant: None, now_ms)
    faults = DeliveryFaults(persistent_s=bounds.persistent_s)
    ledger = PostgresLedger(db, faults=faults, circumstances_of=directory.read)
    journal, others = Journal(), Others()
    news = OpenAlerts(ChangedAlerts(db))
    state = Positions()
    shadow = Takeover(
        reach,
        OpenCases(db),
        journal,
        others,
        now_ms,
        ledger.faults,
        lambda: earlier.announced(),
        take_over_after_s=bounds.take_over_after_s,
        batch_size=bounds.batch_size,
    )
    earlier = CaseLookup(journal, others, shadow, directory, news, now_ms)
    committer = PressCommitter(
        reach,
        db,
        ledger,
        directory,
        lambda tenant: None,
        ask_s=bounds.times.ask_s,
        locate_s=bounds.times.locate_s,
        wait_s=bounds.press_slot_timeout_s,
        within_s=2 * (bounds.times.ask_s + bounds.press_slot_timeout_s),
    )
    intake = AlertRepository(
        reach,
        db,
        ledger,
        journal,
        others,
        directory,
        announcer,
        news,
        lambda tenant: None,
        earlier,
        bounds.times,
        is_import_rejected=lambda alert_id: importer.is_rejected(alert_id),
        on_journalled=lambda: made.wake(),
        committer=committer,
        last_seen=LastSeen(state, lambda *whom: None, now_ms),  # type: ignore[arg-type]
    )
    file = ReplyFile(folder, bytes(32), now_ms)
    await file.open()
    redis = client(redis_url, timeout_s=1.0, max_connections=8)
    bindings = ReplyBindings(redis, file, bytes(32), now_ms)
    book = ReplyRepository(reach, ReplyStore(db), journal, others, directory, bindings)
    importer = Importer(
        reach,
        ledger,
        journal,
        others,
        directory,
        told.append,
        now_ms,
        book,
        fails=ledger.faults.fails,
        note=shadow.note,
    )
    await directory.refresh()
    made = Process(
        line,
        db,
        ledger,
        journal,
        others,
        reach,
        intake,
        importer,
        book,
        directory,
        told,
        shadow,
        news,
        state,
        committer,
    )
    yield made
    await announcer.stop()
    await bus.stop()
    await redis.aclose()
    await db.close()
