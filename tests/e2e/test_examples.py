"""The examples of docs/examples, as they stand, against the cluster."""

import asyncio

import pytest

from tests.client.test_examples import commands, run
from tests.e2e.world import World

__all__ = ["commands"]  # a fixture, found by its name here


@pytest.mark.parametrize("example", ["driver.mjs", "driver.py"])
async def test_an_example_driver_is_followed_by_the_example_viewer(
    world: World, commands: dict[str, list[str]], example: str
) -> None:
    driver = asyncio.create_task(
        run(
            commands[example],
            WAYGUARD_URL=world.cluster.url,
            WAYGUARD_TOKEN=world.token("driver", "d1"),
            WAYGUARD_POINTS="60",
            WAYGUARD_INTERVAL_MS="50",
        )
    )
    async with asyncio.timeout(60.0):
        while not (ends := await world.ends()):
            await asyncio.sleep(0.05)
    (journey_id,) = ends
    places = {"WAYGUARD_URL": world.cluster.url, "WAYGUARD_TOKEN": world.token()}
    viewer = asyncio.create_task(
        run(commands["viewer.mjs"], **places, WAYGUARD_JOURNEY=journey_id, WAYGUARD_UNTIL="60")
    )
    code, output, said = await driver
    assert code == 0, output
    assert said["journey"] == journey_id and said["points"] == said["through"] == "60"
    code, output, said = await viewer
    assert code == 0, output
    assert (said["through"], said["points"], said["gaps"], said["duplicates"]) == ("60", "60", "0", "0")
    assert [row.seq for row in await world.stored(journey_id)] == list(range(1, 61))
    code, output, said = await run(
        commands["viewer.mjs"], **places, WAYGUARD_VENDOR=world.vendor, WAYGUARD_UNTIL="1"
    )
    assert code == 0 and said["drivers"] == "1", output
