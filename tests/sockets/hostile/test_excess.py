"""Too much of what is allowed, by tenants of their own: what they may do in ten seconds is then used up."""

import asyncio
import json
from uuid import uuid4

from realtime.settings import Settings
from tests.sockets.hostile.kit import World, code
from tests.sockets.kit import Server, good, serving, until


async def test_a_flood_of_acks_and_faults_harms_nobody(world: World) -> None:
    raw = await world.server.driver("flood")
    for number in range(3_000):
        await raw.say(f"43/driver,{number}[]")
        await raw.say("42/driver,[")
    assert code(await raw.ask("/driver", "nope")) == "unknown_event"
    await world.others_are_served()


async def test_a_thousand_feeds_are_not_watched_by_one_viewer(server: Server, world: World) -> None:
    raw = await server.viewer("crowd", None)
    limit = server.instance.settings.max_feeds_per_viewer
    codes: dict[str, int] = {}
    for start in range(0, 1_000, 20):
        answers = await asyncio.gather(
            *(raw.ask("/watch", "watch", {"feed": {"vendor": f"many{n}"}}) for n in range(start, start + 20))
        )
        for answer in answers:
            outcome = "ok" if answer["ok"] else code(answer)
            codes[outcome] = codes.get(outcome, 0) + 1
    assert codes["ok"] == limit
    assert set(codes) <= {"ok", "too_many_feeds", "rate_limited"}
    answer = await raw.ask("/watch", "watch", {"feed": {"vendor": "many0"}})
    assert answer["ok"], "what one watches already is not one more"
    await raw.close()
    await until(lambda: server.instance.live.hub.counts().members["vendor"] < limit, "the members' end")
    await world.others_are_served()


async def test_too_many_requests_at_once_are_told_to_come_back(world: World) -> None:
    raw = await world.server.viewer("hurry", None)
    for number in range(200):
        await raw.say(f'42/watch,{number + 1000}["watch",{{"feed":{{"driver":"nobody{number}"}}}}]')
    answers = [json.loads(await raw.packet(f"43/watch,{number + 1000}"))[0] for number in range(200)]
    codes = {code(answer) for answer in answers}
    assert codes <= {"not_found", "overloaded"}
    assert "overloaded" in codes
    assert all(a["error"].get("retry_after_s") for a in answers if a["error"]["code"] == "overloaded")


async def test_more_points_a_second_than_agreed_are_told_to_wait(settings: Settings) -> None:
    changed = Settings(**{**settings.model_dump(), "driver_points_burst": 500, "driver_points_per_s": 1})
    async with serving(changed) as server:
        driver = await server.driver("hurried")
        journey_id = await server.journey(driver, points=400)
        more = {"journey_id": journey_id, "points": [good(seq) for seq in range(401, 601)]}
        answer = await driver.ask("/driver", "positions", more)
        assert code(answer) == "rate_limited"
        assert answer["error"]["retryable"]
        assert answer["error"]["retry_after_s"] > 1
        few = {"journey_id": journey_id, "points": [good(seq) for seq in range(401, 451)]}
        assert (await driver.ask("/driver", "positions", few))["through"] == 450


async def test_more_starts_than_agreed_are_told_to_wait(world: World) -> None:
    raw = await world.server.driver("starter")
    codes = set()
    for _ in range(130):
        payload = {"client_journey_id": str(uuid4()), "started_at": 1}
        answer = await raw.ask("/driver", "journey:start", payload)
        if not answer["ok"]:
            codes.add(code(answer))
            break
    assert codes == {"rate_limited"}
