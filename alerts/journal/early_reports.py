"""Providers' words of messages that nobody here has recorded yet: callbacks may be quicker than answers."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from alerts.attempt import Attempt, StatusReport
from alerts.journal.store import CaseStore
from alerts.ports import StorageUnavailable

MAX_EARLY: Final = 2_000
"""In memory the oldest is forgotten beyond it; on the disk no more are taken."""


class EarlyReportLog:
    """Those that were only heard, in memory, and those that ``keeping`` has on the disk for Postgres."""

    def __init__(self, keeping: CaseStore) -> None:
        self._keeping: Final = keeping
        self._heard: Final[OrderedDict[StatusReport, None]] = OrderedDict()

    def hear(self, report: StatusReport) -> None:
        """Have it in memory for a while."""
        self._heard[report] = None
        if len(self._heard) > MAX_EARLY:
            self._heard.popitem(last=False)

    def of(self, attempt: Attempt) -> Iterator[StatusReport]:
        """What was said of a message that is known now."""
        for report in [*self._heard, *self._keeping.early]:
            if (report.provider, report.provider_id) == (attempt.provider, attempt.provider_id):
                self._heard.pop(report, None)
                yield report

    async def keep(self, report: StatusReport) -> None:
        """Have it on the disk until `forget`. Raises StorageFailure."""
        if len(self._keeping.early) >= MAX_EARLY:
            raise StorageUnavailable("too many reports wait")
        await self._keeping.keep_early(report)

    def kept(self) -> list[StatusReport]:
        """All on the disk."""
        return list(self._keeping.early)

    async def forget(self, report: StatusReport) -> None:
        """Postgres has it."""
        await self._keeping.forget_early(report)
