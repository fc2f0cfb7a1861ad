"""What the mirror shows of Postgres, of all tenants at once."""

from typing import Final, NamedTuple
from uuid import UUID

from alerts.alert import Alert
from realtime.store.alerts.rows import alert_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL: Final = load("mirror")
JOURNEYS_SHOWN: Final = 20_000
ALERTS_SHOWN: Final = 5_000
"""The newest; more are not mirrored."""


class JourneyRow(NamedTuple):
    """An open journey."""

    tenant: str
    vendor: str
    driver: str
    journey_id: UUID
    started_ms: int
    vehicle: str | None


async def open_journeys(db: Database) -> list[JourneyRow]:
    """Every open journey. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["open_journeys"], JOURNEYS_SHOWN)
    return [
        JourneyRow(tenant, vendor, driver, UUID(int=journey.int), started_ms, vehicle)
        for tenant, vendor, driver, journey, started_ms, vehicle in rows
    ]


async def open_alerts(db: Database) -> list[Alert]:
    """Every open alert. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["open_alerts"], ALERTS_SHOWN)
    return [alert_of(row) for row in rows]
