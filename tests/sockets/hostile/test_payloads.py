"""Events whose content cannot be: points, watches, starts and ends."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.sockets.hostile.kit import World, code
from tests.sockets.kit import good, now_ms

J = object()
"""Stands for the driver's own journey in a table of payloads."""


def filled(value: Any, world: World) -> Any:
    if value is J:
        return world.journey
    if isinstance(value, dict):
        return {name: filled(inner, world) for name, inner in value.items()}
    return value


BAD_IDS: list[Any] = ["", "a/b", "../x", "a.b", "\0", "x" * 10_000, 5, None, True, [], {}, "%00", "null"]
BAD_TYPES: list[Any] = [None, 5, 1.5, True, "x", [], {}, "\0", 2**63, -1, [[]], {"$gt": ""}]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"journey_id": J, "points": [[-1, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[0, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[2**63, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[2**31, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [["7", 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[None, 1, 1.5, 1.5]]}, "invalid"),
        ({"journey_id": J, "points": [[]]}, "invalid"),
        ({"journey_id": J, "points": ["x"]}, "invalid"),
        ({"journey_id": J, "points": [{"seq": 4}]}, "invalid"),
        ({"journey_id": J, "points": "x"}, "invalid"),
        ({"journey_id": J, "points": {"0": []}}, "invalid"),
        ({"journey_id": J, "points": [good(4), good(6)]}, "invalid"),
        ({"journey_id": J, "points": [good(5), good(4)]}, "invalid"),
        ({"journey_id": J, "points": [good(6)]}, "expected_seq"),
        ({"journey_id": J, "points": [good(2**31 - 1)]}, "expected_seq"),
        ({"journey_id": J, "points": [good(seq) for seq in range(4, 505)]}, "too_many_points"),
        ({"journey_id": J, "points": [good(3, t_ms=5)]}, "conflict"),
        ({"journey_id": J, "skip": [4, 20_000, "lost"]}, "invalid"),
        ({"journey_id": J, "skip": [6, 7, "lost"]}, "expected_seq"),
        ({"journey_id": J, "skip": [1, 2, "lost"]}, "conflict"),
        ({"journey_id": J, "skip": [4, 5, "\0"]}, "invalid"),
        ({"journey_id": J, "skip": ["4", "5", "lost"]}, "invalid"),
        ({"journey_id": J, "skip": {"from": 4}}, "invalid"),
        ({"points": [good(4)]}, "invalid"),
        ({}, "invalid"),
        ([], "invalid"),
        (None, "invalid"),
        ("positions", "invalid"),
        (5, "invalid"),
        *(({"journey_id": bad, "points": [good(4)]}, "invalid") for bad in BAD_IDS),
        ({"journey_id": str(uuid4()), "points": [good(1)]}, "not_found"),
        ({"journey_id": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "points": [good(1)]}, "not_found"),
    ],
)
async def test_points_that_cannot_be_taken_are_refused_with_a_code(
    world: World, payload: Any, expected: str
) -> None:
    before = await world.before()
    answer = await world.driver.ask("/driver", "positions", filled(payload, world))
    assert code(answer) == expected
    assert answer["error"]["retryable"] == (expected == "expected_seq")
    if expected == "expected_seq":
        assert answer["error"]["expected"] == 4
    await world.unchanged(before)


async def test_bad_points_are_voids_with_a_reason_and_good_ones_beside_them_are_stored(world: World) -> None:
    driver = await world.server.driver("voids")
    journey_id = await world.server.journey(driver)
    year_ms = 365 * 86_400_000
    points: list[Any] = [
        good(1),
        [2, now_ms(), 91, 0.5],
        [3, now_ms(), 0.5, -181],
        [4, now_ms(), None, None],
        [5, -1, 53.4, -2.9],
        [6, now_ms(), "53.4", -2.9],
        [7, now_ms(), 53.4, -2.9, "fast", {}, [], True, "x"],
        good(8, t_ms=0),
        good(9, t_ms=now_ms() + year_ms),
        [10, now_ms(), 53.4, -2.9, -1, -1, -1, -1, -1],
    ]
    answer = await driver.ask("/driver", "positions", {"journey_id": journey_id, "points": points})
    assert answer == {
        "ok": True,
        "through": 10,
        "voided": [
            [2, "lat_out_of_range"],
            [3, "lon_out_of_range"],
            [4, "no_fix"],
            [5, "bad_time"],
            [6, "bad_type"],
        ],
    }
    async with world.server.db.writer() as connection:
        rows = await connection.fetch(
            "SELECT seq, lat, void_reason, clock_odd FROM journey_points WHERE journey_id = $1 ORDER BY seq",
            UUID(journey_id),
        )
    assert [row["seq"] for row in rows] == list(range(1, 11))
    assert [row["seq"] for row in rows if row["clock_odd"]] == [8, 9], "points from 1970 and next year"
    assert [row["seq"] for row in rows if row["void_reason"]] == [2, 3, 4, 5, 6]
    await world.others_are_served()


@pytest.mark.parametrize("event", ["positions", "journey:start", "journey:end"])
@pytest.mark.parametrize(
    "body",
    [
        '{"journey_id":"%s","points":[[4,1,NaN,1]]}',
        '{"journey_id":"%s","points":[[4,1,Infinity,1]]}',
        '{"journey_id":"%s","points":[[4,1,1,1]',
        '{"journey_id":"%s"}]extra',
        "{'journey_id':'%s'}",
        '{"journey_id":"%s","points":' + "[" * 50_000 + "]" * 50_000 + "}",
        '{"journey_id":"%s","latest":' + '{"a":' * 20_000 + "1" + "}" * 20_000 + "}",
    ],
)
async def test_a_frame_that_is_no_json_is_malformed_and_not_to_be_sent_again(
    world: World, event: str, body: str
) -> None:
    before = await world.before()
    full = f'["{event}",{body.replace("%s", world.journey)}]'
    answer = json.loads(await world.driver.ask_text("/driver", full))[0]
    assert code(answer) in {"malformed", "invalid"}
    assert answer["error"]["retryable"] is False
    await world.unchanged(before)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        *(({"feed": bad}, "invalid") for bad in BAD_TYPES),
        *((bad, "invalid") for bad in BAD_TYPES),
        *(({"feed": {"vendor": bad}}, "invalid") for bad in BAD_IDS if bad not in ("a.b", "null", None)),
        *(({"feed": {"journey": bad}}, "invalid") for bad in BAD_IDS),
        *(({"feed": {"driver": bad}}, "invalid") for bad in ("", "a/b", "\0", "x" * 10_000, 5, [], {})),
        ({"feed": {"vendor": "v1", "driver": "d1"}}, "invalid"),
        ({"feed": {"vendor": "v1", "extra": 1}}, "invalid"),
        ({"feed": {"area": {"bbox": [0, 0, 1, 1], "zoom": 3}}}, "invalid"),
        ({"feed": {"vendor": "V1"}}, "not_found"),
        ({"feed": {"vendor": "v1 "}}, "invalid"),
        *(
            ({"feed": {"journey": J, "since_seq": bad}}, "invalid")
            for bad in (-1, "1", 1.5, [], 2**70, 4, 2**31, 2**63)
        ),
    ],
)
async def test_a_watch_that_makes_no_sense_is_refused_with_a_code(
    world: World, payload: Any, expected: str
) -> None:
    if isinstance(payload, dict) and isinstance(payload.get("feed"), dict):
        payload = {"feed": filled(payload["feed"], world)}
    before = world.server.instance.live.hub.counts()
    assert code(await world.viewer.ask("/watch", "watch", payload)) == expected
    assert world.server.instance.live.hub.counts() == before
    await world.others_are_served()


@pytest.mark.parametrize(
    "feed", [None, 5, "", "vendor:v1", "journey:x", "x" * 10_000, "\0", {"vendor": "v1"}, []]
)
async def test_what_is_not_watched_cannot_be_left(world: World, feed: Any) -> None:
    raw = await world.server.viewer()
    assert code(await raw.ask("/watch", "unwatch", {"feed": feed})) in {"invalid", "not_found"}


@pytest.mark.parametrize(
    "change",
    [
        *({"client_journey_id": bad} for bad in BAD_IDS),
        *({"started_at": bad} for bad in (None, "now", "1.5", -1, 2**63, 2**70, [], True)),
        *({"vehicle": bad} for bad in (5, "v" * 101, [], {}, "nul\0")),
        {"destination": "x" * 17_000},
        {"route": [[1.5, 2.5]] * 2_000},
    ],
)
async def test_a_start_that_makes_no_sense_starts_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.before()
    payload = {"client_journey_id": str(uuid4()), "started_at": now_ms(), **change}
    assert code(await world.driver.ask("/driver", "journey:start", payload)) == "invalid"
    await world.unchanged(before)


@pytest.mark.parametrize(
    "extra", [{"a": "\0"}, [1, [2, [3]]], "text \ud83d\ude00", {"$where": "1"}, -1e308, [[1.5, 2.5]] * 500]
)
async def test_a_destination_may_be_any_json(world: World, extra: Any) -> None:
    driver = await world.server.driver("any-json")
    payload = {"client_journey_id": str(uuid4()), "started_at": 0, "destination": extra, "route": extra}
    assert (await driver.ask("/driver", "journey:start", payload))["ok"]


@pytest.mark.parametrize(
    "change",
    [
        *({"journey_id": bad} for bad in BAD_IDS),
        *({"ended_at": bad} for bad in (None, "now", "1.5", -1, 2**63)),
        *({"last_seq": bad} for bad in (None, "3", -1, 2**31, 2**63, 1.5)),
    ],
)
async def test_an_end_that_makes_no_sense_ends_nothing(world: World, change: dict[str, Any]) -> None:
    before = await world.before()
    payload = {"journey_id": world.journey, "ended_at": now_ms(), "last_seq": 3, **change}
    assert code(await world.driver.ask("/driver", "journey:end", payload)) == "invalid"
    await world.unchanged(before)


async def test_nothing_is_taken_beyond_the_declared_end(world: World) -> None:
    driver = await world.server.driver("ender")
    journey_id = await world.server.journey(driver, points=2)
    assert (
        await driver.ask("/driver", "journey:end", {"journey_id": journey_id, "ended_at": 1, "last_seq": 3})
    )["ok"]
    beyond = {"journey_id": journey_id, "points": [good(3), good(4)]}
    assert code(await driver.ask("/driver", "positions", beyond)) == "journey_ended"
    assert (await driver.ask("/driver", "positions", {"journey_id": journey_id, "points": [good(3)]}))["ok"]
