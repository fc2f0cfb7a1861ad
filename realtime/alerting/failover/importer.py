"""Brings what the journal of this process kept into Postgres, once that is back: each case once.

It may be stopped anywhere: an import is idempotent, and a case is forgotten here only after Postgres has
committed it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Final, Protocol, TypeVar
from uuid import UUID

from msgspec.structs import replace

from alerts.alert import OPEN, Alert
from alerts.attempt import StatusReport
from alerts.case import Case
from alerts.ports import StorageFailure, StorageRejected
from realtime.aio import end
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.ports import Copies, Local, LocalCase
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.store.alerts.health import JournalBeat
from realtime.store.alerts.ledger import PostgresLedger

T = TypeVar("T")
log = logging.getLogger(__name__)

POLL_S: Final = 1.0
IMPORT_S: Final = 10.0
"""One case at most; then Postgres counts as away."""
LOOK_AT: Final = 100
"""So many copies are compared with Postgres at once."""
FIRST_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 20.0
"""What Postgres rejects is tried again after pauses that double up to this; nothing else waits for it."""


class Pauses:
    """When each part that Postgres rejected is tried again. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock: Final = clock
        self._paused: dict[Hashable, tuple[float, float]] = {}

    def is_paused(self, part: Hashable) -> bool:
        """Whether ``part`` is not to be tried now."""
        return self._paused.get(part, (0.0, 0.0))[0] > self._clock()

    def rejected(self, part: Hashable) -> None:
        """Postgres rejected ``part``: its next pause is twice as long as the last."""
        last_s = self._paused.get(part, (0.0, 0.0))[1]
        pause_s = min(2 * last_s or FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._paused[part] = (self._clock() + pause_s, pause_s)

    def accepted(self, part: Hashable) -> None:
        """Postgres accepted ``part``."""
        self._paused.pop(part, None)

    def forget_older(self) -> None:
        """Forget what was not tried again although it might have been: it is not in the journal any more."""
        now_s = self._clock()
        self._paused = {
            part: (until_s, pause_s)
            for part, (until_s, pause_s) in self._paused.items()
            if now_s - until_s < LONGEST_PAUSE_S
        }

    def __len__(self) -> int:
        return len(self._paused)


class Answers(Protocol):
    """Part of `realtime.alerting.replies.repository.ReplyRepository`."""

    async def hand_over(self) -> None:
        """Give Postgres what was answered meanwhile. Raises StorageFailure."""


class Importer:
    """`start` begins to look; ``wake`` when Postgres is back.

    ``fails``: whether an alert cannot be delivered from Postgres; it stays while this process acts on it.
    ``note``: keeps a case that the journal is about to forget until it is read from Postgres, which may be
    lost again before that.
    """

    def __init__(
        self,
        reach: DatabaseGuard,
        ledger: PostgresLedger,
        local: Local,
        copies: Copies,
        directory: ContactCache,
        imported: Callable[[Alert], None],
        now_ms: Callable[[], int],
        answers: Answers | None = None,
        pauses: Pauses | None = None,
        *,
        fails: Callable[[UUID], bool] = lambda alert_id: False,
        note: Callable[[Case], None] = lambda case: None,
    ) -> None:
        self._reach: Final = reach
        self._ledger: Final = ledger
        self._local: Final = local
        self._copies: Final = copies
        self._directory: Final = directory
        self._imported: Final = imported
        self._now_ms: Final = now_ms
        self._answers: Final = answers
        self._pauses: Final = pauses or Pauses()
        self._fails: Final = fails
        self._note: Final = note
        self._awake: Final = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Look no more; what waits stays on disk."""
        await end(self._tasks)

    def wake(self) -> None:
        """Postgres is back: look now."""
        self._awake.set()

    def is_rejected(self, alert_id: UUID) -> bool:
        """Whether Postgres has just rejected an import of this alert."""
        return self._pauses.is_paused(alert_id)

    def beat(self) -> JournalBeat:
        """What waits here."""
        kept = self._local.all()
        oldest = min((_since_ms(one) for one in kept), default=None)
        return JournalBeat(len(kept), oldest)

    async def round(self) -> int:
        """Bring in all that waits; how many cases went. Raises StorageFailure when Postgres is."""
        self._tell()
        self._pauses.forget_older()
        went = await self._let_go()
        for kept in sorted(self._local.all(), key=_place):
            alert_id = kept.case.alert.alert_id
            if self._stays(kept):
                continue
            if kept.presses or kept.acting or not self._copies.is_anothers(alert_id):
                went += await self._bring(alert_id)
        for report in self._local.early.kept():
            await self._unless_rejected(report, partial(self._report, report))
        if self._directory.unsaid:
            hand_over = self._directory.hand_over
            await self._unless_rejected("opt-outs", lambda: self._reach.ask(hand_over, IMPORT_S))
        if self._answers is not None:
            await self._unless_rejected("answers", self._answers.hand_over)
        self._tell()
        return went

    async def _let_go(self) -> int:
        """Forget copies that Postgres has all of; how many. After an absence most are of alerts to which
        nothing happened, or whose news another process has brought in: importing each would take long.
        """
        copies = [kept for kept in self._local.all() if not kept.presses and not self._stays(kept)]
        went = 0
        for at in range(0, len(copies), LOOK_AT):
            some = {kept.case.alert.alert_id: kept for kept in copies[at : at + LOOK_AT]}
            compare = partial(self._known, list(some.values()))
            known = await self._unless_rejected(frozenset(some), compare) or set()
            gone = await asyncio.gather(*(self._forget(some[alert_id]) for alert_id in known))
            await self._copies.withdraw(*(alert_id for alert_id in gone if alert_id is not None))
            went += sum(alert_id is not None for alert_id in gone)
        return went

    def _stays(self, kept: LocalCase) -> bool:
        return kept.acting and self._fails(kept.case.alert.alert_id)

    async def _forget(self, kept: LocalCase) -> UUID | None:
        """Forget a case that Postgres knows as ``kept``, unless it has changed; which it was."""
        alert_id = kept.case.alert.alert_id
        async with self._local.hold(alert_id) as found:
            if found != kept:
                return None
            self._keep_in_memory(kept, kept.case.alert)
            await self._local.forget(alert_id)
        instruments.JOURNAL_IMPORTED.labels("known").inc()
        return alert_id

    async def _bring(self, alert_id: UUID) -> bool:
        if self._pauses.is_paused(alert_id):
            return False
        async with self._local.hold(alert_id) as kept:
            if kept is None:
                return False
            try:
                alert = await self._reach.ask(lambda: self._put(kept), IMPORT_S)
            except StorageRejected:
                tenant = kept.case.alert.tenant
                log.error("postgres rejected alert %s of tenant %s of the journal", alert_id, tenant)
                instruments.JOURNAL_IMPORTED.labels("rejected").inc()
                self._pauses.rejected(alert_id)
                return False
            self._keep_in_memory(kept, alert)
            await self._local.forget(alert_id)
        self._pauses.accepted(alert_id)
        instruments.JOURNAL_IMPORTED.labels("ok").inc()
        await self._copies.withdraw(alert_id)
        self._imported(alert)
        return True

    def _keep_in_memory(self, kept: LocalCase, alert: Alert) -> None:
        """Note the case of ``kept`` as Postgres has it, unless it is closed or went into another alert."""
        if alert.state in OPEN and alert.alert_id == kept.case.alert.alert_id:
            self._note(replace(kept.case, alert=alert))

    async def _unless_rejected(self, part: Hashable, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do one part of a round; None when Postgres rejects it, or did and its pause is not over.

        The other parts do not wait for it. Raises StorageFailure when Postgres is unavailable.
        """
        if self._pauses.is_paused(part):
            return None
        try:
            done = await work()
        except StorageRejected:
            log.error("postgres rejected a part of an import: %s", _named(part))
            instruments.JOURNAL_IMPORTED.labels("rejected").inc()
            self._pauses.rejected(part)
            return None
        self._pauses.accepted(part)
        return done

    async def _report(self, report: StatusReport) -> None:
        await self._reach.ask(lambda: self._ledger.report(report), IMPORT_S)
        await self._local.early.forget(report)

    async def _known(self, some: list[LocalCase]) -> set[UUID]:
        return await self._reach.ask(
            lambda: self._ledger.known([(kept.case, kept.audit) for kept in some]), IMPORT_S
        )

    async def _put(self, kept: LocalCase) -> Alert:
        return await self._ledger.import_case(kept.case, kept.presses, kept.audit, self._now_ms())

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            try:
                if went := await self.round():
                    log.info("%d alerts of the journal are in postgres", went)
            except (StorageFailure, Refused):
                log.debug("the journal waits for postgres")
            except Exception as error:  # its own text may quote a row
                log.error("the journal cannot be brought in: %s", type(error).__name__)
            try:
                async with asyncio.timeout(POLL_S):
                    await self._awake.wait()
            except TimeoutError:
                pass

    def _tell(self) -> None:
        beat = self.beat()
        instruments.JOURNAL_WAITING.set(beat.waiting)
        oldest_ms = beat.oldest_ms
        instruments.JOURNAL_OLDEST.set(0 if oldest_ms is None else max(0, self._now_ms() - oldest_ms) / 1000)


def _place(kept: LocalCase) -> int:
    """Who is brought in first: presses, which Postgres may have as well, then what was acted on."""
    return 0 if kept.presses else 1 if kept.acting else 2


def _since_ms(kept: LocalCase) -> int:
    """Since when a case waits: its last press here, or its raising."""
    return max((press.received_ms for press in kept.presses), default=kept.case.alert.raised_ms)


def _named(part: Hashable) -> str:
    """Return the name of a part of a round for the log."""
    if isinstance(part, frozenset):
        return "copies of alerts " + " ".join(sorted(map(str, part)))
    if isinstance(part, StatusReport):
        return f"a report of {part.provider} about {part.provider_id}"
    return str(part)
