"""What the hooks of providers look up and remember: `realtime.hooks.ports.Book` in Postgres."""

from typing import Final
from uuid import UUID

from msgspec import Struct

from realtime.store import contacts
from realtime.store.database import Database
from realtime.store.queries import load

_SQL = load("hooks")

KEPT_MS: Final = 30 * 86_400_000
"""The alert of a call is long closed by then, so a key that is said again changes nothing anyway. Texts are
remembered for good: one of last year would answer the alert of today, or undo a STOP."""


class Asked(Struct, frozen=True):
    """The last message to a number about an alert that is open."""

    alert_id: UUID
    attempt_id: UUID
    contact_id: str


class HookBook:
    """Everything raises Refused(unavailable) with Postgres away."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_asked(self, phone: str) -> Asked | None:
        """The last text or call to ``phone`` about an open alert, of whichever tenant."""
        async with self._db.writer() as connection:
            row = await connection.fetchrow(_SQL["last_asked"], phone)
        if row is None:
            return None
        return Asked(UUID(int=row["alert_id"].int), UUID(int=row["attempt_id"].int), row["contact_id"])

    async def is_known(self, answer_id: str) -> bool:
        """Whether this answer was taken before."""
        async with self._db.writer() as connection:
            return bool(await connection.fetchval(_SQL["is_known"], answer_id))

    async def keep(self, answer_id: str) -> None:
        """This answer was taken."""
        async with self._db.writer() as connection:
            await connection.execute(_SQL["keep"], answer_id)

    async def opt_out(self, phone: str) -> int:
        """``phone`` wants nothing more; in how many tenants that is new."""
        return await contacts.opt_out(self._db, phone)

    async def opt_in(self, phone: str) -> int:
        """``phone`` wants messages again; in how many tenants that is new."""
        return await contacts.opt_in(self._db, phone)


async def forget_answers(db: Database) -> None:
    """Forget keys of long ago. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(_SQL["forget"], KEPT_MS)
