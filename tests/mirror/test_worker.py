"""A whole worker writes the mirror where there is one, and lets another have it when it ends."""

from realtime.clock import wall_clock_ms
from realtime.processes.worker import Worker
from realtime.settings import Settings
from tests.fanout.kit import until
from tests.mirror.conftest import World


async def test_a_worker_mirrors_and_the_next_one_goes_on(world: World) -> None:
    journey_id = await world.journey("d1", now_ms=wall_clock_ms())
    given = {
        "auth_secret": "a secret of the tests that is long enough",
        "firebase_database_url": world.server.database_url,
    }
    for number in (1, 2):
        settings = Settings(
            database_url=world.postgres.url,  # type: ignore[arg-type]
            redis_url=world.redis_cut.url,  # type: ignore[arg-type]
            instance_name=f"worker{number}",
            **given,  # type: ignore[arg-type]
        )
        async with Worker.open(settings):
            await until(lambda n=number: _fence(world) == n, "the next writer")  # type: ignore[misc]
            await until(lambda: world.server.at(f"journeys/acme/taxi/{journey_id}"), "the journey")


def _fence(world: World) -> int | None:
    return (world.server.at("mirror") or {}).get("fence")
