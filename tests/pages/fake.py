"""A server of the pages and of `/watch`, small enough to read, that says what a test wants said.

It speaks the wire protocol of docs/PROTOCOL.md to viewers (whoami, watch, positions, presence, journey,
reset, drain, closing) from positions a test puts in. Faults have names: `cut`, `lose_journey_events`,
`keep_out`.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import socketio
from aiohttp import web

from realtime.pages.routes import add_pages
from realtime.settings import Settings

Point = list[float | int | None]
JOURNEY = "01890000-0000-7000-8000-00000000000{}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def refusal(code: str, message: str, *, retryable: bool = False) -> dict[str, Any]:
    return {"code": code, "message": message, "retryable": retryable}


@dataclass
class Share:
    journey: str
    scope: str = "journey"


@dataclass
class FakeServer:
    """State a test reads and writes; the socket side below only repeats it."""

    vendors: list[str] | None = field(default_factory=lambda: ["north"])
    latest: dict[str, dict[str, tuple[str, Point]]] = field(default_factory=dict)
    presence: dict[str, str] = field(default_factory=dict)
    journeys: dict[str, list[tuple[str, Point]]] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    shares: dict[str, Share] = field(default_factory=dict)
    watches: list[dict[str, Any]] = field(default_factory=list)
    connects: int = 0
    port: int = 0
    keep_out: bool = False
    """Named fault: nobody gets in for now (retryable)."""
    lose_journey_events: int = 0
    """Named fault: so many journey events go nowhere."""
    token: str = "aaaa.bbbb.cccc"

    def __post_init__(self) -> None:
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp", namespaces=["/watch"], ping_interval=5, ping_timeout=5
        )
        self.who: dict[str, Share | None] = {}
        self.sio.on("connect", self._connect, namespace="/watch")
        self.sio.on("disconnect", self._disconnect, namespace="/watch")
        self.sio.on("whoami", self._whoami, namespace="/watch")
        self.sio.on("watch", self._watch, namespace="/watch")
        self.sio.on("unwatch", self._unwatch, namespace="/watch")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- what a test does

    async def start(self, **settings: Any) -> None:
        app = web.Application()
        self.sio.attach(app)
        add_pages(app, Settings(**settings))
        self.add_routes(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def add_routes(self, app: web.Application) -> None:
        """For whoever serves more than pages and feeds."""

    async def stop(self) -> None:
        await self.cut()
        await self.sio.shutdown()
        await self._runner.cleanup()

    async def report(
        self,
        driver: str,
        lat: float | None,
        lon: float | None,
        *,
        vendor: str = "north",
        journey: str = JOURNEY.format(1),
        t_ms: int | None = None,
        speed_mps: float | None = 8.0,
        heading_deg: float | None = None,
        accuracy_m: float | None = 12.0,
        battery_pct: float | None = 81.0,
    ) -> int:
        """The driver reports a place, or a void: the log grows, the feeds hear of it. Gives the seq."""
        log = self.journeys.setdefault(journey, [])
        seq = len(log) + 1
        taken = now_ms() if t_ms is None else t_ms
        point: Point = [seq, taken, lat, lon, speed_mps, heading_deg, accuracy_m, None, battery_pct]
        if lat is None:
            point = [seq, None, None, None]
        log.append((driver, point))
        if lat is not None:
            self.latest.setdefault(vendor, {})[driver] = (journey, point)
            await self._say("positions", f"vendor:{vendor}", [[driver, journey, point]])
        if self.lose_journey_events > 0:
            self.lose_journey_events -= 1
        else:
            await self._say("positions", f"journey:{journey}", [[driver, journey, point]])
        return seq

    async def say_presence(self, driver: str, state: str, *feeds: str) -> None:
        self.presence[driver] = state
        entry = {"driver": driver, "state": state, "since_ms": now_ms(), "reason": "told"}
        for feed in feeds:
            await self._say("presence", feed, entry)

    async def end(self, journey: str, driver: str) -> None:
        self.ended.add(journey)
        news = {"journey": journey, "driver": driver, "state": "ended", "at_ms": now_ms()}
        await self._say("journey", f"journey:{journey}", news)

    async def reset(self, feed: str) -> None:
        await self.sio.emit("reset", {"feed": feed}, room=feed, namespace="/watch")

    async def drain(self) -> None:
        await self.sio.emit("drain", {"after_ms": 10, "spread_ms": 50}, namespace="/watch")

    async def cut(self) -> None:
        """Named fault: every connection ends, without a word."""
        for sid in list(self.who):
            await self.sio.disconnect(sid, namespace="/watch")

    async def close_with(self, code: str, *, retryable: bool = False) -> None:
        for sid in list(self.who):
            message = refusal(code, "closed by the test", retryable=retryable)
            await self.sio.emit("closing", message, to=sid, namespace="/watch")
            await self.sio.disconnect(sid, namespace="/watch")

    async def _say(self, event: str, feed: str, payload: Any) -> None:
        await self.sio.emit(event, (feed, payload), room=feed, namespace="/watch")

    # --- what a viewer asks

    async def _connect(self, sid: str, _environ: dict[str, Any], auth: Any) -> None:
        self.connects += 1
        if self.keep_out:
            raise refused(refusal("overloaded", "kept out by the test", retryable=True))
        auth = auth if isinstance(auth, dict) else {}
        if "share" in auth:
            share = self.shares.get(auth["share"])
            if share is None:
                raise refused(refusal("unauthenticated", "no such share"))
            self.who[sid] = share
        elif auth.get("token") == self.token:
            self.who[sid] = None
        else:
            raise refused(refusal("unauthenticated", "no such token"))

    async def _disconnect(self, sid: str, *_reason: Any) -> None:
        self.who.pop(sid, None)

    async def _whoami(self, sid: str, *_nothing: Any) -> dict[str, Any]:
        share = self.who[sid]
        answer: dict[str, Any] = {"ok": True, "tenant": "demo", "now_ms": now_ms()}
        answer["expires_at"] = now_ms() + 3_600_000
        if share is None:
            return answer | {"role": "dispatcher", "vendors": "*" if self.vendors is None else self.vendors}
        return answer | {"role": "share", "vendors": [], "journey_id": share.journey, "scope": share.scope}

    async def _unwatch(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        await self.sio.leave_room(sid, payload["feed"], namespace="/watch")
        return {"ok": True}

    async def _watch(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        wish = payload["feed"]
        self.watches.append(wish)
        if "vendor" in wish:
            if self.vendors is not None and wish["vendor"] not in self.vendors:
                return {"ok": False, "error": refusal("not_found", "vendor is not known")}
            return await self._join(sid, f"vendor:{wish['vendor']}", self._vendor(wish["vendor"]), {})
        journey, since = wish["journey"], wish.get("since_seq", 0)
        share = self.who[sid]
        through = len(self.journeys.get(journey, []))
        if since > through:
            return {"ok": False, "error": refusal("invalid", f"since_seq {since} is beyond {through}")}
        rows = [row for row in self.journeys.get(journey, []) if int(row[1][0] or 0) > since]
        if share is not None and share.scope == "live":
            rows = rows[-1:]
        fixes = [[driver, journey, point] for driver, point in rows]
        ended = now_ms() if journey in self.ended else None
        head = {"driver": "asha", "vendor": "north", "created_ms": 1, "ended_ms": ended, "expired": False}
        more = {"through": through, "more": False, "journey": head}
        return await self._join(sid, f"journey:{journey}", fixes, more)

    def _vendor(self, vendor: str) -> list[Any]:
        return [[driver, journey, point] for driver, (journey, point) in self.latest.get(vendor, {}).items()]

    async def _join(
        self, sid: str, feed: str, positions: Iterable[Any], more: dict[str, Any]
    ) -> dict[str, Any]:
        await self.sio.enter_room(sid, feed, namespace="/watch")
        presence = {
            driver: {"state": state, "since_ms": now_ms(), "reason": None}
            for driver, state in self.presence.items()
            if feed.startswith("vendor:")
        }
        snapshot = {"positions": list(positions), "presence": presence, "alerts": []}
        return {"ok": True, "feed": feed, "snapshot": snapshot, **more}


def refused(error: dict[str, Any]) -> socketio.exceptions.ConnectionRefusedError:
    return socketio.exceptions.ConnectionRefusedError(error["message"], error)


async def until(condition: Any, timeout_s: float = 10.0) -> None:
    """Waits until ``condition()`` holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)
