"""Drivers whose ids have odd characters are erased through the real balancer."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import aiohttp
from yarl import URL

from realtime.store.people import tenants
from tests.api.harness import running
from tests.engines.test_haproxy import Instance, Running

IDS = ["a..b", "d..", "d...1", "a.b", "d.", "a@b.example", "a:b", "a+b", "a~b", "A-1_2"]


class Behind(Instance):
    """An instance that listens already."""

    def __init__(self, url: str) -> None:
        self.name = "w1"
        self.address = url.removeprefix("http://")


async def test_a_driver_of_any_id_is_erased_through_the_balancer(database_url: str, empty: Path) -> None:
    async with running(database_url) as api, aiohttp.ClientSession() as client:
        balancer = await asyncio.to_thread(Running, empty, [Behind(api.url)])
        bearer = {"Authorization": f"Bearer {api.token('admin')}"}
        try:
            for driver in IDS:
                for written in (driver, quote(driver, safe=""), driver.replace(".", "%2E")):
                    await tenants.connect_driver(api.db, "t1", "north", driver)
                    url = URL(f"http://127.0.0.1:{balancer.port}/api/v1/drivers/{written}", encoded=True)
                    async with client.delete(url, headers=bearer) as response:
                        answer = await response.json()
                    assert (response.status, answer.get("done")) == (200, True), (written, answer)
                    assert await tenants.vendor_of(api.db, "t1", driver) is None, "it is gone"
        finally:
            balancer.close()
