"""The server of the driver's app, small enough to read: the pages, `/driver`, and what the app asks by HTTP.

Journeys are kept as the protocol wants them (docs/PROTOCOL.md): seqs 1..n or a refusal. Faults have
names: `lose_acks`, `keep_out`, `no_socket`, `deaf`, `cut`, `lose_network`.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import jwt
import socketio
from aiohttp import web

from realtime.pages.routes import STATIC, add_pages
from realtime.settings import Settings
from tests.pages.fake import Point, now_ms, refusal, refused
from tests.pages.fake_own import FakeOwn

Json = dict[str, Any]
SECRET = "s" * 32


def token(driver: str = "d1", expires_in_s: int = 30 * 86_400) -> str:
    """A token as the app reads it; the fake server knows those it has handed out."""
    claims = {"driver": driver, "vendors": ["north"], "exp": now_ms() // 1_000 + expires_in_s}
    return jwt.encode(claims, SECRET, algorithm="HS256")


@dataclass
class Journey:
    journey_id: str
    destination: Any
    points: list[Point] = field(default_factory=list)
    ended: Json | None = None


@dataclass
class FakeDriverServer:
    """State that a test reads and writes."""

    journeys: dict[str, Journey] = field(default_factory=dict)
    presses: list[tuple[str, Json]] = field(default_factory=list)
    """Each press taken, and by which way."""
    alert: Json | None = None
    state_of_new: Json = field(default_factory=lambda: {"state": "active"})
    cancels: list[str] = field(default_factory=list)
    timers: list[tuple[str, Json]] = field(default_factory=list)
    pairings: dict[str, str] = field(default_factory=dict)
    auths: list[Json] = field(default_factory=list)
    by_http: int = 0
    own: FakeOwn = field(default_factory=FakeOwn)
    """PINs, contacts and plans of the driver."""
    build: int = 1
    """Which build the service worker is of."""
    port: int = 0
    lose_acks: int = 0
    """Named fault: so many batches are stored, and their answers lost with the connection."""
    keep_out: Json | None = None
    """Named fault: nobody gets in by socket, for this reason; with `token_expired` an SOS does."""
    no_socket: bool = False
    """Named fault: the socket is dead, HTTP is not."""
    deaf: bool = False
    """Named fault: no SOS is answered."""
    has_safety: bool = False
    """Whether there is a safety address too, as the balancer has it; set before `start`."""

    def __post_init__(self) -> None:
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp", namespaces=["/driver"], ping_interval=5, ping_timeout=5
        )
        self.sids: set[str] = set()
        for name, act in {
            "connect": self._connect,
            "disconnect": self._disconnect,
            "journey:start": self._start,
            "positions": self._positions,
            "journey:end": self._end,
            "sos": self._sos,
            "sos:cancel": self._cancel,
            "sos:state": self._state,
        }.items():
            self.sio.on(name, act, namespace="/driver")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seqs(self) -> list[list[Any]]:
        """The stored seqs of each journey."""
        return [[point[0] for point in journey.points] for journey in self.journeys.values()]

    # --- what a test does

    async def start(self) -> None:
        app = web.Application()
        self.sio.attach(app)
        app.router.add_get("/drive/sw.js", self._service_worker)
        add_pages(app, Settings(safety_url=await self._start_safety()))
        app.router.add_post("/api/v1/positions", self._http_positions)
        app.router.add_post("/api/v1/sos", self._http_sos)
        app.router.add_post("/api/v1/pairings/redeem", self._http_redeem)
        app.router.add_post("/api/v1/timers{rest:.*}", self._http_timer)
        app.router.add_get("/api/v1/timers", self._http_timers)
        self.own.add_routes(app)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        await self.restore_network()

    async def _start_safety(self) -> str:
        """The safety address, of another origin than the pages; empty without one."""
        if not self.has_safety:
            return ""
        app = web.Application()
        app.router.add_post("/api/v1/sos", self._safety_sos)
        app.router.add_options("/api/v1/sos", self._safety_preflight)
        self._safety_runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._safety_runner.setup()
        await web.TCPSite(self._safety_runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._safety_runner.addresses[0][1]}"

    async def lose_safety(self) -> None:
        """Named fault: nothing listens at the safety address."""
        await self._safety_runner.cleanup()

    async def restore_network(self) -> None:
        """Listens, on the same port as before."""
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def lose_network(self) -> None:
        """Named fault: nothing listens, and every TCP connection is aborted, of a service worker too."""
        await self._site.stop()
        server = self._runner.server
        assert server is not None
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self.cut()

    async def stop(self) -> None:
        await self.cut()
        await self.sio.shutdown()
        await self._runner.cleanup()
        if self.has_safety:
            await self._safety_runner.cleanup()

    async def cut(self) -> None:
        """Named fault: every session ends; the server can still be reached."""
        for sid in list(self.sids):
            await self.sio.disconnect(sid, namespace="/driver")

    async def tell(self, **changes: Any) -> None:
        """The alert changes, and the phone is told."""
        assert self.alert is not None
        self.alert |= changes | {"version": self.alert["version"] + 1}
        await self.sio.emit("sos:update", self.alert, namespace="/driver")

    # --- the app's socket

    async def _connect(self, sid: str, _environ: Json, auth: Any) -> None:
        auth = auth if isinstance(auth, dict) else {}
        self.auths.append(auth)
        if self.no_socket:
            raise refused(refusal("unavailable", "no socket by the test", retryable=True))
        if self.keep_out is not None:
            if not (auth.get("sos") and self.keep_out["code"] == "token_expired"):
                raise refused(self.keep_out)
            await self.sio.emit("sos:only", self.keep_out, to=sid, namespace="/driver")
        self.sids.add(sid)

    async def _disconnect(self, sid: str, *_reason: Any) -> None:
        self.sids.discard(sid)

    async def _start(self, _sid: str, payload: Json) -> Json:
        if self.keep_out is not None:
            return {"ok": False, "error": self.keep_out}
        client_id = payload["client_journey_id"]
        made = Journey(f"01890000-0000-7000-8000-{len(self.journeys) + 1:012}", payload.get("destination"))
        journey = self.journeys.setdefault(client_id, made)
        answer = {"ok": True, "journey_id": journey.journey_id, "next_seq": len(journey.points) + 1}
        return answer if journey.ended is None else answer | {"last_seq": journey.ended["last_seq"]}

    async def _positions(self, sid: str, payload: Json) -> Json:
        answer = self._store(payload)
        if self.lose_acks > 0 and answer["ok"]:
            self.lose_acks -= 1
            await self.sio.disconnect(sid, namespace="/driver")
            await asyncio.sleep(0.2)
        return answer

    def _store(self, payload: Json) -> Json:
        journey = self._journey(payload["journey_id"])
        if journey is None:
            return {"ok": False, "error": refusal("not_found", "no such journey")}
        for point in payload["points"]:
            n = len(journey.points)
            if point[0] > n + 1:
                return {
                    "ok": False,
                    "error": refusal("expected_seq", "a hole", retryable=True) | {"expected": n + 1},
                }
            if point[0] == n + 1:
                journey.points.append(point)
            elif journey.points[point[0] - 1] != point:
                return {
                    "ok": False,
                    "error": refusal("conflict", "other content") | {"conflicts": [point[0]]},
                }
        return {"ok": True, "through": len(journey.points), "voided": []}

    async def _end(self, _sid: str, payload: Json) -> Json:
        journey = self._journey(payload["journey_id"])
        assert journey is not None
        journey.ended = journey.ended or payload
        return {"ok": True}

    def _journey(self, journey_id: str) -> Journey | None:
        return next((one for one in self.journeys.values() if one.journey_id == journey_id), None)

    # --- SOS

    async def _sos(self, _sid: str, payload: Json) -> Json | None:
        return self._press("socket", payload)

    def _press(self, way: str, payload: Json) -> Json | None:
        if self.deaf:
            return None
        self.presses.append((way, payload))
        if self.alert is None or self.alert["state"] in ("cancelled", "resolved"):
            told = {
                "acknowledged_by": None,
                "responders": [],
                "reached_at": None,
                "exhausted": False,
                "told": [],
            }
            alert_id = f"0b5b7d1e-1c1b-5c5e-8f0a-{len(self.presses):012}"
            view = {"alert_id": alert_id, "sos_id": payload["sos_id"], "version": 1, "pending_until": None}
            self.alert = view | told | self.state_of_new
        return {"ok": True, "durability": "committed"} | {
            key: self.alert[key] for key in ("alert_id", "state")
        }

    async def _cancel(self, _sid: str, payload: Json) -> Json:
        assert self.alert is not None
        self.cancels.append(payload["pin"])
        if payload["pin"] != (self.own.pin or ""):
            return {"ok": False, "error": refusal("forbidden", "pin is wrong")}
        self.alert["state"] = "cancelled"
        self.alert["version"] += 1
        return {"ok": True, "state": "cancelled"}

    async def _state(self, _sid: str, _payload: Json) -> Json:
        return {"ok": True, "sos": self.alert}

    # --- HTTP

    async def _http_positions(self, request: web.Request) -> web.Response:
        self.by_http += 1
        answer = self._store(await request.json())
        if self.lose_acks > 0 and answer["ok"] and request.transport is not None:
            self.lose_acks -= 1
            request.transport.abort()
        return _answered(answer)

    async def _http_sos(self, request: web.Request) -> web.Response:
        answer = self._press("http", await request.json())
        if answer is None:
            return _answered(
                {"ok": False, "error": refusal("unavailable", "deaf by the test", retryable=True)}
            )
        return _answered(answer)

    async def _safety_sos(self, request: web.Request) -> web.Response:
        response = _answered(self._press("safety", await request.json()) or {"ok": False})
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    async def _safety_preflight(self, _request: web.Request) -> web.Response:
        allowed = {"Origin": "*", "Methods": "POST", "Headers": "Authorization, Content-Type"}
        headers = {f"Access-Control-Allow-{name}": value for name, value in allowed.items()}
        return web.Response(status=204, headers=headers)

    async def _http_redeem(self, request: web.Request) -> web.Response:
        given = self.pairings.pop((await request.json())["code"], None)
        if given is None:
            return _answered({"ok": False, "error": refusal("not_found", "no such code")})
        who = {"driver": "d1", "vendor": "north", "tenant": "demo", "expires_at": now_ms() + 30 * 86_400_000}
        return _answered({"ok": True, "token": given, **who})

    async def _http_timers(self, request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "timers": []})

    async def _http_timer(self, request: web.Request) -> web.Response:
        self.timers.append((request.match_info["rest"], await request.json()))
        return _answered({"ok": True})

    async def _service_worker(self, _request: web.Request) -> web.Response:
        text = (STATIC / "sw.js").read_text() + f"\n// build {self.build}\n"
        headers = {"Service-Worker-Allowed": "/drive", "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type="text/javascript", headers=headers)


def _answered(answer: Json) -> web.Response:
    return web.json_response(answer, status=200 if answer["ok"] else 409)
