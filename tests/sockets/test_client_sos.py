"""The client's button, on a real instance: pressed until it is kept, and not again when it is refused."""

import asyncio
import time
from random import Random
from uuid import UUID, uuid4

import pytest

from realtime.client import DriverClient
from realtime.client.link import Stopped
from tests.sockets.kit import Server


async def test_it_waits_for_the_connection_and_one_press_is_one_alert(server: Server) -> None:
    name, sos_id, now_ms = f"d-{uuid4()}", str(uuid4()), time.time_ns() // 1_000_000
    driver = DriverClient(server.url, server.token("driver", driver=name), rng=Random(1), http=server.session)
    pressing = asyncio.create_task(driver.sos(sos_id, now_ms))
    await asyncio.sleep(0)
    async with driver:
        first = await pressing
        again = await driver.sos(sos_id, now_ms)
    assert first["ok"] is True and first["alert_id"] == again["alert_id"]


async def test_what_is_refused_for_good_is_not_pressed_for_ever(server: Server) -> None:
    token = server.token("driver", driver=f"d-{uuid4()}")
    async with DriverClient(server.url, token, rng=Random(1), http=server.session) as driver:
        with pytest.raises(Stopped) as stopped:
            await driver.sos("no uuid", 0)
    assert stopped.value.code == "invalid"


async def test_the_driver_presses_on_its_journey_and_takes_it_back(server: Server) -> None:
    name, sos_id = f"d-{uuid4()}", str(uuid4())
    now_ms = time.time_ns() // 1_000_000
    token = server.token("driver", driver=name)
    async with DriverClient(server.url, token, rng=Random(1), http=server.session) as driver:
        with pytest.raises(Stopped) as unknown:
            await driver.cancel(sos_id)
        assert unknown.value.code == "not_found"
        driver.start(str(uuid4()), now_ms)
        driver.add(now_ms, 53.4, -2.9)
        assert await driver.flush(20.0)
        ack = await driver.sos(sos_id, now_ms, message="help")
        alert = await server.instance.alerts.intake.get("t1", UUID(ack["alert_id"]))
        assert alert is not None
        assert (str(alert.journey_id), alert.message) == (driver.outbox.journey_id, "help")
        with pytest.raises(Stopped) as wrong:
            await driver.cancel(sos_id, "1234")
        assert wrong.value.code == "forbidden"
        assert (await driver.cancel(sos_id))["state"] == "cancelled"
        driver.end(now_ms)
        assert driver.outbox.journey_id is None


async def test_a_link_that_is_over_ends_it(server: Server) -> None:
    driver = DriverClient(server.url, "no token", rng=Random(1), http=server.session)
    async with driver:
        with pytest.raises(Stopped):
            await driver.sos(str(uuid4()), time.time_ns() // 1_000_000)
