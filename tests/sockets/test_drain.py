"""An instance that leaves: its clients are asked to move, and what it took is acknowledged first."""

import asyncio
import json
from typing import Any

from realtime.settings import Settings
from tests.sockets.kit import Raw, Server, good, serving, until

DRAIN_S = 30.0
"""Longer than the test takes on a busy machine: the drain is over when every client has left."""


class Polling:
    """A driver that came by long-polling; ``heard`` has the packets of its polls."""

    def __init__(self, server: Server) -> None:
        self._session = server.session
        self._url = f"{server.url}/socket.io/?EIO=4&transport=polling"
        self.heard: list[str] = []

    async def connect(self, token: str) -> None:
        async with self._session.get(self._url) as opened:
            sid = (await opened.text()).partition('"sid":"')[2].partition('"')[0]
        self._url += f"&sid={sid}"
        async with self._session.post(self._url, data=f"40/driver,{json.dumps({'token': token})}") as posted:
            assert posted.status == 200
        await self.poll()

    async def poll(self) -> None:
        async with self._session.get(self._url) as polled:
            self.heard += (await polled.text()).split("\x1e")

    async def leave(self) -> None:
        async with self._session.post(self._url, data="1") as posted:
            assert posted.status == 200


class Held:
    """A store that waits for ``release`` before it stores."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.entered = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self, batches: Any) -> None:
        self.entered.set()
        await self.release.wait()
        await self._store(batches)


async def status_of(server: Server, path: str) -> int:
    async with server.session.get(server.url + path) as response:
        return response.status


async def wait_until_ready(server: Server) -> None:
    async with asyncio.timeout(20):
        while await status_of(server, "/readyz") != 200:
            await asyncio.sleep(0.02)


def asked_to_move(raw: Raw, namespace: str) -> list[list[Any]]:
    return raw.events(namespace, "drain")


async def test_a_drain_asks_every_client_to_move_and_lets_no_new_one_in(settings: Settings) -> None:
    async with serving(settings.model_copy(update={"drain_s": DRAIN_S})) as server:
        await wait_until_ready(server)
        driver, viewer = await server.driver("drained"), await server.viewer()
        polling = Polling(server)
        await polling.connect(server.token("driver", driver="drained-too"))
        late = await server.raw()
        draining = asyncio.ensure_future(server.instance.drain())
        await polling.poll()
        await until(lambda: asked_to_move(driver, "/driver") and asked_to_move(viewer, "/watch"), "drain")
        wanted = {"after_ms": 0, "spread_ms": round(DRAIN_S * 1000)}
        assert asked_to_move(driver, "/driver") == asked_to_move(viewer, "/watch") == [[wanted]]
        assert json.loads(polling.heard[-1].removeprefix("42/driver,")) == ["drain", wanted]
        assert await status_of(server, "/readyz") == 503
        refused = await late.connect("/watch", token=server.token("dispatcher"))
        assert refused["code"] == "draining"
        assert not (draining.done() or driver.ended or viewer.ended), "clients have the whole drain to move"
        await asyncio.gather(driver.close(), viewer.close(), late.close(), polling.leave())
        await asyncio.wait_for(draining, 20)


async def test_points_being_stored_when_the_drain_is_over_are_acknowledged(settings: Settings) -> None:
    async with serving(settings.model_copy(update={"drain_s": 0.01})) as server:
        driver = await server.driver("drained-while-storing")
        journey_id = await server.journey(driver)
        isolating = server.instance.committer._isolating
        held = isolating._store = Held(isolating._store)  # type: ignore[misc]
        sent = {"journey_id": journey_id, "points": [good(1)]}
        asked = asyncio.ensure_future(driver.ask("/driver", "positions", sent))
        await asyncio.wait_for(held.entered.wait(), 20)
        draining = asyncio.ensure_future(server.instance.drain())
        await until(lambda: asked_to_move(driver, "/driver"), "drain")
        await asyncio.sleep(0.1)
        assert not asked.done()
        held.release.set()
        assert (await asked)["through"] == 1
        await draining
