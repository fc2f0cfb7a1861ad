"""Completes the alerts that were raised from a local copy, as soon as Postgres answers.

Mostly the import does (`realtime.store.alerts.ledger`). What is left are alerts that Postgres has and whose
contacts it could not read when they were stored, and alerts of the journal that it does not take.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from alerts.alert import Alert
from alerts.case import Case
from alerts.ports import StorageFailure
from realtime.aio import end
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.ports import Local
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.open_cases import OpenCases

log = logging.getLogger(__name__)

POLL_S: Final = 1.0
ASK_S: Final = 5.0
AT_ONCE: Final = 50
"""Alerts that one round completes at most, of Postgres and of the journal each; the next goes on."""


class Completer:
    """`start` begins to look; ``changed`` is given each alert of Postgres that was completed.

    ``delivers``: whether this process delivers from Postgres: such a process completes what is there.
    """

    def __init__(
        self,
        reach: DatabaseGuard,
        open_cases: OpenCases,
        ledger: PostgresLedger,
        local: Local,
        changed: Callable[[Alert], None],
        *,
        delivers: bool,
        poll_s: float = POLL_S,
    ) -> None:
        self._reach: Final = reach
        self._open: Final = open_cases
        self._ledger: Final = ledger
        self._local: Final = local
        self._changed: Final = changed
        self._delivers: Final = delivers
        self._poll_s: Final = poll_s
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        self._tasks = [asyncio.ensure_future(self._run())]

    async def stop(self) -> None:
        """Look no more."""
        await end(self._tasks)

    async def round(self) -> int:
        """Complete what can be; how many alerts were. Raises StorageFailure when Postgres is unavailable."""
        here = {kept.case.alert.alert_id for kept in self._local.all()}
        done = 0
        journal = [kept.case for kept in self._local.all() if kept.acting and not kept.case.copy.is_complete]
        for case in journal[:AT_ONCE]:
            done += await self._complete_here(case)
        stored = [case for key, case in self._open.cases.items() if key not in here] if self._delivers else []
        for case in [case for case in stored if not case.copy.is_complete][:AT_ONCE]:
            alert = await self._reach.ask(lambda case=case: self._ledger.complete(case), ASK_S)  # type: ignore[misc]
            if alert is not None:
                self._changed(alert)
                done += 1
        return done

    async def _complete_here(self, case: Case) -> bool:
        """Complete a case of the journal, which tells of its change itself."""
        rows = await self._ledger.circumstances_for(case)
        return rows is not None and await self._local.complete(case.alert.alert_id, rows) is not None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            if not self._reach.is_up:
                continue
            try:
                if done := await self.round():
                    log.info("%d alerts were completed with contacts of postgres", done)
            except StorageFailure:
                log.debug("alerts are not completed: postgres is unavailable")
            except Exception as error:  # its own text may quote a row
                log.error("alerts cannot be completed: %s", type(error).__name__)
