"""Cases that are decided upon at once and kept on disk; held by one who may not be disturbed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from alerts.attempt import StatusReport
from alerts.case import Case, Changes
from alerts.clock_skew import settled_into
from alerts.journal.append_log import JOURNAL_LIMITS, AppendLog, JournalLimits, Need
from alerts.journal.index import CaseIndex
from alerts.journal.records import Delta, EarlyReport, Gone, JournalCase, Whole, delta_of, replayed, written
from alerts.ports import StorageUnavailable

Move = Callable[[Case, int], Changes]


class CaseStore:
    """`open` first. What is planned in ``shelf`` is on its way to the disk; ``on_change`` is told when it is
    there.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        now_ms: Callable[[], int],
        on_change: Callable[[JournalCase], None] | None = None,
        limits: JournalLimits = JOURNAL_LIMITS,
    ) -> None:
        self.shelf: Final = CaseIndex()
        self.early: dict[StatusReport, None] = {}
        """Providers' words of nothing that was known here."""
        self.on_change = on_change
        self.now_ms: Final = now_ms
        self.closing: Final[set[UUID]] = set()
        """Cases of which nothing new is sent."""
        self._file: Final = AppendLog(folder, key, self._whole, self.shelf.give_up, limits)
        self._sending: Final[dict[UUID, dict[UUID, int]]] = {}
        self._landed: Final = asyncio.Event()
        self._held: Final[dict[UUID, asyncio.Event]] = {}

    async def open(self) -> int:
        """Read the journal; how many of its records made no sense. Raises InUse, OSError."""
        cases, early, unread = replayed(await self._file.open())
        for kept in cases.values():
            self.shelf.put(kept)
            self.shelf.see(kept)
        self.early = dict.fromkeys(early)
        return unread

    async def close(self) -> None:
        """Write what waits, and let go of the folder."""
        await self._file.close()

    @property
    def is_full(self) -> bool:
        """Whether copies of what others have are not taken any more."""
        return self._file.is_full()

    # --- changing

    async def change(self, alert_id: UUID, move: Move) -> Changes | None:
        """Let ``move`` change a case, once nobody holds it; None when it is not here."""
        await self.free(alert_id)
        kept = self.shelf.planned(alert_id)
        if kept is None:
            return None
        now_ms = self.now_ms()
        changes = move(settled_into(kept.case, now_ms), now_ms)
        after = self.after(kept, changes, now_ms)
        if after == kept:
            await self.flushed()
        else:
            await self.keep(kept, after, changes.next_ms)
        return changes

    def after(self, kept: JournalCase, changes: Changes, now_ms: int) -> JournalCase:
        """``kept`` with ``changes``; the very same when there are none."""
        if changes.case == kept.case and not changes.audit:
            return kept
        return replace(kept, case=changes.case, audit=kept.audit + changes.audit, changed_ms=now_ms)

    def keep(
        self,
        before: JournalCase | None,
        after: JournalCase,
        next_ms: int | None,
        *,
        need: Need = Need.DELIVERY,
    ) -> "asyncio.Future[None]":
        """Plan ``after`` at once; the future is done when it is on the disk."""
        record = Whole(after) if before is None else delta_of(before, after)

        def see() -> None:
            self.shelf.see(after)
            if self.on_change is not None:
                self.on_change(after)

        return self._append(record, see, lambda: self.shelf.put(after, next_ms), need)

    async def forget(self, alert_id: UUID) -> None:
        """The case is not needed any more."""
        await self._append(Gone(alert_id), lambda: self.shelf.drop(alert_id), need=Need.DELIVERY)

    async def keep_early(self, report: StatusReport) -> None:
        """Keep a provider's word."""
        await self._append(EarlyReport(report), lambda: self.early.setdefault(report))

    async def forget_early(self, report: StatusReport) -> None:
        """It is not needed any more."""
        await self._append(EarlyReport(report, kept=False), lambda: self.early.pop(report, None))

    async def flushed(self) -> None:
        """Wait until all that is planned is on the disk. Raises StorageFailure when it cannot be."""
        await self._file.flushed()

    def _append(
        self,
        record: Whole | Delta | Gone | EarlyReport,
        seen: Callable[[], object],
        plan: Callable[[], object] = lambda: None,
        need: Need = Need.ROUTINE,
    ) -> "asyncio.Future[None]":
        content = written(record)
        if (objection := self._file.objection(content, need)) is not None:
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(StorageUnavailable(objection))
            return refused
        plan()
        return self._file.append(content, lambda: (seen(), None)[1])

    def _whole(self) -> list[bytes]:
        kept = [written(Whole(one)) for one in self.shelf.all_seen()]
        return kept + [written(EarlyReport(report)) for report in self.early]

    # --- holding

    def sends(self, alert_id: UUID, attempt_ids: Sequence[UUID], until_ms: int) -> None:
        """These messages are under way, until then at most."""
        self._sending.setdefault(alert_id, {}).update(dict.fromkeys(attempt_ids, until_ms))

    def landed(self, alert_id: UUID, attempt_id: UUID) -> None:
        """It is not under way any more."""
        under_way = self._sending.get(alert_id, {})
        under_way.pop(attempt_id, None)
        if not under_way:
            self._sending.pop(alert_id, None)
        self._landed.set()

    async def free(self, alert_id: UUID) -> bool:
        """Wait while somebody holds the case; whether anybody did. Then nobody does until the next await."""
        waited = False
        while (held := self._held.get(alert_id)) is not None:
            waited = True
            await held.wait()
        return waited

    @asynccontextmanager
    async def hold(self, alert_id: UUID, hold_s: float) -> AsyncIterator[JournalCase | None]:
        """Nothing else changes the case meanwhile, and nothing new of it is sent."""
        await self.free(alert_id)
        kept = self.shelf.planned(alert_id)
        if kept is None:
            yield None
            return
        alert_id = kept.case.alert.alert_id
        self.closing.add(alert_id)
        released = asyncio.Event()
        try:
            await self._until_landed(alert_id, hold_s)
            self._held[alert_id] = released
            await self.flushed()
            yield self.shelf.seen(alert_id)
        finally:
            self._held.pop(alert_id, None)
            self.closing.discard(alert_id)
            released.set()

    async def _until_landed(self, alert_id: UUID, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                while any(until_ms > self.now_ms() for until_ms in self._sending.get(alert_id, {}).values()):
                    self._landed.clear()
                    await self._landed.wait()
        except TimeoutError:
            return  # whoever takes it over looks it up
