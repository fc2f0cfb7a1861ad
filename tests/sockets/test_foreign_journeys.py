"""An SOS that names a journey which is not its driver's own changes nothing for that journey."""

from uuid import UUID, uuid4

import pytest

from realtime.settings import Settings
from realtime.store.journeys.upkeep import run_once
from tests.sockets.kit import Server, now_ms


async def press(server: Server, tenant: str, driver: str, journey_id: str) -> None:
    """A driver's SOS over HTTP, as any app can send it."""
    token = server.token("driver", tenant, ["v1"], driver=driver)
    async with server.session.post(
        f"{server.url}/api/v1/sos",
        json={"sos_id": str(uuid4()), "journey_id": journey_id},
        headers={"Authorization": f"Bearer {token}"},
    ) as response:
        assert response.status == 200, await response.text()


async def copied(server: Server, settings: Settings, journey_id: str) -> int:
    """How many points of the journey are kept beyond their time, after an upkeep."""
    await run_once(settings, now_ms())
    async with server.db.writer() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM incident_points WHERE journey_id = $1", UUID(journey_id)
        )
    return count


@pytest.mark.parametrize("tenant", ["t-foreign", "t1"])
async def test_an_sos_of_another_driver_does_not_prolong_the_keeping_of_points(
    server: Server, settings: Settings, tenant: str
) -> None:
    driver = f"d-{uuid4()}"
    raw = await server.driver(driver)
    journey_id = await server.journey(raw, points=3)
    other = f"d-{uuid4()}" if tenant == "t1" else driver  # another tenant's may have the same id
    await press(server, tenant, other, journey_id)
    assert await copied(server, settings, journey_id) == 0
    await press(server, "t1", driver, journey_id)
    assert await copied(server, settings, journey_id) == 3, "its own driver's SOS does"
