"""Every open alert with all that belongs to it, kept in memory for when Postgres goes away."""

from typing import Final
from uuid import UUID

from alerts.case import Case
from realtime.store import alert_rows
from realtime.store.database import Database
from realtime.store.queries import load

_SQL: Final = load("alert_reads")

MOST: Final = 1_000
"""Beyond it the alerts raised longest ago are left out: their first rounds are over."""
OVERLAP_MS: Final = 10_000
"""What was written so shortly before a look the next reads again: its transaction may have ended later."""


class OpenCases:
    """``cases`` as of the last `look`; empty before the first."""

    def __init__(self, db: Database) -> None:
        self._db: Final = db
        self._written_ms: dict[UUID, int] = {}
        self.cases: dict[UUID, Case] = {}

    async def look(self) -> None:
        """Read what is open, and of that what may have changed. Raises Refused(unavailable)."""
        cases: dict[UUID, Case] = {}
        written_ms: dict[UUID, int] = {}
        async with self._db.writer() as connection:  # across tenants
            for row in await connection.fetch(_SQL["open_written"], MOST):
                alert_id = UUID(int=row["alert_id"].int)
                known = self.cases.get(alert_id)
                is_old = row["written_ms"] < row["now_ms"] - OVERLAP_MS
                if known is None or not is_old or self._written_ms.get(alert_id) != row["written_ms"]:
                    known = await alert_rows.look(connection, alert_id)
                if known is not None:
                    cases[alert_id] = known
                    written_ms[alert_id] = row["written_ms"]
        self.cases, self._written_ms = cases, written_ms
