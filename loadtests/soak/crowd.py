"""Who takes part in a soak: drivers who begin and end journeys, viewers of every kind of feed, all of whom
reconnect at random, and viewers who stop reading. Everybody is an asyncio task of the load process.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final
from uuid import UUID

from loadtests.soak.call import Call, call
from realtime.client.outbox import AckOutcome, Outbox

STALLED_BYTES: Final = 4_096
"""A receive buffer as small as kernels allow: what is not read is soon the server's to keep."""
_LAT, _LON = 53.41, -2.97
_FEEDS: Final = ("vendor", "driver", "journey", "journey", "area", "area")


@dataclass(frozen=True, kw_only=True)
class Manners:
    """Mean times, in seconds, of what everybody does."""

    connected_s: float = 60.0
    journey_s: float = 60.0
    fix_s: float = 1.0
    look_s: float = 8.0
    stall_s: float = 45.0


@dataclass
class Scene:
    """What all of them share. ``through``: journey → its last acknowledged seq."""

    addresses: Sequence[tuple[str, int]]
    direct: Sequence[tuple[str, int]]
    vendor: str
    manners: Manners
    rng: Random
    through: dict[str, int] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    driving: dict[str, str] = field(default_factory=dict)
    over: bool = False

    def mean_s(self, mean_s: float) -> float:
        """A time at random, ``mean_s`` on average, never beyond four times that."""
        return min(4 * mean_s, self.rng.expovariate(1 / mean_s))

    def heard(self, event: str) -> None:
        """An event came."""
        self.counts[f"event {event}"] += 1

    async def connected(
        self, namespace: str, token: str, session: Callable[[Call], Awaitable[None]], *, stalls: bool = False
    ) -> None:
        """One connection, from its first byte to its last: ``session`` until it ends or is cut short."""
        address = self.rng.choice(self.direct if stalls else self.addresses)
        receive_bytes = STALLED_BYTES if stalls else None
        try:
            async with call(address, namespace, token, self.heard, receive_bytes=receive_bytes) as line:
                self.counts["connects"] += 1
                life_s = None if stalls else self.mean_s(self.manners.connected_s)
                try:
                    async with asyncio.timeout(life_s):
                        await session(line)
                except TimeoutError:
                    line.leave(politely=self.rng.random() < 0.5)
        except OSError as error:
            self.troubles[str(error) or type(error).__name__] += 1
            await asyncio.sleep(self.rng.uniform(0.2, 2.0))


class Driver:
    """A phone: an outbox, a receiver that fills it, and a line that comes and goes."""

    def __init__(self, scene: Scene, name: str, token: str, gather: int) -> None:
        self._scene, self._name, self._token = scene, name, token
        self._outbox = Outbox(scene.rng, gather=gather)
        self._news = asyncio.Event()
        self._at = [_LAT + scene.rng.uniform(-0.05, 0.05), _LON + scene.rng.uniform(-0.05, 0.05)]

    async def drive(self) -> None:
        """Journey after journey, a fix at a time, until the soak is over and all is acknowledged."""
        line = asyncio.ensure_future(self._stay_connected())
        scene, rng = self._scene, self._scene.rng
        ends_s = 0.0
        try:
            await asyncio.sleep(rng.uniform(0, scene.manners.fix_s))
            while not scene.over:
                if not self._outbox.is_under_way:
                    self._outbox.start(str(UUID(int=rng.getrandbits(128), version=4)), _now_ms())
                    ends_s = time.monotonic() + scene.mean_s(scene.manners.journey_s)
                self._at = [value + rng.uniform(-2e-4, 2e-4) for value in self._at]
                lat, lon = (round(value, 6) for value in self._at)
                self._outbox.add(_now_ms(), lat, lon, 8.3, 31.5, 4.8)
                if time.monotonic() >= ends_s:
                    self._end()
                self._news.set()
                await asyncio.sleep(scene.manners.fix_s)
            self._end()
            await line
        finally:
            line.cancel()

    def _end(self) -> None:
        if self._outbox.is_under_way:
            self._outbox.end(_now_ms())
            self._scene.counts["journeys"] += 1
        self._scene.driving.pop(self._name, None)
        self._news.set()

    async def _stay_connected(self) -> None:
        while not (self._scene.over and self._outbox.is_done):
            await self._scene.connected("/driver", self._token, self._session)

    async def _session(self, line: Call) -> None:
        self._outbox.connected()
        while line.lost is None and not (self._scene.over and self._outbox.is_done):
            self._news.clear()
            now_s = time.monotonic()
            request = self._outbox.next(now_s)
            if request is None:
                wait_s = min(1.0, max(0.0, self._outbox.not_before_s - now_s) or 1.0)
                await asyncio.wait({news := asyncio.ensure_future(self._news.wait())}, timeout=wait_s)
                news.cancel()
                continue
            answer = await line.ask(request.event, request.payload)
            self._note(request.payload.get("journey_id"), answer)
            if self._outbox.answered(request, answer, time.monotonic()) is AckOutcome.RECONNECT:
                return
        if line.lost is not None:
            raise ConnectionError(line.lost)

    def _note(self, journey_id: str | None, answer: Any) -> None:
        if not isinstance(answer, Mapping) or answer.get("ok") is not True:
            return
        if isinstance(through := answer.get("through"), int):
            self._promised(str(journey_id), through)
        elif isinstance(next_seq := answer.get("next_seq"), int):
            self._scene.driving[self._name] = answer["journey_id"]
            self._promised(answer["journey_id"], next_seq - 1)

    def _promised(self, journey_id: str, through: int) -> None:
        known = self._scene.through
        known[journey_id] = max(known.get(journey_id, 0), through)


class Viewer:
    """Somebody with a map, each time another feed; with ``stalls`` one who watches and stops reading."""

    def __init__(self, scene: Scene, token: str, drivers: Sequence[str], *, stalls: bool = False) -> None:
        self._scene, self._token, self._drivers, self._stalls = scene, token, drivers, stalls

    async def look(self) -> None:
        """Look, leave, come again, until the soak is over."""
        session = self._stall if self._stalls else self._session
        while not self._scene.over:
            await self._scene.connected("/watch", self._token, session, stalls=self._stalls)

    async def _session(self, line: Call) -> None:
        kind = self._scene.rng.choice(_FEEDS)
        watched: str | None = None
        while line.lost is None and not self._scene.over:
            if watched is not None and kind == "journey":
                await line.ask("unwatch", {"feed": watched})
            if watched is None or kind in {"journey", "area"}:
                answer = await line.ask("watch", {"feed": self._feed(kind)})
                watched = answer.get("feed")
                if watched is None:
                    self._scene.counts[f"refused {answer['error']['code']}"] += 1
            await self._linger(self._scene.mean_s(self._scene.manners.look_s))
        if line.lost is not None:
            raise ConnectionError(line.lost)

    async def _stall(self, line: Call) -> None:
        await line.ask("watch", {"feed": {"vendor": self._scene.vendor}})
        await line.ask("watch", {"feed": self._area()})
        line.stop_reading()
        self._scene.counts["stalls"] += 1
        await self._linger(self._scene.manners.stall_s)

    async def _linger(self, pause_s: float) -> None:
        ends_s = time.monotonic() + pause_s
        while not self._scene.over and (left_s := ends_s - time.monotonic()) > 0:
            await asyncio.sleep(min(1.0, left_s))

    def _feed(self, kind: str) -> dict[str, Any]:
        rng, driving = self._scene.rng, list(self._scene.driving.values())
        if kind == "journey" and driving:
            return {"journey": rng.choice(driving)}
        if kind == "area":
            return self._area()
        if kind == "driver":
            return {"driver": rng.choice(self._drivers)}
        return {"vendor": self._scene.vendor}

    def _area(self) -> dict[str, Any]:
        rng = self._scene.rng
        lat, lon, half = _LAT + rng.uniform(-0.05, 0.05), _LON + rng.uniform(-0.05, 0.05), 0.03
        if rng.random() < 0.1:
            return {"area": {"bbox": [[45.0, -15.0], [60.0, 15.0]], "zoom": 4}}
        return {"area": {"bbox": [[lat - half, lon - half], [lat + half, lon + half]], "zoom": 12}}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
