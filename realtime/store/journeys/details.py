"""What a viewer of a journey is told of it beside its points: who drives, where to, by when."""

from typing import Final
from uuid import UUID

from msgspec import Raw, Struct

from realtime.store.db.database import Database
from realtime.store.db.queries import load

MAX_DESTINATION_CHARS: Final = 4_000

_SQL: Final = load("trip")


class JourneyDetails(Struct, frozen=True):
    """``destination`` is JSON as the app gave it; ``phone`` is for whoever may answer the driver's alerts."""

    name: str = ""
    phone: str | None = None
    destination: Raw | None = None
    arrive_by_ms: int | None = None


async def get(db: Database, tenant: str, journey_id: UUID) -> JourneyDetails:
    """The trip of a journey; empty where ``tenant`` has no such journey. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, journey_id)
    if row is None:
        return JourneyDetails()
    given = row["destination"]
    fits = given is not None and len(given) <= MAX_DESTINATION_CHARS
    destination = Raw(given.encode()) if fits else None
    return JourneyDetails(row["name"] or "", row["phone"], destination, row["arrive_by_ms"])
