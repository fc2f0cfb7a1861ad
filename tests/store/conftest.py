"""A `Database` on the test's own database, and points put there without the committer."""

from collections.abc import AsyncIterator, Iterable
from uuid import UUID

import pytest

from geo.position import Point
from realtime.settings import Settings
from realtime.store.db.database import Database

PUT = """
INSERT INTO journey_points (journey_id, tenant_id, seq, t_ms, lat, lon, received_ms, speed_mps, heading_deg,
                            accuracy_m, altitude_m, battery_pct, void_reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, db_timeout_s=10)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings)
    yield opened
    await opened.close()


async def put(
    db: Database, tenant: str, journey_id: UUID, points: Iterable[Point], received_ms: int | None = None
) -> None:
    """Store ``points`` as they are; received at their own time unless told otherwise."""
    rows = [
        (journey_id, tenant, p.seq, p.t_ms, p.lat, p.lon, received_ms or p.t_ms or 0,
         p.speed_mps, p.heading_deg, p.accuracy_m, p.altitude_m, p.battery_pct,
         "no_fix" if p.lat is None else None)
        for p in points
    ]  # fmt: skip
    async with db.writer() as connection:
        await connection.executemany(PUT, rows)
