"""Every open alert with all that belongs to it, kept in memory for when Postgres goes away."""

import logging
from typing import Final
from uuid import UUID

from alerts.case import Case
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.store.alerts import rows as alert_rows
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL: Final = load("alert_reads")
_log = logging.getLogger(__name__)

MOST: Final = 1_000
"""Beyond it the alerts raised longest ago are left out: their first rounds are over."""
READ_A_LOOK: Final = 200
"""So many are read by one look, the unknown first: a thousand at once must not stop what the process does."""
OVERLAP_MS: Final = 10_000
"""What was written so shortly before a look the next reads again: its transaction may have ended later."""


class OpenCases:
    """``cases`` as of the last `look`; empty before the first.

    ``max_reads_per_poll``: cases that one `look` reads, the unknown ones first.
    """

    def __init__(self, db: Database, *, max_reads_per_poll: int = READ_A_LOOK) -> None:
        self._db: Final = db
        self._max_reads_per_poll: Final = max_reads_per_poll
        self._written_ms: dict[UUID, int] = {}
        self._noted: dict[UUID, Case] = {}
        self.cases: dict[UUID, Case] = {}

    def note(self, case: Case) -> None:
        """Have a case that was committed just now, until a look that began later tells of it."""
        self._noted[case.alert.alert_id] = case
        self.cases.setdefault(case.alert.alert_id, case)

    async def look(self) -> None:
        """Read what is open, and of that what may have changed. Raises Refused(unavailable)."""
        noted = set(self._noted)
        async with self._db.writer() as connection:  # across tenants
            rows = await connection.fetch(_SQL["open_written"], MOST)
            written_ms = {UUID(int=row["alert_id"].int): int(row["written_ms"]) for row in rows}
            recent_ms = rows[0]["now_ms"] - OVERLAP_MS if rows else 0
        stale = [one for one, at_ms in written_ms.items() if self._is_stale(one, at_ms, recent_ms)]
        stale.sort(key=lambda one: (one in self.cases, self._written_ms.get(one) == written_ms[one]))
        read = await self._read(stale[: self._max_reads_per_poll])
        known = self.cases | read
        self._written_ms = {
            one: at_ms if one in read else self._written_ms[one]
            for one, at_ms in written_ms.items()
            if one in read or one in self._written_ms
        }
        told = noted - (written_ms.keys() - self._written_ms.keys())  # read, or closed already
        self._noted = {one: case for one, case in self._noted.items() if one not in told}
        self.cases = self._noted | {one: known[one] for one in self._written_ms}

    async def _read(self, wanted: list[UUID]) -> dict[UUID, Case]:
        """All of ``wanted`` at once; one by one when a statement fails, so that a damaged row hides no other.

        One that cannot be read stays as it was last read, and counts as read.
        """
        if not wanted:
            return {}
        try:
            async with self._db.writer() as connection:
                return await alert_rows.look_all(connection, wanted)
        except Refused:
            raise
        except Exception as error:  # a failed statement, or a value that cannot be decoded
            _log.error("open alerts cannot be read together: %s", type(error).__name__)
            instruments.ALERT_STORE_FAULTS.inc()
        read: dict[UUID, Case] = {}
        for alert_id in wanted:
            try:
                async with self._db.writer() as connection:
                    read |= await alert_rows.look_all(connection, [alert_id])
            except Refused:
                raise
            except Exception as error:
                _log.error("open alert %s cannot be read: %s", alert_id, type(error).__name__)
                if (known := self.cases.get(alert_id)) is not None:
                    read[alert_id] = known
        return read

    def _is_stale(self, alert_id: UUID, written_ms: int, recent_ms: int) -> bool:
        return written_ms >= recent_ms or self._written_ms.get(alert_id) != written_ms
