"""SIGTERM of an instance under load: its clients move, nothing is lost, it ends well."""

import asyncio
import re
import signal
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

from socketio import AsyncClient

from tests.e2e.clients import drive, journey_of
from tests.e2e.cluster import until
from tests.e2e.world import World, assert_complete, ledger_of, now_ms

DRIVERS = 16


class Told:
    """A client of one instance that writes down what it is told about leaving."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self._client = AsyncClient(reconnection=False)
        for name in ("drain", "closing"):
            self._client.on(name, self._noting(name), namespace="/watch")
        self._client.on("disconnect", self._noting("disconnect"), namespace="/watch")

    def _noting(self, name: str) -> Any:
        return lambda *args: self.events.append((name, args[0] if args else None))

    async def connect(self, url: str, token: str) -> None:
        await self._client.connect(
            url, auth={"token": token}, namespaces=["/watch"], transports=["websocket"], wait_timeout=20
        )

    async def close(self) -> None:
        await self._client.disconnect()


async def test_sigterm_moves_the_clients_and_loses_nothing(world: World) -> None:
    cluster = world.cluster
    name = cluster.instances[0]
    told = Told()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(told.close)
        await told.connect(cluster.url_of(name), world.token())
        drivers = [await stack.enter_async_context(world.driver(f"d{n}")) for n in range(DRIVERS)]
        for driver in drivers:
            driver.start(str(uuid4()), now_ms())
            drive(driver, 1)
        ids = [await journey_of(driver) for driver in drivers]
        watchers = [await stack.enter_async_context(world.watcher()) for _ in range(4)]
        views = {
            (number, journey_id): await watcher.watch_journey(journey_id)
            for number, watcher in enumerate(watchers)
            for journey_id in ids
        }
        assert await cluster.metric(name, "wayguard_connections", namespace="/driver") > 0

        loading = asyncio.Event()

        async def load() -> None:
            while not loading.is_set():
                for driver in drivers:
                    drive(driver, 1)
                await asyncio.sleep(0.05)

        loaded = asyncio.create_task(load())
        said = len(cluster.said_since())
        await until(lambda: all(d.outbox.stats.acknowledged > 10 for d in drivers), "it is under load")
        took_s = await until_ended(world, name)
        print(f"ended {took_s:.2f} s after SIGTERM")
        await until(lambda: all(d.link.is_up for d in drivers), "every driver is connected")
        await cluster.until_up(name)
        loading.set()
        await loaded
        codes = re.findall(
            rf"{name} (?:ended with code (-?\d+)|was killed by signal (\d+))", cluster.said_since(said)
        )
        assert codes == [("0", "")]
        drained = next(event for event in told.events if event[0] == "drain")
        assert drained[1] == {"after_ms": 0, "spread_ms": round(cluster.settings.drain_s * 1000)}
        # Told first, and only who did not leave is closed, with a reason.
        assert told.events[0][0] == "drain"
        assert ("closing", "draining") in [(e, c["code"]) for e, c in told.events if e == "closing"]

        for driver in drivers:
            driver.end(now_ms())
        assert all(await asyncio.gather(*(driver.flush(60.0) for driver in drivers)))
        await world.check_promises([ledger_of(driver) for driver in drivers])
        errors = sum(
            (driver.outbox.stats.errors for driver in drivers), start=type(drivers[0].outbox.stats.errors)()
        )
        assert set(errors) <= {"draining"}, errors
        for (_, journey_id), view in views.items():
            rows = await world.stored(journey_id)
            await until(lambda view=view, rows=rows: view.through == len(rows), "viewers are complete")
            assert_complete(view, rows)
        assert {d.link.connects for d in drivers} <= {1, 2}, "nobody came by the instance that was leaving"


async def until_ended(world: World, name: str) -> float:
    """Send SIGTERM; the seconds until the process has ended."""
    begun = asyncio.get_running_loop().time()
    await world.cluster.kill(name, signal.SIGTERM)
    return asyncio.get_running_loop().time() - begun
