"""Plays recorded trips through the driver protocol, faster or slower than they were."""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from uuid import uuid4

import aiohttp

from realtime.client.driver import DriverClient
from realtime.client.link import Stopped, TokenSource
from realtime.client.outbox import Outbox
from realtime.client.recording import RecordedTrip
from realtime.client.report import Show, total_stats


class Playback:
    """One driver a vehicle; its trips are its journeys, one after the other.

    A fix recorded ``d`` seconds after the first one of all is sent, and timed, ``d / speed`` seconds after
    the start.
    """

    def __init__(
        self,
        url: str,
        trips: Sequence[RecordedTrip],
        token_of: Callable[[str], TokenSource],
        *,
        speed: float,
        rng: Random,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        if speed <= 0.0:
            raise ValueError(f"speed is not positive: {speed}")
        self.trips: dict[str, list[RecordedTrip]] = {}
        for trip in trips:
            self.trips.setdefault(trip.vehicle, []).append(trip)
        self.drivers = {
            vehicle: DriverClient(url, token_of(vehicle), outbox=Outbox(rng), rng=rng, http=http)
            for vehicle in self.trips
        }
        self.total = sum(len(trip.fixes) for trip in trips)
        self.failures: dict[str, str] = {}
        self._speed = speed
        self._first_ms = min((trip.fixes[0].t_ms for trip in trips), default=0)
        self._start_ms = 0
        self._start_s = 0.0

    async def run(self, show: Show, flush_timeout_s: float) -> None:
        """Play everything, then wait until it is acknowledged or ``flush_timeout_s`` is over."""
        self._start_ms, self._start_s = round(time.time() * 1000), asyncio.get_running_loop().time()
        tasks = [asyncio.create_task(self._drive(vehicle, flush_timeout_s)) for vehicle in self.trips]
        try:
            while tasks and not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=0.2)
                stats, kept = total_stats(self.drivers.values())
                show(stats.acknowledged, f"{stats.acknowledged}/{self.total} acknowledged, {kept} waiting")
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for vehicle, result in zip(self.trips, results, strict=True):
            if isinstance(result, Stopped):
                self.failures[vehicle] = str(result)
            elif isinstance(result, Exception):
                raise result

    async def _drive(self, vehicle: str, flush_timeout_s: float) -> None:
        async with self.drivers[vehicle] as driver:
            for trip in self.trips[vehicle]:
                await self._play(driver, trip)
            await driver.flush(flush_timeout_s)

    async def _play(self, driver: DriverClient, trip: RecordedTrip) -> None:
        await self._until(trip.fixes[0].t_ms)
        driver.start(
            str(uuid4()),
            self._rebased_ms(trip.fixes[0].t_ms),
            vehicle=trip.vehicle,
            destination=trip.destination and {"name": trip.destination},
        )
        for fix in trip.fixes:
            await self._until(fix.t_ms)
            driver.link.check()
            driver.add(self._rebased_ms(fix.t_ms), fix.lat, fix.lon, None, fix.heading_deg)
        driver.end(self._rebased_ms(trip.fixes[-1].t_ms))

    def _rebased_ms(self, t_ms: int) -> int:
        return self._start_ms + round((t_ms - self._first_ms) / self._speed)

    async def _until(self, t_ms: int) -> None:
        due_s = self._start_s + (t_ms - self._first_ms) / self._speed / 1000.0
        await asyncio.sleep(max(0.0, due_s - asyncio.get_running_loop().time()))
