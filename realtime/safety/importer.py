"""Brings what the journal of this process kept into Postgres, once that is back: each case once.

It may be stopped anywhere: an import is idempotent, and a case is forgotten here only after Postgres has
committed it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, Protocol
from uuid import UUID

from alerts.alert import Alert
from alerts.ports import Away
from realtime import metrics
from realtime.fanout.endings import end
from realtime.protocol import Refused
from realtime.safety.directory import Directory
from realtime.safety.ports import Copies, Kept, Local
from realtime.safety.reach import Reach
from realtime.store.alerts import PostgresLedger, Rejected
from realtime.store.audit import JournalBeat

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
IMPORT_S: Final = 10.0
"""One case at most; then Postgres counts as away."""
LOOK_AT: Final = 100
"""So many copies are compared with Postgres at once."""
REJECTED_S: Final = 30.0
"""A case that Postgres would not have is tried again after this; the others do not wait for it."""


class Answers(Protocol):
    """Part of `realtime.safety.book.SafeBook`."""

    async def hand_over(self) -> None:
        """Give Postgres what was answered meanwhile. Raises Away."""


class Importer:
    """`start` begins to look; ``wake`` when Postgres is back."""

    def __init__(
        self,
        reach: Reach,
        ledger: PostgresLedger,
        local: Local,
        copies: Copies,
        directory: Directory,
        imported: Callable[[Alert], None],
        now_ms: Callable[[], int],
        answers: Answers | None = None,
    ) -> None:
        self._reach: Final = reach
        self._ledger: Final = ledger
        self._local: Final = local
        self._copies: Final = copies
        self._directory: Final = directory
        self._imported: Final = imported
        self._now_ms: Final = now_ms
        self._answers: Final = answers
        self._rejected: dict[UUID, float] = {}
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

    def beat(self) -> JournalBeat:
        """What waits here."""
        kept = self._local.all()
        oldest = min((_since_ms(one) for one in kept), default=None)
        return JournalBeat(len(kept), oldest)

    async def round(self) -> int:
        """Bring in all that waits; how many cases went. Raises Away when Postgres is."""
        self._tell()
        went = await self._let_go()
        for kept in sorted(self._local.all(), key=_place):
            alert_id = kept.case.alert.alert_id
            if kept.presses or kept.acting or not self._copies.is_anothers(alert_id):
                went += await self._bring(alert_id)
        for report in self._local.early.kept():
            async with _rejected_is_logged("a provider's report"):
                await self._reach.ask(lambda report=report: self._ledger.report(report), IMPORT_S)  # type: ignore[misc]
                await self._local.early.forget(report)
        if self._directory.unsaid:
            async with _rejected_is_logged("opt-outs"):
                await self._reach.ask(self._directory.hand_over, IMPORT_S)
        if self._answers is not None:
            async with _rejected_is_logged("answers"):
                await self._answers.hand_over()
        self._tell()
        return went

    async def _let_go(self) -> int:
        """Forget copies that Postgres has all of; how many. After an absence most are of alerts to which
        nothing happened, or whose news another process has brought in: importing each would take long.
        """
        copies = [kept for kept in self._local.all() if not kept.presses]
        went = 0
        for at in range(0, len(copies), LOOK_AT):
            some = {kept.case.alert.alert_id: kept for kept in copies[at : at + LOOK_AT]}
            known: set[UUID] = set()
            async with _rejected_is_logged("replicas"):
                known = await self._reach.ask(
                    lambda some=some: self._ledger.known([(k.case, k.audit) for k in some.values()]),  # type: ignore[misc]
                    IMPORT_S,
                )
            gone = await asyncio.gather(*(self._forget(some[alert_id]) for alert_id in known))
            await self._copies.withdraw(*(alert_id for alert_id in gone if alert_id is not None))
            went += sum(alert_id is not None for alert_id in gone)
        return went

    async def _forget(self, kept: Kept) -> UUID | None:
        """Forget a case that Postgres knows as ``kept``, unless it has changed; which it was."""
        alert_id = kept.case.alert.alert_id
        async with self._local.hold(alert_id) as found:
            if found != kept:
                return None
            await self._local.forget(alert_id)
        metrics.JOURNAL_IMPORTED.labels("known").inc()
        return alert_id

    async def _bring(self, alert_id: UUID) -> bool:
        if self._rejected.get(alert_id, 0.0) > time.monotonic():
            return False
        async with self._local.hold(alert_id) as kept:
            if kept is None:
                return False
            try:
                alert = await self._reach.ask(lambda: self._put(kept), IMPORT_S)
            except Rejected:
                log.error("postgres would not have an alert of the journal")
                metrics.JOURNAL_IMPORTED.labels("rejected").inc()
                self._rejected[alert_id] = time.monotonic() + REJECTED_S
                return False
            await self._local.forget(alert_id)
        self._rejected.pop(alert_id, None)
        metrics.JOURNAL_IMPORTED.labels("ok").inc()
        await self._copies.withdraw(alert_id)
        self._imported(alert)
        return True

    async def _put(self, kept: Kept) -> Alert:
        return await self._ledger.import_case(kept.case, kept.presses, kept.audit, self._now_ms())

    async def _run(self) -> None:
        while True:
            self._awake.clear()
            try:
                if went := await self.round():
                    log.info("%d alerts of the journal are in postgres", went)
            except (Away, Refused):
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
        metrics.JOURNAL_WAITING.set(beat.waiting)
        oldest_ms = beat.oldest_ms
        metrics.JOURNAL_OLDEST.set(0 if oldest_ms is None else max(0, self._now_ms() - oldest_ms) / 1000)


@asynccontextmanager
async def _rejected_is_logged(what: str) -> AsyncIterator[None]:
    """Let the rest of a round go on when Postgres fails one part of it, which is tried again next round."""
    try:
        yield
    except Rejected:
        log.error("postgres failed the import of %s", what)


def _place(kept: Kept) -> int:
    """Who is brought in first: presses, which Postgres may have as well, then what was acted on."""
    return 0 if kept.presses else 1 if kept.acting else 2


def _since_ms(kept: Kept) -> int:
    """Since when a case waits: its last press here, or its raising."""
    return max((press.received_ms for press in kept.presses), default=kept.case.alert.raised_ms)
