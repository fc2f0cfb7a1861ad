"""The Liverpool recording on a cluster: drivers with ledgers, a viewer of every journey on each instance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from geo.position import Point, refusal
from realtime.client import DriverClient, JourneyView, Watcher
from realtime.client.playback import Playback
from realtime.client.recording import RecordedTrip, read_trips
from realtime.client.report import Show, is_complete, total_stats
from tests.e2e.cluster import until
from tests.e2e.proxy import Proxy
from tests.e2e.world import Ledger, World, assert_complete, ledger_of

RECORDING = Path(__file__).parents[1] / "data" / "liverpool_route14.csv"
ANSWER_S = 3.0


class Paced(Playback):
    """Plays at its speed up to ``slow_from_ms`` of the recording, and a tenth as fast from there on.

    So there is traffic while something is broken and mended, however slow the machine is at that.
    """

    slow_from_ms = 0.0

    async def run(self, show: Show, flush_timeout_s: float) -> None:
        self._played_ms = 0.0
        clock = asyncio.create_task(self._tick())
        try:
            await super().run(show, flush_timeout_s)
        finally:
            clock.cancel()

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        while True:
            await asyncio.sleep(0.01)
            now_s = loop.time()
            speed = self._speed if self._played_ms < self.slow_from_ms else self._speed / 10
            self._played_ms += (now_s - before_s) * 1000 * speed
            before_s = now_s

    async def _until(self, t_ms: int) -> None:
        while self._played_ms < t_ms - self._first_ms:
            await asyncio.sleep(0.01)


class Replay:
    """One vehicle a driver, one trip a journey. ``proxied`` drives through ``proxy``, past the balancer."""

    def __init__(self, world: World, speed: float, proxy: Proxy, proxied: str) -> None:
        self.world = world
        self.trips: list[RecordedTrip] = read_trips(RECORDING)
        self.speed = speed
        self.playback = Paced(
            world.cluster.url,
            self.trips,
            lambda vehicle: world.token("driver", vehicle),
            speed=speed,
            rng=world.rng,
            http=world.http,
        )
        for vehicle in self.playback.drivers:
            url = proxy.url if vehicle == proxied else world.cluster.url
            client = world.driver(vehicle, url, answer_timeout_s=ANSWER_S)
            self.playback.drivers[vehicle] = client
        self.views: dict[str, dict[str, JourneyView]] = {name: {} for name in world.cluster.instances}
        self._watchers: dict[str, Watcher] = {}
        self._playing: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def quick_until(self, share: float) -> None:
        """Play quickly until ``share`` of the fixes is due, slowly from there on."""
        due_ms = sorted(fix.t_ms for trip in self.trips for fix in trip.fixes)
        index = min(len(due_ms) - 1, int(share * len(due_ms)))
        self.playback.slow_from_ms = due_ms[index] - due_ms[0]

    @property
    def drivers(self) -> dict[str, DriverClient]:
        return self.playback.drivers

    @property
    def ledgers(self) -> list[Ledger]:
        return [ledger_of(driver) for driver in self.drivers.values()]

    @property
    def acknowledged(self) -> int:
        return total_stats(self.drivers.values())[0].acknowledged

    @property
    def promised(self) -> dict[str, int]:
        """Journey id → what the server has acknowledged of it."""
        return {key: n for ledger in self.ledgers for key, n in ledger.promised.items()}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Replay"]:
        """Play and watch until the block ends."""
        for name in self.views:
            self._watchers[name] = self.world.watcher(self.world.cluster.url_of(name))
            self._watchers[name].open()
        self._playing = asyncio.create_task(self.playback.run(lambda done, text: None, 90.0))
        self._watching = asyncio.create_task(self._watch_all())
        try:
            yield self
        finally:
            self._watching.cancel()
            self._playing.cancel()
            await asyncio.gather(self._watching, self._playing, return_exceptions=True)
            await asyncio.gather(*(watcher.close() for watcher in self._watchers.values()))

    async def _watch_all(self) -> None:
        """Watch every journey on every instance as soon as it has an id."""

        async def watch(name: str, journey_id: str) -> None:
            self.views[name][journey_id] = await self._watchers[name].watch_journey(
                journey_id, timeout_s=90.0
            )

        begun: set[tuple[str, str]] = set()
        async with asyncio.TaskGroup() as group:
            while True:
                for name in self.views:
                    for journey_id in self.promised:
                        if (name, journey_id) not in begun:
                            begun.add((name, journey_id))
                            group.create_task(watch(name, journey_id))
                await asyncio.sleep(0.05)

    def check_alive(self) -> None:
        """Raise what ended the playing or the watching before its time."""
        assert self._watching is not None
        assert self._playing is not None
        for task in (self._watching, self._playing):
            if task.done():
                task.result()

    async def until_acknowledged(self, points: int, timeout_s: float = 90.0) -> None:
        def reached() -> bool:
            self.check_alive()
            return self.acknowledged >= points

        await until(reached, f"{points} points acknowledged", timeout_s)

    async def until_seen(self, promised: dict[str, int], timeout_s: float) -> float:
        """Wait until the viewers on every instance have seen what was ``promised``; the seconds it took."""

        def behind() -> dict[str, Any]:
            return {
                f"{name} {key}": (getattr(views.get(key), "through", None), n)
                for name, views in self.views.items()
                for key, n in promised.items()
                if key not in views or views[key].through < n
            }

        def seen() -> bool:
            self.check_alive()
            return not behind()

        try:
            return await until(seen, "every viewer has seen what was acknowledged", timeout_s)
        except AssertionError as late:
            raise AssertionError(f"{late}; (has, should have) {behind()}") from None

    def check_views(self) -> None:
        """No viewer has seen a gap, a repetition or a surprise."""
        for name, views in self.views.items():
            for journey_id, view in views.items():
                assert view.is_sound, f"{name} {journey_id}: {view.gaps=} {view.duplicates=} {view.early=}"

    def presence(self) -> dict[str, str]:
        """What should be told of each driver now."""
        return {
            vehicle: "online" if driver.link.is_up else "offline" for vehicle, driver in self.drivers.items()
        }

    async def until_presence_right(self, timeout_s: float, **others: str) -> None:
        """Wait until what is told of the drivers, and of ``others``, is what is so."""
        # Drivers come and go meanwhile: what is expected is asked anew each time.
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            try:
                await self.world.until_presence(self.presence() | others, 1.0)
            except AssertionError:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            else:
                return

    async def finish(self) -> None:
        """Wait until everything was driven and acknowledged."""
        self.playback.slow_from_ms = float("inf")
        assert self._playing is not None
        assert self._watching is not None
        await asyncio.wait([self._playing, self._watching], return_when=asyncio.FIRST_COMPLETED, timeout=180)
        self.check_alive()
        assert self._playing.done(), "the replay does not end"
        assert not self.playback.failures
        stats, kept = total_stats(self.drivers.values())
        assert is_complete(stats, kept), (stats, kept)

    # --- at the end

    async def check_everything(self) -> None:
        """Every fix is stored once, history says the same, and every viewer saw all of it."""
        await self.world.check_promises(self.ledgers)
        listed = await self.world.call("GET", "/api/v1/journeys?limit=500")
        assert len(listed["journeys"]) == len(self.trips)
        began: set[int] = set()
        for vehicle, trips in self.playback.trips.items():
            mine = [journey for journey in listed["journeys"] if journey["driver"] == vehicle]
            mine.sort(key=lambda journey: journey["started_at"])
            for trip, journey in zip(trips, mine, strict=True):
                assert journey["state"] == "ended"
                began |= await self._check_trip(trip, journey["journey_id"])
        # Every fix has the time of the recording, moved by one and the same span.
        assert max(began) - min(began) <= 2

    async def _check_trip(self, trip: RecordedTrip, journey_id: str) -> set[int]:
        rows = await self.world.stored(journey_id)
        assert [row.seq for row in rows] == list(range(1, len(trip.fixes) + 1))
        for row, fix in zip(rows, trip.fixes, strict=True):
            if row.void_reason is None:
                assert (row.lat, row.lon, row.heading_deg) == (fix.lat, fix.lon, fix.heading_deg)
            else:
                assert refusal(Point(row.seq, 1, fix.lat, fix.lon)) is not None
        for name, views in self.views.items():
            assert_complete(views[journey_id], rows)
            over = [change["state"] for change in views[journey_id].states if change["state"] != "started"]
            assert "ended" in over, f"a viewer on {name} was not told of the end"
        path = f"/api/v1/journeys/{journey_id}/points?format=geojson"
        features = (await self.world.call("GET", path))["features"]
        told = [
            (f["properties"]["seq"], f["properties"]["t_ms"], *f["geometry"]["coordinates"][1::-1])
            for f in features
        ]
        assert told == [(row.seq, row.t_ms, row.lat, row.lon) for row in rows if row.void_reason is None]
        first_ms = min(trip.fixes[0].t_ms for trip in self.trips)
        return {
            row.t_ms - round((fix.t_ms - first_ms) / self.speed)
            for row, fix in zip(rows, trip.fixes, strict=True)
            if row.t_ms is not None
        }
