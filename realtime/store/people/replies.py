"""What the hooks of providers look up and remember: `realtime.hooks.ports.Book` in Postgres."""

from typing import Final
from uuid import UUID

from msgspec import Struct

from alerts.addresses.phone import spellings
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.people import contacts

_SQL = load("hooks")

KEPT_MS: Final = 30 * 86_400_000
"""The alert of a call is long closed by then, so a key that is said again changes nothing anyway. Texts are
remembered for good: one of last year would answer the alert of today, or undo a STOP."""


MAX_ASKED: Final = 20
"""Open alerts of one phone among which an answer is given its own: real ones without a responder first."""


class LastMessage(Struct, frozen=True):
    """The last message to a phone about an alert that is open; ``sent_ms``: when it went out."""

    alert_id: UUID
    attempt_id: UUID
    contact_id: str
    sent_ms: int = 0


class ReplyStore:
    """Everything raises Refused(unavailable) with Postgres away."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last_asked(self, phone: str) -> list[LastMessage]:
        """The last text or call to ``phone`` about each open alert, of whichever tenant; `MAX_ASKED` at
        most.
        """
        async with self._db.writer() as connection:
            rows = await connection.fetch(_SQL["last_asked"], list(spellings(phone)), MAX_ASKED)
        return [
            LastMessage(
                UUID(int=row["alert_id"].int),
                UUID(int=row["attempt_id"].int),
                row["contact_id"],
                row["sent_ms"],
            )
            for row in rows
        ]

    async def is_known(self, answer_id: str) -> bool:
        """Whether this answer was taken before."""
        async with self._db.writer() as connection:
            return bool(await connection.fetchval(_SQL["is_known"], answer_id))

    async def keep(self, answer_id: str) -> None:
        """This answer was taken."""
        async with self._db.writer() as connection:
            await connection.execute(_SQL["keep"], answer_id)

    async def lock(self, name: str, holder: str, lease_ms: int) -> bool:
        """Acquire the lease ``name`` for ``holder`` for ``lease_ms``; False while another has it."""
        async with self._db.writer() as connection:
            return await connection.fetchval(_SQL["lock"], name, holder, lease_ms) is not None

    async def unlock(self, name: str, holder: str) -> None:
        """Release the lease ``name``, if ``holder`` still has it."""
        async with self._db.writer() as connection:
            await connection.execute(_SQL["unlock"], name, holder)

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
