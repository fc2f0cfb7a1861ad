"""Areas over real engines: who may look where, what a move costs and brings, and vendors that come later."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from realtime.sockets import area as area_module
from tests.sockets.kit import PATIENCE_S, Raw, Server, now_ms, until

LIVERPOOL = [[53.35, -3.05], [53.45, -2.85]]
MANCHESTER = [[53.43, -2.35], [53.53, -2.15]]
BOTH = [[53.3, -3.1], [53.6, -2.1]]
HERE, THERE, NOWHERE = (53.4, -2.95), (53.48, -2.25), (48.85, 2.35)


class Driver:
    """A driver that can be put somewhere."""

    def __init__(self, raw: Raw, journey_id: str) -> None:
        self.raw, self.journey_id, self.seq = raw, journey_id, 0

    async def at(self, place: tuple[float, float]) -> None:
        self.seq += 1
        points = [[self.seq, now_ms(), *place, 8.0]]
        answer = await self.raw.ask("/driver", "positions", {"journey_id": self.journey_id, "points": points})
        assert answer["ok"], answer


class Fleet:
    """A tenant of its own."""

    def __init__(self, server: Server) -> None:
        self.server, self.tenant = server, f"t-{uuid4().hex[:12]}"

    async def driver(self, name: str, place: tuple[float, float], vendor: str = "v1") -> Driver:
        raw = await self.server.driver(name, self.tenant, vendor)
        made = Driver(raw, await self.server.journey(raw))
        await made.at(place)
        return made

    async def viewer(self, vendors: Any = ("v1",)) -> Raw:
        """A dispatcher of ``vendors``; None: of all of the tenant's."""
        return await self.server.viewer(self.tenant, vendors)


@pytest.fixture
async def fleet(server: Server) -> AsyncIterator[Fleet]:
    before = len(server.opened)
    yield Fleet(server)
    for raw in server.opened[before:]:
        await raw.close()
    del server.opened[before:]


async def look(viewer: Raw, bbox: Any, zoom: Any = 11, **more: Any) -> dict[str, Any]:
    return await viewer.ask("/watch", "watch", {"feed": {"area": {"bbox": bbox, "zoom": zoom, **more}}})


def drivers(answer: dict[str, Any]) -> list[str]:
    assert answer["ok"], answer
    return sorted(driver for driver, _, _ in answer["snapshot"]["positions"])


def gone(viewer: Raw) -> list[str]:
    """Who was said to have left the map by an event."""
    return [name for arguments in viewer.events("/watch", "positions") for name in (arguments[2:] or [[]])[0]]


def seen(viewer: Raw) -> dict[str, Any]:
    """Where each driver was put by events."""
    return {d: point[2] for a in viewer.events("/watch", "positions") for d, _, point in a[1]}


async def test_a_map_is_answered_with_who_is_there_and_told_who_comes_and_goes(fleet: Fleet) -> None:
    one, two = await fleet.driver("d1", HERE), await fleet.driver("d2", NOWHERE)
    viewer = await fleet.viewer()
    answer = await look(viewer, LIVERPOOL)
    assert drivers(answer) == ["d1"]
    assert {key: answer[key] for key in ("feed", "mode", "fresh", "left", "counts")} == {
        "feed": "area",
        "mode": "markers",
        "fresh": True,
        "left": [],
        "counts": [],
    }
    assert answer["snapshot"]["presence"]["d1"]["state"] == "online"
    await two.at((53.41, -2.9))
    await until(lambda: seen(viewer).get("d2") == 53.41, "it comes")
    arrival = await viewer.event("/watch", "presence")
    assert (arrival[0], arrival[1]["driver"], arrival[1]["state"]) == ("area", "d2", "online")
    await one.at(NOWHERE)
    await until(lambda: gone(viewer) == ["d1"], "it goes")
    assert "d1" not in seen(viewer)
    await two.raw.close()
    offline = await viewer.event("/watch", "presence")
    assert (offline[1]["driver"], offline[1]["state"]) == ("d2", "offline")


async def test_a_moved_map_is_told_the_difference(fleet: Fleet) -> None:
    for name, place in (("d1", HERE), ("d2", THERE), ("d3", NOWHERE)):
        await fleet.driver(name, place)
    viewer = await fleet.viewer()
    assert drivers(await look(viewer, LIVERPOOL)) == ["d1"]
    both = await look(viewer, BOTH, 9.5)
    assert (both["fresh"], drivers(both), both["left"]) == (False, ["d2"], [])
    other = await look(viewer, MANCHESTER, 12)
    assert (other["fresh"], drivers(other), other["left"]) == (False, [], ["d1"])
    assert (await viewer.ask("/watch", "unwatch", {"feed": "area"}))["ok"]
    assert (await viewer.ask("/watch", "unwatch", {"feed": "area"}))["error"]["code"] == "not_found"
    again = await look(viewer, MANCHESTER, 12)
    assert (again["fresh"], drivers(again)) == (True, ["d2"])


async def test_from_far_away_drivers_are_counted(fleet: Fleet) -> None:
    one = await fleet.driver("d1", HERE)
    await fleet.driver("d2", HERE)
    viewer = await fleet.viewer()
    answer = await look(viewer, [[35.0, -20.0], [65.0, 25.0]], 3.5)
    assert answer["mode"] == "counts" and drivers(answer) == []
    ((cell, lat, lon, number),) = answer["counts"]
    assert len(cell) == 15 and number == 2 and abs(lat - 53) < 5 and abs(lon + 3) < 8
    await one.at(NOWHERE)
    _, changed = await viewer.event("/watch", "counts")
    assert sorted(entry[3] for entry in changed) == [1, 1]
    assert viewer.events("/watch", "positions") == []


async def test_a_viewer_sees_its_vendors_and_no_other_tenant(fleet: Fleet, server: Server) -> None:
    stranger = Fleet(server)
    for vendor in ("v1", "v2", "v3"):
        await fleet.driver(f"d-{vendor}", HERE, vendor)
    other = await stranger.driver("d-stranger", HERE, "v1")
    narrow, wide, all_ = (
        await fleet.viewer(["v1"]),
        await fleet.viewer(["v1", "v2"]),
        await fleet.viewer(None),
    )
    assert drivers(await look(narrow, LIVERPOOL)) == ["d-v1"]
    assert drivers(await look(wide, LIVERPOOL)) == ["d-v1", "d-v2"]
    assert drivers(await look(all_, LIVERPOOL)) == ["d-v1", "d-v2", "d-v3"]
    some = await look(all_, LIVERPOOL, vendors=["v2"])
    assert (some["fresh"], drivers(some), some["left"]) == (False, [], ["d-v1", "d-v3"])
    for vendors in (["v1", "v3"], ["no-such"]):
        assert (await look(narrow, LIVERPOOL, vendors=vendors))["error"]["code"] == "not_found"
    nobody = await fleet.viewer([])
    assert drivers(await look(nobody, LIVERPOOL)) == []
    await other.at((53.41, -2.9))
    mine = await fleet.driver("d-last", HERE, "v1")
    await mine.at((53.42, -2.9))
    await until(lambda: "d-last" in seen(narrow), "its own")
    assert "d-stranger" not in json.dumps([v.packets for v in (narrow, wide, all_, nobody)])


async def test_who_sees_the_whole_tenant_sees_vendors_that_come_later(fleet: Fleet) -> None:
    viewer, bound = await fleet.viewer(None), await fleet.viewer(["v1"])
    for raw in (viewer, bound):
        assert drivers(await look(raw, LIVERPOOL)) == []
    late = await fleet.driver("d-late", HERE, "brand-new")
    await until(lambda: "d-late" in seen(viewer), f"the new vendor's driver in {PATIENCE_S:g} s")
    await late.at((53.42, -2.9))
    await until(lambda: seen(viewer)["d-late"] == 53.42, "it moves")
    assert seen(bound) == {}


async def test_drivers_and_shares_have_no_areas(fleet: Fleet, server: Server) -> None:
    await fleet.driver("d1", HERE)
    raw = await server.raw()
    token = server.token("driver", fleet.tenant, ["v1"], driver="d1")
    assert await raw.connect("/watch", token=token) == {}
    assert (await look(raw, LIVERPOOL))["error"]["code"] == "forbidden"


@pytest.mark.parametrize(
    ("area", "code"),
    [
        ({"bbox": LIVERPOOL}, "invalid"),
        ({"zoom": 3}, "invalid"),
        ({"bbox": [53.35, -3.05, 53.45, -2.85], "zoom": 3}, "invalid"),
        ({"bbox": [[53.35, -3.05], [53.45]], "zoom": 3}, "invalid"),
        ({"bbox": [[53.35, -3.05], [53.45, None]], "zoom": 3}, "invalid"),
        ({"bbox": [["53.35", -3.05], [53.45, -2.85]], "zoom": 3}, "invalid"),
        ({"bbox": [[True, False], [1, 1]], "zoom": 3}, "invalid"),
        ({"bbox": [[53.45, -3.05], [53.35, -2.85]], "zoom": 3}, "invalid"),
        ({"bbox": [[-91, 0], [0, 1]], "zoom": 3}, "invalid"),
        ({"bbox": [[0, -541], [1, 1]], "zoom": 3}, "invalid"),
        ({"bbox": [[0, 0], [1, 1e300]], "zoom": 3}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": -1}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": 25}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": "9"}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": 9, "vendors": "v1"}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": 9, "vendors": ["no good"]}, "invalid"),
        ({"bbox": LIVERPOOL, "zoom": 9, "more": 1}, "invalid"),
        (3, "invalid"),
    ],
)
async def test_what_is_no_area_is_refused_and_changes_nothing(fleet: Fleet, area: Any, code: str) -> None:
    await fleet.driver("d1", HERE)
    viewer = await fleet.viewer()
    assert drivers(await look(viewer, LIVERPOOL)) == ["d1"]
    answer = await viewer.ask("/watch", "watch", {"feed": {"area": area}})
    assert answer["error"]["code"] == code and not answer["error"]["retryable"]
    same = await look(viewer, LIVERPOOL)
    assert (same["fresh"], drivers(same), same["left"]) == (False, [], [])


@pytest.mark.parametrize(
    "bbox", [[[-90, -180], [90, 180]], [[-90, -500], [90, 500]], [[53.4, -2.95], [53.4, -2.95]]]
)
async def test_the_whole_world_and_a_single_place_are_areas(fleet: Fleet, bbox: Any) -> None:
    await fleet.driver("d1", HERE)
    for zoom in (0, 9.75, 24):
        answer = await look(await fleet.viewer(), bbox, zoom)
        shown = sum(entry[3] for entry in answer["counts"]) + len(drivers(answer))
        assert shown == 1


async def test_an_area_and_another_feed_are_not_one_request(fleet: Fleet) -> None:
    viewer = await fleet.viewer()
    both = {"area": {"bbox": LIVERPOOL, "zoom": 9}, "vendor": "v1"}
    assert (await viewer.ask("/watch", "watch", {"feed": both}))["error"]["code"] == "invalid"


async def test_moving_without_end_is_refused_for_a_while_and_the_last_view_stands(fleet: Fleet) -> None:
    one = await fleet.driver("d1", HERE)
    viewer = await fleet.viewer()
    answers = [await look(viewer, LIVERPOOL if n % 2 else MANCHESTER) for n in range(60)]
    refused = [answer["error"] for answer in answers if not answer["ok"]]
    assert refused
    for error in refused:
        assert error["code"] == "rate_limited" and error["retryable"]
        assert 0 < error["retry_after_s"] <= 1 / area_module.MOVES_PER_S
    await until_ok(viewer, MANCHESTER)
    assert (await viewer.ask("/watch", "watch", {"feed": {"vendor": "v1"}}))["ok"], (
        "other feeds are not moves"
    )
    await one.at(THERE)
    await until(lambda: "d1" in seen(viewer), "it is seen there")


async def until_ok(viewer: Raw, bbox: Any) -> None:
    """Look, as often as it takes."""
    while not (await look(viewer, bbox))["ok"]:
        pass


async def test_moves_sent_at_once_take_their_turns_and_the_last_one_stands(fleet: Fleet) -> None:
    for name, place in (("d1", HERE), ("d2", THERE)):
        await fleet.driver(name, place)
    viewer = await fleet.viewer(None)
    boxes = [LIVERPOOL, MANCHESTER, BOTH, MANCHESTER, LIVERPOOL]
    for number, bbox in enumerate(boxes, 901):
        body = json.dumps(["watch", {"feed": {"area": {"bbox": bbox, "zoom": 11}}}])
        await viewer.say(f"42/watch,{number}{body}")
    shown: set[str] = set()
    for number in range(901, 901 + len(boxes)):
        answer = json.loads(await viewer.packet(f"43/watch,{number}"))[0]
        shown = (set() if answer["fresh"] else shown) | set(drivers(answer)) - set(answer["left"])
        shown -= set(answer["left"])
    assert shown == {"d1"}


async def test_nothing_is_left_of_who_has_gone(fleet: Fleet) -> None:
    hub, watch = fleet.server.instance.live.hub, fleet.server.instance._watch_events._area
    viewers = [await fleet.viewer(vendors) for vendors in (["v1"], None)]
    before = len(watch)
    for viewer in viewers:
        await look(viewer, LIVERPOOL)
    assert len(watch) == before + 2
    held = hub.counts().members["area"]
    assert held >= 2
    await viewers[0].close()
    await viewers[1].say("41/watch,")
    await until(lambda: len(watch) == before and hub.counts().members["area"] == held - 2, "nothing is left")
