"""Clocks that step, run behind or ahead: what drivers are answered, and what every viewer is shown."""

import asyncio
import json
import time
from typing import Any, Final

import jwt
import pytest

from tests.sockets.kit import PATIENCE_S, SECRET, Raw, Server, good, now_ms, until

HOUR_MS: Final = 3_600_000
WEEKS_1024_MS: Final = 1024 * 7 * 86_400_000


class Viewer:
    """Watches a driver; ``shown`` is the (journey, seq) of it that was told last."""

    def __init__(self, raw: Raw, driver: str, server: Server) -> None:
        self.raw, self.driver, self.server = raw, driver, server
        self.shown: tuple[str, int] | None = None

    def take(self, positions: list[Any]) -> None:
        for driver, journey, point in positions:
            if driver == self.driver:
                self.shown = (journey, point[0])

    async def watch(self) -> None:
        answer = await self.raw.ask("/watch", "watch", {"feed": {"driver": self.driver}})
        self.take(answer["snapshot"]["positions"])

    def told(self) -> tuple[str, int] | None:
        for _, positions in self.raw.events("/watch", "positions"):
            self.take(positions)
        return self.shown

    async def listed(self) -> tuple[str, int] | None:
        async with self.server.session.get(
            f"{self.server.url}/api/v1/vendors/v1/positions?limit=5000",
            headers={"Authorization": f"Bearer {self.server.token('dispatcher')}"},
        ) as response:
            rows = {row["driver"]: row for row in (await response.json())["positions"]}
        row = rows.get(self.driver)
        return None if row is None or row["point"] is None else (row["journey_id"], row["point"][0])

    async def shows(self, journey: str, seq: int) -> None:
        """The open feed, a new snapshot, Redis, and Postgres: all of them."""
        await until(lambda: self.told() == (journey, seq), f"seq {seq} in the feed")
        async with asyncio.timeout(PATIENCE_S):  # what viewers are sent is on its way to Redis
            while await self.listed() != (journey, seq):
                await asyncio.sleep(0.01)
        live = self.server.instance.live
        rebuilt = {stored.item.key: stored.item for stored in await live.origin._rebuilt("t1", "v1")}
        assert json.loads(rebuilt[self.driver].fragment)[1:2] == [journey]
        assert json.loads(rebuilt[self.driver].fragment)[2][0] == seq


async def watched(server: Server, name: str) -> tuple[Raw, Viewer]:
    driver = await server.driver(name)
    viewer = Viewer(await server.viewer(), name, server)
    await viewer.watch()
    return driver, viewer


async def send(driver: Raw, journey: str, *points: list[Any], **more: Any) -> dict[str, Any]:
    return await driver.ask("/driver", "positions", {"journey_id": journey, "points": points, **more})


async def end(driver: Raw, journey: str, last_seq: int) -> None:
    ended = {"journey_id": journey, "ended_at": now_ms(), "last_seq": last_seq}
    assert (await driver.ask("/driver", "journey:end", ended))["ok"]


@pytest.mark.parametrize("back_ms", [HOUR_MS, WEEKS_1024_MS])
async def test_the_live_position_follows_seq_when_the_clock_steps_back(server: Server, back_ms: int) -> None:
    driver, viewer = await watched(server, f"steps{back_ms}")
    journey = await server.journey(driver)
    assert (await send(driver, journey, good(1), good(2)))["ok"]
    await viewer.shows(journey, 2)
    assert (await send(driver, journey, good(3, now_ms() - back_ms)))["ok"]
    await viewer.shows(journey, 3)
    assert (await send(driver, journey, good(1), good(2)))["error"]["code"] == "conflict"
    await viewer.shows(journey, 3)


async def test_a_backlog_does_not_take_the_place_of_latest(server: Server) -> None:
    driver, viewer = await watched(server, "latest")
    journey = await server.journey(driver)
    assert (await send(driver, journey, good(1), latest=good(5, now_ms() - HOUR_MS)))["ok"]
    await until(lambda: viewer.told() == (journey, 5), "latest")
    assert (await send(driver, journey, good(2), good(3)))["ok"]
    assert (await send(driver, journey, good(4), good(5, now_ms() - HOUR_MS), good(6)))["ok"]
    await until(lambda: viewer.told() == (journey, 6), "seq 6")
    seqs = [p[2][0] for _, positions in viewer.raw.events("/watch", "positions") for p in positions]
    assert seqs == [5, 6]


async def test_a_new_journey_whose_clock_is_an_hour_behind_is_shown(server: Server) -> None:
    driver, viewer = await watched(server, "behind")
    first = await server.journey(driver, points=2)
    await viewer.shows(first, 2)
    await end(driver, first, 3)
    second = await server.journey(driver)
    assert (await send(driver, second, good(1, now_ms() - HOUR_MS)))["ok"]
    await viewer.shows(second, 1)
    assert (await send(driver, first, good(3)))["ok"], "the backlog of the first"
    await viewer.shows(second, 1)


async def test_of_two_open_journeys_the_one_heard_last_is_shown_and_after_its_end_the_other(
    server: Server,
) -> None:
    driver, viewer = await watched(server, "two")
    first = await server.journey(driver, points=1)
    second = await server.journey(driver, points=1)
    await viewer.shows(second, 1)
    assert (await send(driver, first, good(2)))["ok"]
    await viewer.shows(first, 2)
    await end(driver, first, 2)
    await viewer.shows(second, 1)
    await end(driver, second, 1)
    newcomer = Viewer(await server.viewer(), "two", server)
    await newcomer.watch()
    assert newcomer.shown == (second, 1)


@pytest.mark.parametrize(
    ("t", "code"),
    [
        (lambda: now_ms() // 1000, "time_in_seconds"),
        (lambda: now_ms() / 1000, "time_in_seconds"),
        (lambda: now_ms() * 1000, "bad_time"),
        (lambda: "yesterday", "bad_time"),
    ],
)
async def test_points_without_a_usable_time_are_refused_and_nothing_is_stored(
    server: Server, t: Any, code: str
) -> None:
    driver = await server.driver("seconds")
    journey = await server.journey(driver)
    answer = await send(driver, journey, *([seq, t(), 53.4, -2.9] for seq in (1, 2)))
    assert (answer["ok"], answer["error"]["code"], answer["error"]["retryable"]) == (False, code, False)
    body = {"journey_id": journey, "points": [[seq, t(), 53.4, -2.9] for seq in (1, 2)]}
    token = server.token("driver", driver="seconds")
    async with server.session.post(
        f"{server.url}/api/v1/positions", json=body, headers={"Authorization": f"Bearer {token}"}
    ) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == code
    assert (await send(driver, journey, good(1)))["through"] == 1


@pytest.mark.parametrize("fraction", [0.0, 0.235, 0.75])
async def test_times_with_a_fraction_are_rounded_everywhere(server: Server, fraction: float) -> None:
    driver = await server.driver("fraction")
    at_ms = now_ms()
    started = await driver.ask_text(
        "/driver",
        f'["journey:start",{{"client_journey_id":"{time.time_ns():032x}","started_at":{at_ms + fraction}}}]',
    )
    journey = json.loads(started)[0]["journey_id"]
    assert (await send(driver, journey, [1, at_ms + fraction, 53.4, -2.9]))["voided"] == []
    ended = {"journey_id": journey, "ended_at": at_ms + fraction, "last_seq": 1}
    assert (await driver.ask("/driver", "journey:end", ended))["ok"]
    async with server.session.get(
        f"{server.url}/api/v1/journeys/{journey}",
        headers={"Authorization": f"Bearer {server.token('dispatcher')}"},
    ) as response:
        found = (await response.json())["journey"]
    assert found["started_at"] == found["ended_at"] == round(at_ms + fraction)


@pytest.mark.parametrize("event", ["journey:start", "journey:end"])
async def test_a_journey_that_begins_or_ends_in_seconds_is_refused_by_that_name(
    server: Server, event: str
) -> None:
    driver = await server.driver("seconds")
    journey = await server.journey(driver)
    seconds = now_ms() // 1000
    payload = {"client_journey_id": journey, "journey_id": journey, "last_seq": 0}
    answer = await driver.ask("/driver", event, payload | {"started_at": seconds, "ended_at": seconds})
    assert answer["error"]["code"] == "time_in_seconds"


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "inf"])
async def test_a_nan_in_an_optional_value_costs_nothing_by_socket_and_by_http(
    server: Server, number: str
) -> None:
    driver = await server.driver("nan")
    journey = await server.journey(driver)
    body = '{"journey_id":"%s","points":[[%d,%d,53.4,-2.9,%s,null,%s]]}'
    answer = await driver.ask_text(
        "/driver", f'["positions",{body % (journey, 1, now_ms(), number, number)}]'
    )
    assert json.loads(answer)[0] == {"ok": True, "through": 1, "voided": []}
    async with server.session.post(
        f"{server.url}/api/v1/positions",
        data=body % (journey, 2, now_ms(), number, number),
        headers={"Authorization": f"Bearer {server.token('driver', driver='nan')}"},
    ) as response:
        assert await response.json() == {"ok": True, "through": 2, "voided": []}
    start = (
        f'["journey:start",{{"client_journey_id":"{journey}","started_at":{now_ms()},"route":[{number}]}}]'
    )
    assert json.loads(await driver.ask_text("/driver", start))[0]["ok"]


def token_ahead(claim: str, ahead_s: float) -> str:
    now_s = time.time()
    claims = {"sub": "d1", "role": "driver", "tenant": "t1", "vendors": ["v1"], "driver": "ahead", "jti": "j"}
    claims |= {"aud": "wayguard", "iss": "wayguard", "exp": int(now_s) + 10**6, claim: now_s + ahead_s}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@pytest.mark.parametrize("claim", ["iat", "nbf"])
async def test_a_token_a_minute_ahead_is_let_in_and_one_further_ahead_is_to_come_again(
    server: Server, claim: str
) -> None:
    raw = await server.raw()
    assert await raw.connect("/driver", token=token_ahead(claim, 58)) == {}
    refused = await (await server.raw()).connect("/driver", token=token_ahead(claim, 3_600))
    assert (refused["code"], refused["retryable"]) == ("token_not_yet_valid", True)
    for_sos = await server.raw()
    assert await for_sos.connect("/driver", token=token_ahead(claim, 3_600), sos=True) == {}
    (only,) = await for_sos.event("/driver", "sos:only")
    assert only["code"] == "token_not_yet_valid"
    headers = {"Authorization": f"Bearer {token_ahead(claim, 3_600)}"}
    async with server.session.post(f"{server.url}/api/v1/positions", json={}, headers=headers) as response:
        assert response.status == 401
        assert (await response.json())["error"]["retryable"] is True
        assert int(response.headers["Retry-After"]) <= 60
