"""Other people's things: another tenant's, another driver's, what a share does not show."""

import asyncio
import json
from uuid import uuid4

from tests.sockets.hostile.kit import World, code
from tests.sockets.kit import good


async def test_another_tenants_journey_is_as_if_it_were_not_there(world: World) -> None:
    before = await world.before()

    def positions(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(1, t_ms=7)]}])

    def later(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(4, t_ms=7)]}])

    def hole(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "points": [good(99, t_ms=7)]}])

    def only_latest(journey_id: str) -> str:
        return json.dumps(["positions", {"journey_id": journey_id, "latest": good(99, t_ms=7)}])

    def end(journey_id: str) -> str:
        return json.dumps(["journey:end", {"journey_id": journey_id, "ended_at": 5, "last_seq": 3}])

    colleague = await world.server.driver("stranger", "t2", "v2")
    namesake = await world.server.driver("victim", "t1", "v1")
    for driver in (world.driver, colleague, namesake):
        for make in (positions, later, hole, only_latest, end):
            theirs = await driver.ask_text("/driver", make(world.victim_journey))
            nobodys = await driver.ask_text("/driver", make(str(uuid4())))
            assert theirs == nobodys
            assert code(json.loads(theirs)[0]) == "not_found"
    after = await world.before()
    assert after["journeys"] == before["journeys"]
    assert after["journey_points"] == before["journey_points"]
    await world.others_are_served()


async def test_a_stranger_who_asks_first_does_not_answer_for_the_owner(world: World) -> None:
    """The owner's question must not be answered by what a stranger was told a moment before."""
    owner = await world.server.driver("owner", "t2", "v2")
    journey_id = await world.server.journey(owner, points=1)
    for seq in range(2, 12):
        world.server.instance.journey_logs._logs.clear()  # as on an instance that has never met the journey
        body = {"journey_id": journey_id, "points": [good(seq)]}
        theirs, own = await asyncio.gather(
            world.driver.ask("/driver", "positions", body), owner.ask("/driver", "positions", body)
        )
        assert code(theirs) == "not_found"
        assert own["ok"], own


async def test_batches_sent_at_once_to_an_instance_that_has_never_met_the_journey_are_all_taken(
    world: World,
) -> None:
    driver = await world.server.driver("hasty")
    journey_id = await world.server.journey(driver)
    world.server.instance.journey_logs._logs.clear()
    answers = await asyncio.gather(
        *(
            driver.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(seq)]})
            for seq in range(1, 21)
        )
    )
    assert [answer.get("through") for answer in answers] == list(range(1, 21))


async def test_another_tenants_feeds_are_as_if_they_were_not_there(world: World) -> None:
    nowhere = str(uuid4())
    await world.server.driver("only-in-t2", "t2", "v2")
    all_of_t1 = await world.server.viewer("t1", None)
    for viewer in (world.viewer, all_of_t1):
        for name, theirs, nobodys in (
            ("journey", world.victim_journey, nowhere),
            ("driver", "only-in-t2", "nobody"),
        ):
            answers = [
                (await viewer.ask_text("/watch", json.dumps(["watch", {"feed": {name: each}}])))
                for each in (theirs, nobodys)
            ]
            assert answers[0] == answers[1]
            assert code(json.loads(answers[0])[0]) == "not_found"
    answers = [
        await world.viewer.ask_text("/watch", json.dumps(["watch", {"feed": {"vendor": each}}]))
        for each in ("v2", "no-such-vendor")
    ]
    assert answers[0] == answers[1]
    assert code(json.loads(answers[0])[0]) == "not_found"
    # With all vendors of t1, t2's vendor is one of t1 that has nobody in it.
    answer = await all_of_t1.ask("/watch", "watch", {"feed": {"vendor": "v2"}})
    assert answer["snapshot"] == {"positions": [], "presence": {}, "alerts": []}
    await world.victim.ask("/driver", "positions", {"journey_id": world.victim_journey, "latest": good(4)})
    await world.others_are_served()
    assert all_of_t1.events("/watch", "positions") == []


async def test_a_driver_sees_itself_and_nobody_else(world: World) -> None:
    raw = await world.server.raw()
    token = world.server.token("driver", "t1", ["v1"], driver="d1")
    assert await raw.connect("/watch", token=token) == {}
    other = await world.server.driver("d2")
    others_journey = await world.server.journey(other)
    for feed in ({"vendor": "v1"}, {"driver": "d2"}, {"journey": others_journey}):
        assert code(await raw.ask("/watch", "watch", {"feed": feed})) == "not_found"
    assert (await raw.ask("/watch", "watch", {"feed": {"driver": "d1"}}))["ok"]
    assert (await raw.ask("/watch", "watch", {"feed": {"journey": world.journey}}))["ok"]


async def test_a_share_sees_its_journey_and_nothing_else(world: World) -> None:
    raw = await world.server.raw()
    assert await raw.connect("/watch", share=world.victim_share) == {}
    for feed in ({"vendor": "v2"}, {"driver": "victim"}, {"journey": world.journey}):
        assert code(await raw.ask("/watch", "watch", {"feed": feed})) == "not_found"
    assert (await raw.ask("/watch", "watch", {"feed": {"journey": world.victim_journey}}))["ok"]
    who = await raw.ask("/watch", "whoami")
    assert (who["role"], who["journey_id"], who["vendors"]) == ("share", world.victim_journey, [])
