"""A made-up fleet that drives through a made-up city and reports over the driver protocol.

One task moves everybody, in turn and evenly spread over the period, so that a thousand drivers cost what
their points cost.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random
from uuid import uuid4

import aiohttp

from geo.fleet import Vehicle, advance, build_fleet
from geo.streets import City
from realtime.client.driver import DriverClient
from realtime.client.link import Stopped, TokenSource
from realtime.client.outbox import Outbox
from realtime.client.report import Show, total_stats

MAX_KEPT = 20_000
CONNECTS_PER_S = 200.0


class Crowd:
    """``drivers`` names who drives; each reports ``rate_hz`` times a second, sent in batches of ``batch``.

    A journey ends at the first destination reached after ``journey_min_s``; the next one begins there. The
    first driver raises an SOS ``sos_after_s`` into `run`; ``on_sos`` is told what becomes of it.
    """

    def __init__(
        self,
        url: str,
        city: City,
        drivers: Sequence[str],
        token_of: Callable[[str], TokenSource],
        *,
        rng: Random,
        rate_hz: float = 1.0,
        batch: int = 1,
        journey_min_s: float = 3600.0,
        sos_after_s: float | None = None,
        on_sos: Callable[[str], None] = print,
        http: aiohttp.ClientSession | None = None,
    ) -> None:
        if rate_hz <= 0.0:
            raise ValueError(f"rate is not positive: {rate_hz}")
        self.names = list(drivers)
        self.clients = [
            DriverClient(
                url,
                token_of(name),
                outbox=Outbox(rng, gather=batch, max_kept=MAX_KEPT),
                rng=rng,
                http=http,
            )
            for name in self.names
        ]
        self.vehicles: list[Vehicle] = build_fleet(city, len(self.names), rng)
        self.behind_s = 0.0
        self._rng = rng
        self._period_s = 1.0 / rate_hz
        self._journey_min_s = journey_min_s
        self._trips = [0] * len(self.names)
        self._started_s = [0.0] * len(self.names)
        self._opened = 0
        self._sos_after_s = sos_after_s
        self._on_sos = on_sos
        self._latest: list[float | None] = []
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Make `run` end the journeys and return."""
        self._stop.set()

    async def run(
        self, show: Show, *, duration_s: float | None = None, flush_timeout_s: float = 30.0
    ) -> None:
        """Drive until `stop` or for ``duration_s``, end the journeys, wait until all is acknowledged."""
        loop = asyncio.get_running_loop()
        began_s = start_s = loop.time()
        turn, show_s = 0, 0.0
        pressing = asyncio.create_task(self._press())
        size = max(1, len(self.clients))
        try:
            while not self._stop.is_set() and (duration_s is None or loop.time() - began_s < duration_s):
                due_s = start_s + turn * self._period_s / size
                self.behind_s = max(0.0, loop.time() - due_s)
                if self.behind_s > self._period_s:
                    # This machine cannot keep up: report less often rather than ever later.
                    start_s += self.behind_s
                await self._pause(due_s - loop.time(), turn)
                self._open_until(began_s)
                if turn % size < self._opened:
                    self._move(turn % size)
                turn += 1
                if loop.time() > show_s:
                    show_s = loop.time() + 0.5
                    self._say(show, loop.time() - began_s)
            await self._finish(flush_timeout_s)
        finally:
            pressing.cancel()
            await asyncio.gather(pressing, return_exceptions=True)
            await asyncio.gather(*(client.close() for client in self.clients[: self._opened]))

    async def _pause(self, wait_s: float, turn: int) -> None:
        if wait_s > 0.002:
            try:
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            except TimeoutError:
                return
        elif turn % 20 == 0:
            await asyncio.sleep(0)

    def _open_until(self, began_s: float) -> None:
        """Not everybody at once: a server takes so many new connections a second."""
        allowed = int((asyncio.get_running_loop().time() - began_s) * CONNECTS_PER_S) + 1
        while self._opened < min(allowed, len(self.clients)):
            self.clients[self._opened].open()
            self._opened += 1

    def _move(self, index: int) -> None:
        client, now_ms = self.clients[index], round(time.time() * 1000)
        self.vehicles[index], fix = advance(self.vehicles[index], self._period_s, self._rng)
        if self._has_arrived(index) and client.outbox.is_under_way:
            client.end(now_ms)
        if not client.outbox.is_under_way:
            client.start(str(uuid4()), now_ms, vehicle=self.names[index])
            self._started_s[index] = now_ms / 1000.0
            self._trips[index] = self.vehicles[index].trips
        seq = client.add(now_ms, *fix)
        if index == 0:
            self._latest = [seq, now_ms, *fix]

    async def _press(self) -> None:
        """The SOS of the first driver, if there is to be one."""
        if self._sos_after_s is None or not self.clients:
            return
        await asyncio.sleep(self._sos_after_s)
        where = {"point": self._latest} if self._latest else {}
        try:
            answer = await self.clients[0].sos(str(uuid4()), round(time.time() * 1000), **where)
        except Stopped as error:
            self._on_sos(f"the SOS of {self.names[0]} was refused: {error}")
        else:
            self._on_sos(f"SOS of {self.names[0]} is kept: alert {answer.get('alert_id')}")

    def _has_arrived(self, index: int) -> bool:
        arrived = self.vehicles[index].trips > self._trips[index]
        return arrived and time.time() - self._started_s[index] >= self._journey_min_s

    def _say(self, show: Show, elapsed_s: float) -> None:
        stats, kept = total_stats(self.clients)
        up = sum(client.link.is_up for client in self.clients)
        behind = f", {self.behind_s:.1f} s behind" if self.behind_s > self._period_s else ""
        show(elapsed_s, f"{up} connected, {stats.acknowledged} acknowledged, {kept} waiting{behind}")

    async def _finish(self, timeout_s: float) -> None:
        opened = self.clients[: self._opened]
        for client in opened:
            if client.outbox.is_under_way:
                client.end(round(time.time() * 1000))
        # What ended a link is in `failures`; the others are still to be heard out.
        await asyncio.gather(*(client.flush(timeout_s) for client in opened), return_exceptions=True)

    @property
    def failures(self) -> dict[str, str]:
        """Why drivers were stopped by the server."""
        pairs = zip(self.names, self.clients, strict=True)
        return {name: str(client.link.stopped) for name, client in pairs if client.link.stopped}
