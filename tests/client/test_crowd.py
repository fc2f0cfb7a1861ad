"""The made-up fleet's own rules: when journeys end, what it reports, how it copes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random

import pytest

from geo.streets import build_city
from realtime.client.crowd import Crowd
from tests.client.fake import FakeServer, fake_server

CITY = build_city(3, blocks=5)


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


def crowd_of(fake: FakeServer, size: int, **options: float) -> Crowd:
    names = [f"d{number}" for number in range(size)]
    return Crowd(fake.url, CITY, names, lambda name: f"token-{name}", rng=Random(1), **options)  # type: ignore[arg-type]


def show(done: float, text: str) -> None:
    """Nobody looks."""


async def test_a_journey_ends_at_a_destination_and_the_next_begins(fake: FakeServer) -> None:
    crowd = crowd_of(fake, 1, rate_hz=20.0, journey_min_s=0.0)
    (vehicle,) = crowd.vehicles
    last = len(vehicle.route.marks) - 1
    end_m = vehicle.route.marks[last].at_m
    crowd.vehicles[0] = replace(vehicle, travelled_m=end_m, next_mark=last, waiting_s=0.08, speed_mps=0.0)
    await crowd.run(show, duration_s=1.0)
    first, second = fake.model.by_id.values()
    assert first.final_seq == len(first.contents) >= 1
    assert second.final_seq == len(second.contents) >= 1
    (stats,) = (client.outbox.stats for client in crowd.clients)
    assert stats.journeys == stats.journeys_done == 2 and stats.acknowledged == stats.added


async def test_a_journey_is_not_ended_before_its_time(fake: FakeServer) -> None:
    crowd = crowd_of(fake, 1, rate_hz=20.0, journey_min_s=3600.0)
    (vehicle,) = crowd.vehicles
    last = len(vehicle.route.marks) - 1
    crowd.vehicles[0] = replace(
        vehicle, travelled_m=vehicle.route.marks[last].at_m, next_mark=last, waiting_s=0.08, speed_mps=0.0
    )
    await crowd.run(show, duration_s=0.5)
    assert len(fake.model.by_id) == 1 and crowd.vehicles[0].trips == 1


async def test_everybody_drives_with_a_token_of_their_own(fake: FakeServer) -> None:
    crowd = crowd_of(fake, 12, rate_hz=5.0)
    await crowd.run(show, duration_s=1.0)
    assert {auth["token"] for auth in fake.connects} == {f"token-d{number}" for number in range(12)}
    assert all(content[3] is not None for log in fake.model.by_id.values() for content in log.contents)
    assert not crowd.failures


async def test_a_driver_refused_for_good_is_named_and_the_others_go_on(fake: FakeServer) -> None:
    fake.refuse_connect.append({"code": "forbidden", "message": "not a driver", "retryable": False})
    crowd = crowd_of(fake, 3, rate_hz=10.0)
    await crowd.run(show, duration_s=0.8)
    assert list(crowd.failures.values()) == ["forbidden: not a driver"]
    assert len(fake.model.by_id) == 2


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate is not positive: 0"):
        Crowd("http://127.0.0.1:1", CITY, [], lambda name: name, rng=Random(1), rate_hz=0.0)
