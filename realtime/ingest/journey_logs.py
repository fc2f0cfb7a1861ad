"""The logs of journeys that this instance knows, and reading those that it does not."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

from realtime.ingest.journey import JourneyLog
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.journeys import journeys

log = logging.getLogger(__name__)

MAX_WAITING_FOR_HEAD: Final = 64
MAX_JOURNEYS_LOOKED_UP: Final = 5_000
READS_AT_ONCE: Final = 2
"""Looking up journeys must not take every database connection from those who commit."""
FORGET_AFTER_S: Final = 900.0
Found = Callable[[JourneyLog | Refused], None]
"""Takes the log of a journey, or why there is none."""


class JourneyLogs:
    """`find` gives the log of a journey, at once when it is known here. Those who ask keep their order."""

    def __init__(self, db: Database) -> None:
        self._db: Final = db
        self._logs: Final[dict[str, JourneyLog]] = {}
        # By tenant too: what one is answered must not answer another who asks for the same id.
        self._loading: Final[dict[tuple[str, UUID], list[Found]]] = {}
        self._reads: Final = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def opened(self, head: journeys.JourneyHead) -> JourneyLog:
        """Remember a journey whose head was just read."""
        known = self._logs.get(str(head.journey_id))
        if known is None:
            known = JourneyLog(
                head.journey_id, head.tenant, head.vendor, head.driver, head.last_seq, head.created_ms
            )
            self._logs[known.text] = known
        known.learned(head.last_seq, head.final_seq, expired=head.expired)
        known.used_s = time.monotonic()
        return known

    def forget_idle(self) -> None:
        """Drop what was not used for `FORGET_AFTER_S`."""
        before_s = time.monotonic() - FORGET_AFTER_S
        for journey_id, known in list(self._logs.items()):
            if known.used_s < before_s and known.waiting == 0:
                del self._logs[journey_id]

    def forget(self, journey: JourneyLog) -> None:
        """Read the head of ``journey`` again before its next batch: what is known of it may be wrong."""
        if self._logs.get(journey.text) is journey:
            del self._logs[journey.text]

    def find(self, tenant: str, text: str, now_s: float, found: Found) -> None:
        """Call ``found`` with the log of the journey whose id is ``text``."""
        known = self._logs.get(text)
        if known is not None and not self._loading:
            known.used_s = now_s
            found(known)
            return
        journey_id = UUID(text)
        waiting = self._loading.get((tenant, journey_id))
        if waiting is not None:
            if len(waiting) >= MAX_WAITING_FOR_HEAD:
                found(Refused(Code.OVERLOADED, "the journey is still being read, try again", retry_after_s=1))
            else:
                waiting.append(found)
        elif known is not None:
            known.used_s = now_s
            found(known)
        else:
            self.read(tenant, journey_id, found)

    def read(self, tenant: str, journey_id: UUID, found: Found) -> None:
        """Call ``found`` with the log as the store has it: another instance may have stored more of it."""
        if len(self._loading) >= MAX_JOURNEYS_LOOKED_UP:
            found(Refused(Code.OVERLOADED, "too many journeys are being read, try again", retry_after_s=1))
            return
        self._loading.setdefault((tenant, journey_id), []).append(found)
        task = asyncio.ensure_future(self._load(tenant, journey_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, tenant: str, journey_id: UUID) -> None:
        result: JourneyLog | Refused
        try:
            async with self._reads:
                head = await journeys.head(self._db, tenant, journey_id)
            result = unknown_journey() if head is None else self.opened(head)
        except Refused as refusal:
            result = refusal
        except Exception:
            log.exception("a journey's head cannot be read")
            result = Refused(Code.INTERNAL, "journey cannot be read", retry_after_s=2)
        for found in self._loading.pop((tenant, journey_id), ()):
            found(result)


def unknown_journey() -> Refused:
    """The refusal for a journey that does not exist, or is of another driver."""
    return Refused(Code.NOT_FOUND, "journey is not known")
