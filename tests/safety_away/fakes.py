"""The ports of the intake in memory, with switches; a line to Postgres that can be cut and can hang."""

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import OPEN, Alert, Press, alert_id_of
from alerts.attempt import Accepted, Outcome, StatusReport
from alerts.case import Audit, Case, Changes
from alerts.leases import may_settle
from alerts.policy import Circumstances
from alerts.ports import Applied, DeliveryJob, StorageUnavailable, Taken
from realtime.store.people.replies import LastMessage
from tests.e2e.proxy import Proxy


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Line:
    """The way to Postgres: ``url`` goes through it."""

    def __init__(self, proxy: Proxy, url: str) -> None:
        self._proxy = proxy
        self._port = proxy.target
        parts = urlsplit(url)
        ours = urlsplit(proxy.url)
        login = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{ours.port}"))

    def cut(self) -> None:
        """Nobody answers, as when Postgres is stopped."""
        self._proxy.target = 1
        for pair in list(self._proxy.pairs):
            pair.close()

    def hang(self) -> None:
        """Connections stay, and nothing comes back, as when Postgres is frozen."""
        self._proxy.stall()

    def mend(self) -> None:
        """All is as before; what hung arrives."""
        self._proxy.target = self._port
        self._proxy.resume()


class Kept(Struct, frozen=True):
    case: Case
    presses: tuple[Press, ...] = ()
    audit: tuple[Audit, ...] = ()
    acting: bool = False


class Early:
    """`realtime.alerting.ports.EarlyReports` of a journal."""

    def __init__(self, journal: "Journal") -> None:
        self._journal = journal

    async def keep(self, report: StatusReport) -> None:
        self._journal.write()
        self._journal.reports.append(report)

    def kept(self) -> Sequence[StatusReport]:
        return list(self._journal.reports)

    async def forget(self, report: StatusReport) -> None:
        self._journal.reports.remove(report)


class Journal:
    """`realtime.alerting.ports.Local`. ``is_full``: no write works; ``is_in_reserve``: only presses do."""

    def __init__(self) -> None:
        self.kept: dict[UUID, Kept] = {}
        self.reports: list[StatusReport] = []
        self.early = Early(self)
        self.doubted: list[UUID] = []
        self.is_full = False
        self.is_in_reserve = False
        self.dies_before_forgetting = False

    async def press(self, press: Press, circumstances: Circumstances, *, acting: bool = True) -> Taken:
        self.write()
        found = await self.find(press.tenant, press.driver, press.sos_id)
        if found is not None:
            return Taken(found, "local", created=False, joined=found.sos_id != press.sos_id)
        for one in self.kept.values():
            alert = one.case.alert
            theirs = (alert.tenant, alert.driver, alert.drill)
            if theirs == (press.tenant, press.driver, press.drill) and alert.state in OPEN:
                changes = cases.joined(one.case, press, circumstances, now_ms())
                return Taken(self._keep(changes, press), "local", created=False, joined=True)
        changes = cases.opened(press, circumstances, now_ms())
        return Taken(self._keep(changes, press), "local", created=True, joined=False)

    async def apply(self, alert_id: UUID, event: Any) -> Applied | None:
        self.write()
        case = await self.look(alert_id)
        if case is None:
            return None
        changes = cases.applied(case, event, now_ms())
        return Applied(self._keep(changes), changes.refused)

    async def complete(self, alert_id: UUID, rows: Circumstances) -> Alert | None:
        self.write()
        kept = self.kept.get(alert_id)
        return None if kept is None else self._keep(cases.completed(kept.case, rows, now_ms()))

    async def find(self, tenant: str, driver: str, sos_id: UUID) -> Alert | None:
        for one in self.kept.values():
            ids = {one.case.alert.sos_id, *(press.sos_id for press in one.presses)}
            if (one.case.alert.tenant, one.case.alert.driver) == (tenant, driver) and sos_id in ids:
                return one.case.alert
        return None

    async def look(self, alert_id: UUID) -> Case | None:
        for one in self.kept.values():
            promised = {alert_id_of(p.tenant, p.driver, p.sos_id) for p in one.presses}
            if alert_id in (one.case.alert.alert_id, *promised):
                return one.case
        return None

    async def settle(self, job: DeliveryJob, outcome: Outcome) -> None:
        kept = self.kept[job.alert.alert_id]
        if not may_settle(kept.case.attempts[job.attempt.attempt_id], job.attempt, outcome):
            return
        changes = cases.settled(kept.case, job.attempt.attempt_id, outcome, now_ms(), random.random)
        self.kept[job.alert.alert_id] = Kept(changes.case, kept.presses, kept.audit + changes.audit)

    async def report(self, report: StatusReport) -> bool:
        for one in list(self.kept.values()):
            for attempt in one.case.attempts.values():
                if (attempt.provider, attempt.provider_id) == (report.provider, report.provider_id):
                    self._keep(cases.reported(one.case, attempt.attempt_id, report, now_ms()))
                    return True
        return False

    async def answered(self, attempt_id: UUID) -> None:
        for one in list(self.kept.values()):
            if attempt_id in one.case.attempts:
                self._keep(cases.answered(one.case, attempt_id, now_ms()))

    async def adopt(self, case: Case, presses: tuple[Press, ...] = (), audit: tuple[Audit, ...] = ()) -> Kept:
        self.write()
        if self.is_in_reserve:
            raise StorageUnavailable
        ours = self.kept.get(case.alert.alert_id)
        changes = cases.merged(None if ours is None else ours.case, case, now_ms())
        before = Kept(case) if ours is None else ours
        self.kept[case.alert.alert_id] = Kept(
            changes.case, tuple(dict.fromkeys(before.presses + presses)), before.audit + audit
        )
        return self.kept[case.alert.alert_id]

    def get(self, alert_id: UUID) -> Kept | None:
        return self.kept.get(alert_id)

    def all(self) -> Sequence[Kept]:
        return list(self.kept.values())

    @asynccontextmanager
    async def hold(self, alert_id: UUID) -> AsyncIterator[Kept | None]:
        yield self.kept.get(alert_id)

    def doubt(self, alert_id: UUID) -> None:
        self.doubted.append(alert_id)

    async def forget(self, alert_id: UUID) -> None:
        if self.dies_before_forgetting:
            raise KeyboardInterrupt
        del self.kept[alert_id]

    def sent(self, provider_id: str) -> None:
        """The first message that is due was taken by a provider."""
        (kept,) = self.kept.values()
        attempt = next(a for a in kept.case.attempts.values() if a.channel == "sms")
        changes = cases.settled(
            kept.case, attempt.attempt_id, Accepted(provider_id, "queued"), now_ms(), random.random
        )
        moved = changes.case.attempts[attempt.attempt_id]
        attempts = {**changes.case.attempts, attempt.attempt_id: _by(moved, "twilio")}
        self.kept[kept.case.alert.alert_id] = Kept(
            Case(changes.case.alert, changes.case.copy, attempts), kept.presses, kept.audit
        )

    def _keep(self, changes: Changes, *presses: Press) -> Alert:
        alert = changes.case.alert
        before = self.kept.get(alert.alert_id, Kept(changes.case))
        self.kept[alert.alert_id] = Kept(changes.case, before.presses + presses, before.audit + changes.audit)
        return alert

    def write(self) -> None:
        if self.is_full:
            raise StorageUnavailable


class Others:
    """`realtime.alerting.ports.Copies`: a Redis that may be ``away``, and what others have shown there."""

    def __init__(self) -> None:
        self.away = False
        self.refuses_turns = False
        self.served = False
        self.stands_in = False
        self.shared: dict[UUID, Any] = {}
        self.shown: dict[UUID, Kept] = {}
        self.turns: list[UUID] = []
        self.later: list[UUID] = []
        self.acted: set[UUID] = set()
        self.unread: dict[UUID, Kept] = {}
        """What they have shown since this process last read it."""

    async def read_anew(self) -> None:
        if not self.away:
            self.shown |= self.unread
            self.unread = {}

    @property
    def is_up(self) -> bool:
        return not self.away

    @property
    def is_served(self) -> bool:
        return self.served

    def is_anothers(self, alert_id: UUID) -> bool:
        return alert_id in self.acted

    async def share(self, kept: Any) -> bool:
        if not self.away:
            self.shared[kept.case.alert.alert_id] = kept
        return not self.away

    def share_later(self, kept: Any) -> None:
        self.later.append(kept.case.alert.alert_id)

    async def withdraw(self, *alert_ids: UUID) -> None:
        for alert_id in alert_ids:
            self.shared.pop(alert_id, None)

    def copy_of(self, alert_id: UUID) -> Kept | None:
        return self.shown.get(alert_id)

    def find(self, tenant: str, driver: str, sos_id: UUID) -> Kept | None:
        return self.shown.get(alert_id_of(tenant, driver, sos_id))

    def open_of(self, tenant: str, driver: str, drill: bool) -> Kept | None:
        for kept in self.shown.values():
            alert = kept.case.alert
            if (alert.tenant, alert.driver, alert.drill) == (tenant, driver, drill) and alert.state in OPEN:
                return kept
        return None

    async def turn(self, *alert_ids: UUID) -> None:
        if self.refuses_turns:
            raise StorageUnavailable
        self.turns += alert_ids

    def of_provider(self, provider: str, provider_id: str) -> Kept | None:
        for kept in self.shown.values():
            for attempt in kept.case.attempts.values():
                if (attempt.provider, attempt.provider_id) == (provider, provider_id):
                    return kept
        return None

    def last_asked(self, phone: str) -> list[LastMessage]:
        return []


def _by(attempt: Any, provider: str) -> Any:
    return replace(attempt, provider=provider)
