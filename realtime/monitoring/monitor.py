"""The auditor: looks every ten seconds for alerts that nobody was reached for, messages that nobody takes,
processes that are silent; and says so by metric, log and webhook. Ids only.

Any number of processes may try; the one that holds the lease audits. It calls an outside monitor every
minute while nothing is wrong: when everything of ours is dead, that call is what fails to come.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from realtime.aio import end
from realtime.metrics import instruments
from realtime.monitoring.checks import HANGING_MS, HARMLESS, Finding, FindingKind, findings
from realtime.protocol import Refused
from realtime.store.alerts import health
from realtime.store.alerts.health import BeatDetail, HealthSnapshot
from realtime.store.db import leases
from realtime.store.db.database import Database

log = logging.getLogger(__name__)

AUDIT_S: Final = 10.0
LEASE_S: Final = 30.0
BEAT_S: Final = 5.0
HEARTBEAT_S: Final = 60.0
REMIND_S: Final = 600.0
"""What stays wrong is said again so often."""
CALL_TIMEOUT_S: Final = 10.0
LEASE: Final = "auditor"

Tell = Callable[[list[Finding]], Awaitable[bool]]
"""Tells the operator; whether they were told."""
Call = Callable[[], Awaitable[bool]]
"""Calls the outside monitor; whether it answered."""


class AlertMonitor:
    """Audits while it holds the lease. ``tell`` and ``heartbeat``: None when there is nobody to tell or to
    call.
    """

    def __init__(
        self,
        db: Database,
        process: str,
        *,
        tell: Tell | None = None,
        heartbeat: Call | None = None,
        clock: Callable[[], float] = time.monotonic,
        max_rows: int = health.LOOKED_AT,
    ) -> None:
        self._db: Final = db
        self._process: Final = process
        self._tell: Final = tell
        self._heartbeat: Final = heartbeat
        self._clock: Final = clock
        self._max_rows: Final = max_rows
        self._said: dict[FindingKind, tuple[frozenset[str], float]] = {}
        """What the operator was told of, and when."""
        self._beaten_s = float("-inf")
        self._is_ours = False

    async def round(self) -> list[Finding] | None:
        """One audit; None while another process does it. Raises Refused(unavailable)."""
        if await leases.take(self._db, LEASE, self._process, LEASE_S) is None:
            self._stand_back()
            return None
        self._is_ours = True
        seen = await health.look(self._db, HANGING_MS, self._max_rows)
        found = findings(seen)
        _show(seen, found)
        await self._say(found)
        if all(finding.kind in HARMLESS for finding in found):
            await self._call()
        return found

    async def stop(self) -> None:
        """Let another process audit at once."""
        if self._is_ours:
            self._stand_back()
            try:
                await leases.give_back(self._db, LEASE, self._process)
            except Refused:
                log.debug("the auditor's lease runs out by itself")

    def _stand_back(self) -> None:
        self._is_ours = False
        self._said.clear()
        _show(HealthSnapshot(0), [])

    async def _say(self, found: list[Finding]) -> None:
        """Tell of what is new, and again of what stays wrong."""
        now_s = self._clock()
        news = [finding for finding in found if self._is_news(finding, now_s)]
        wrong = {finding.kind for finding in found}
        self._said = {kind: said for kind, said in self._said.items() if kind in wrong}
        for finding in news:
            ids = ", ".join(finding.ids)
            log.error("%s: %d since %d: %s", finding.kind, finding.count, finding.since_ms, ids)
        if news and await self._told(news):
            self._said |= {finding.kind: (frozenset(finding.ids), now_s) for finding in news}

    def _is_news(self, finding: Finding, now_s: float) -> bool:
        ids, said_s = self._said.get(finding.kind, (frozenset(), float("-inf")))
        return not ids.issuperset(finding.ids) or now_s - said_s >= REMIND_S

    async def _told(self, news: list[Finding]) -> bool:
        if self._tell is None:
            return True
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                told = await self._tell(news)
        except Exception as error:
            log.warning("the operator cannot be told: %s", type(error).__name__)
            return False
        return told

    async def _call(self) -> None:
        if self._heartbeat is None or self._clock() - self._beaten_s < HEARTBEAT_S:
            return
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answered = await self._heartbeat()
        except Exception as error:
            log.warning("the outside monitor cannot be called: %s", type(error).__name__)
            return
        if answered:
            self._beaten_s = self._clock()
        else:
            log.warning("the outside monitor refused the heartbeat")


def _show(seen: HealthSnapshot, found: list[Finding]) -> None:
    counts = {finding.kind: finding.count for finding in found}
    for kind in FindingKind:
        instruments.AUDITOR_FINDINGS.labels(kind.value).set(counts.get(kind, 0))
    for channel in instruments.CHANNELS:
        instruments.ATTEMPTS_WAITING.labels(channel).set(seen.waiting.get(channel, 0))
    instruments.ALERTS_OPEN.set(seen.open_count)
    instruments.AUDITED_MS.set(seen.now_ms)


class Pulse:
    """Says that this process is alive, and what waits on its disk. ``detail`` is asked at each beat.

    `start` begins to say it every `BEAT_S`, where nobody else calls `beat`; `stop` ends it.
    """

    def __init__(
        self, db: Database, process: str, role: str, detail: Callable[[], BeatDetail] = BeatDetail
    ) -> None:
        self._db: Final = db
        self._process: Final = process
        self._role: Final = role
        self._detail: Final = detail
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Say it again and again."""
        self._task = asyncio.create_task(self._run(), name="pulse")

    async def beat(self) -> None:
        """Say it once. Raises Refused(unavailable)."""
        await health.beat(self._db, self._process, self._role, self._detail())

    async def stop(self) -> None:
        """This process stops because it was told to."""
        if self._task is not None:
            await end([self._task])
        try:
            await health.end_beat(self._db, self._process)
        except Refused:
            log.debug("a last beat was not heard")

    async def _run(self) -> None:
        while True:
            try:
                await self.beat()
            except Refused:
                log.debug("a beat was not heard")
            except Exception as error:
                log.error("no beat can be given: %s", type(error).__name__)
            await asyncio.sleep(BEAT_S)
