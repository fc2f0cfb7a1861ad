"""A map by the official client: drivers on one instance, the map on the other, over each transport."""

from typing import Any

import pytest

from tests.e2e.peer import Peer, peers
from tests.e2e.test_official_client import TRANSPORTS, Drive
from tests.e2e.world import World

AROUND = [[53.3, -3.1], [53.5, -2.8]]
ELSEWHERE = [[48.7, 2.1], [48.9, 2.5]]


async def look(peer: Peer, bbox: Any, zoom: float = 11.0) -> Any:
    return await peer.ask("watch", {"feed": {"area": {"bbox": bbox, "zoom": zoom}}})


def shown(peer: Peer, answers: list[Any]) -> dict[str, int]:
    """Driver → seq, as the page of docs/PROTOCOL.md keeps them, in the order in which it heard of them."""
    on_map: dict[str, int] = {}
    for line in peer.lines:
        if line.get("event") == "positions":
            _, positions, *left = line["args"]
        elif line.get("answer") in answers:
            positions, left = line["answer"]["snapshot"]["positions"], [line["answer"]["left"]]
            if line["answer"]["fresh"]:
                on_map.clear()
        else:
            continue
        on_map.update((driver, point[0]) for driver, _, point in positions)
        for driver in left[0] if left else ():
            on_map.pop(driver, None)
    return on_map


@pytest.mark.parametrize("by", TRANSPORTS)
async def test_a_map_on_another_instance_shows_who_comes_moves_and_goes(world: World, by: str) -> None:
    url, transports = world.cluster.url, TRANSPORTS[by]
    async with peers(2) as (app, viewer):
        here = await app.connect(url, "/driver", world.token("driver", "d1"), transports)
        there = next(name for name in world.cluster.instances if name != here)
        assert await viewer.connect(url, "/watch", world.token(), transports, there) == there
        drive = Drive(world, app)
        await drive.start()
        await drive.send(1, 3)
        answers = [await look(viewer, AROUND)]
        assert answers[0]["ok"] and answers[0]["fresh"], answers
        await viewer.until(lambda: shown(viewer, answers) == {"d1": 3}, "where it is")
        await drive.send(4, 4)
        await viewer.until(lambda: shown(viewer, answers) == {"d1": 4}, "it moves")
        answers.append(await look(viewer, ELSEWHERE))
        assert not answers[1]["fresh"] and answers[1]["left"] == ["d1"]
        await drive.send(5, 6)
        answers.append(await look(viewer, AROUND, 12.5))
        assert not answers[2]["fresh"]
        await viewer.until(lambda: shown(viewer, answers) == {"d1": 6}, "where it is now")
        far = await look(viewer, [[35, -20], [65, 25]], 3.5)
        assert far["mode"] == "counts" and [entry[3] for entry in far["counts"]] == [1]
