"""The driver's client against a server with named faults."""

import asyncio
import time
from collections.abc import AsyncIterator
from random import Random
from uuid import uuid4

import pytest

from realtime.client import DriverClient, Outbox, Stopped
from realtime.client.backoff import Backoff
from realtime.client.outbox import Request
from tests.client.fake import FakeServer, Fault, fake_server

T0_MS = 1_780_000_000_000


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with fake_server() as server:
        yield server


@pytest.fixture(autouse=True)
def quick_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules of the back-off are tested without waiting; here nobody waits for it."""
    failed = Backoff.failed
    monkeypatch.setattr(Backoff, "failed", lambda self, after_s=None: after_s or failed(self) / 50.0)


def driver(fake: FakeServer, token: object = "t1", **options: object) -> DriverClient:
    outbox = Outbox(Random(1), batch=3)
    return DriverClient(fake.url, token, outbox=outbox, rng=Random(2), answer_timeout_s=0.4, **options)  # type: ignore[arg-type]


def journey(client: DriverClient, points: int, *, end: bool = True) -> str:
    client.start(client_id := str(uuid4()), T0_MS)
    for number in range(points):
        client.add(T0_MS + number, 53.4, -2.9 + number / 1000)
    if end:
        client.end(T0_MS + points)
    return client_id


def stored_times(fake: FakeServer, client_id: str) -> list[int]:
    return [content[0] - T0_MS for content in fake.model.by_client_id[client_id].contents]


async def test_a_journey_goes_up_in_order_and_is_ended(fake: FakeServer) -> None:
    async with driver(fake) as client:
        client_id = journey(client, 10)
        assert await client.flush(10.0)
    assert stored_times(fake, client_id) == list(range(10))
    assert fake.model.by_client_id[client_id].final_seq == 10
    assert fake.connects == [{"token": "t1"}]
    assert client.outbox.stats.resent == 0


@pytest.mark.parametrize("fault", [f for f in Fault if f is not Fault.CLOSE_REVOKED])
async def test_every_point_is_stored_once_whatever_happens(fake: FakeServer, fault: Fault) -> None:
    fake.faults.extend([fault, fault])

    async def fresh() -> str:
        return f"t{len(fake.connects)}"

    async with driver(fake, fresh) as client:
        client_id = journey(client, 10)
        assert await client.flush(30.0)
    assert not fake.faults
    assert stored_times(fake, client_id) == list(range(10))
    assert client.outbox.stats.acknowledged == 10
    assert client.outbox.stats.resent == 0 or fault is not Fault.CUT_AFTER_STORING


class SlowOutbox(Outbox):
    """Its look at what to send takes until the pause is over."""

    def next(self, now_s: float) -> Request | None:
        request = super().next(now_s)
        if now_s < self.not_before_s:
            time.sleep(self.not_before_s - now_s + 0.001)
        return request


async def test_a_pause_that_ends_while_the_outbox_looks_is_not_slept_for_ever(fake: FakeServer) -> None:
    fake.faults.append(Fault.OVERLOADED)
    outbox = SlowOutbox(Random(1))
    async with DriverClient(fake.url, "t1", outbox=outbox, rng=Random(2), answer_timeout_s=0.4) as client:
        client_id = journey(client, 3)
        assert await client.flush(10.0)
    assert stored_times(fake, client_id) == [0, 1, 2]


async def test_a_closed_socket_asks_for_a_fresh_token(fake: FakeServer) -> None:
    fake.faults.append(Fault.CLOSE_TOKEN_EXPIRED)

    async def fresh() -> str:
        return f"t{len(fake.connects)}"

    async with driver(fake, fresh) as client:
        journey(client, 2)
        assert await client.flush(10.0)
    assert fake.connects == [{"token": "t0"}, {"token": "t1"}]


async def test_a_revoked_driver_stops_and_keeps_its_points(fake: FakeServer) -> None:
    fake.faults.append(Fault.CLOSE_REVOKED)
    async with driver(fake) as client:
        journey(client, 2)
        with pytest.raises(Stopped, match="revoked"):
            await client.flush(10.0)
    assert client.outbox.kept == 2 and len(fake.connects) == 1


async def test_a_refused_connect_is_tried_again_when_the_server_says_so(fake: FakeServer) -> None:
    error = {"code": "unavailable", "message": "storage is away", "retryable": True, "retry_after_s": 0.05}
    fake.refuse_connect.append(error)
    async with driver(fake) as client:
        journey(client, 1)
        assert await client.flush(10.0)
        assert client.link.last_error == ("unavailable", "storage is away")
    assert len(fake.connects) == 2


async def test_a_connect_refused_for_good_stops(fake: FakeServer) -> None:
    fake.refuse_connect.append({"code": "forbidden", "message": "not a driver", "retryable": False})
    async with driver(fake) as client:
        journey(client, 1)
        with pytest.raises(Stopped, match="forbidden"):
            await client.flush(10.0)


async def test_drain_moves_the_driver_and_loses_nothing(fake: FakeServer) -> None:
    async with driver(fake) as client:
        client_id = journey(client, 2, end=False)
        assert await client.flush(10.0)
        await fake.tell_all("/driver", "drain", {"after_ms": 0, "spread_ms": 20})
        client.add(T0_MS + 2, 53.4, -2.9)
        client.end(T0_MS + 3)
        assert await client.flush(10.0)
        while client.link.connects < 2:
            client.link.wake()
            await fake.sio.sleep(0)
    assert stored_times(fake, client_id) == [0, 1, 2]
    assert len(fake.connects) == 2


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    async with fake_server() as gone:
        url = gone.url
    async with DriverClient(url, "t1", rng=Random(3)) as client:
        journey(client, 1)
        assert not await client.flush(0.3)
        assert client.outbox.kept == 1


async def test_leaving_is_said_and_not_mistaken_for_a_lost_connection(fake: FakeServer) -> None:
    async with driver(fake) as client:
        journey(client, 2)
        assert await client.flush(10.0)
    async with asyncio.timeout(10.0):
        while not fake.departures:
            await asyncio.sleep(0.01)
    assert fake.departures == ["client disconnect"]


async def test_closing_twice_is_as_good_as_once(fake: FakeServer) -> None:
    client = driver(fake)
    client.open()
    await client.close()
    await client.close()
    with pytest.raises(Stopped, match="closed"):
        journey(client, 1)
        await client.flush(1.0)
