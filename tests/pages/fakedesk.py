"""The fake server as the alert desk sees it: sessions by cookie, alerts with their attempts, and acts."""

from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any

from aiohttp import web

from tests.pages.fake import now_ms, refusal, refused
from tests.pages.fakefleet import FleetServer

COOKIE = "wayguard_session"
SESSIONS_PAGE = 3
DRIVER_TOKEN = "driver.driver.driver"
OPEN = ("pending", "active", "acknowledged")
ME = {"kind": "dispatcher", "id": "ana", "name": "Ana"}
ACTS = {
    "alert:ack": "acknowledge",
    "alert:respond": "responders",
    "alert:note": "notes",
    "alert:resolve": "resolve",
    "alert:false_alarm": "false-alarm",
}


@dataclass
class DeskServer(FleetServer):
    """Sessions are ids in ``sessions``: the cookie is the id itself."""

    sessions: list[str] = field(default_factory=list)
    attempts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    acted: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """By which way ("socket" or "http"), what, and with what."""
    refuse: dict[str, Any] | None = None
    """Named fault: what is done about an alert is answered with this error."""
    quiet: bool = False
    """Named fault: changes of alerts are told to nobody."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for event, what in ACTS.items():
            self.sio.on(event, self._acting(what), namespace="/watch")

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        for method, path, handler in (
            ("POST", "/session", self._sign_in),
            ("DELETE", "/session", self._sign_out),
            ("GET", "/sessions", self._sessions),
            ("DELETE", "/sessions/{session}", self._end),
            ("GET", "/alerts/{alert}", self._alert),
            ("GET", "/alerts/{alert}/{list:attempts|history}", self._earlier),
            ("POST", "/alerts/{alert}/{what}", self._act_by_http),
        ):
            app.router.add_route(method, f"/api/v1{path}", self._noted(handler))

    # --- what a test does

    async def sos(self, alert_id: str, driver: str = "d1", **change: Any) -> dict[str, Any]:
        """An alert is raised, or has changed: a new version, told to every map."""
        known = self.alerts.get(alert_id) or {
            "alert_id": alert_id,
            "vendor": "north",
            "driver": driver,
            "kind": "sos",
            "severity": "critical",
            "state": "active",
            "version": 0,
            "pressed_at": now_ms(),
            "raised_at": now_ms(),
            "journey_id": None,
            "place": {
                "lat": 53.4084,
                "lon": -2.9916,
                "accuracy_m": 12.0,
                "t_ms": now_ms(),
                "battery_pct": 64.0,
            },
            "message": "",
            "drill": False,
            "silent": False,
            "duress": False,
            "presses": 1,
            "pending_until": None,
            "acknowledged_by": None,
            "acknowledged_at": None,
            "responders": [],
            "reached_at": None,
            "exhausted_at": None,
            "exhausted_reason": None,
            "closed_at": None,
            "closed_by": None,
        }
        alert = known | change | {"version": known["version"] + 1}
        self.alerts[alert_id] = alert
        self.history.setdefault(alert_id, [line("raised", "B")])
        if not self.quiet:
            for sid in list(self.viewers):
                await self.sio.emit("alert", ("area", alert), to=sid, namespace="/watch")
        return alert

    def attempt(self, alert_id: str, which: int, **change: Any) -> None:
        """A message to somebody, new or further than it was."""
        attempt_id = f"{alert_id}-{which}"
        known = {
            "attempt_id": attempt_id,
            "purpose": "alert",
            "contact_id": "c1",
            "contact": "Ana Pérez",
            "channel": "sms",
            "status": "sending",
            "round": 0,
            "step": 0,
            "number": 1,
            "repeat": False,
            "due_at": now_ms(),
            "sent_at": None,
            "delivered_at": None,
            "provider": "twilio",
            "provider_status": None,
            "reason": None,
        }
        attempts = self.attempts.setdefault(alert_id, [])
        for place, held in enumerate(attempts):
            if held["attempt_id"] == attempt_id:
                attempts[place] = held | change
                return
        attempts.append(known | change)

    # --- sessions

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if isinstance(auth, dict) and auth.get("session"):
            held = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
            if held is None or held.value not in self.sessions:
                raise refused(refusal("unauthenticated", "no such session"))
        await super()._connect(sid, environ, auth)

    def _held(self, request: web.Request) -> str | None:
        held = request.cookies.get(COOKIE)
        return held if held in self.sessions else None

    async def _session(self, request: web.Request) -> web.StreamResponse:
        if (held := self._held(request)) is None:
            return unauthenticated()
        return web.json_response(self._me(held))

    def _me(self, held: str) -> dict[str, Any]:
        expires = now_ms() + 3_600_000
        vendors = "*" if self.vendors is None else self.vendors
        me = {"session_id": held, "name": "Ana", "role": "dispatcher", "tenant": "demo"}
        return {"ok": True, **me, "vendors": vendors, "expires_at": expires, "now_ms": now_ms()}

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if given == DRIVER_TOKEN:
            error = refusal("forbidden", "only who oversees vendors has sessions")
            return web.json_response({"ok": False, "error": error}, status=403)
        if given != self.token:
            return unauthenticated()
        session = f"session-{len(self.sessions) + 1}"
        self.sessions.append(session)
        answer = web.json_response(self._me(session), status=201)
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Strict", path="/")
        return answer

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        if (held := self._held(request)) is None or request.headers.get("X-Wayguard") != "console":
            return unauthenticated()
        self.sessions.remove(held)
        answer = web.json_response({"ok": True})
        answer.del_cookie(COOKIE, path="/")
        return answer

    async def _sessions(self, request: web.Request) -> web.StreamResponse:
        held = self._held(request)
        agent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36"
        entry = {"name": "Ana", "role": "dispatcher", "created_at": now_ms() - 60_000, "seen_at": now_ms()}
        entry |= {"expires_at": now_ms() + 3_600_000, "address": "192.0.2.7", "user_agent": agent}
        rows = [entry | {"session_id": one, "current": one == held} for one in reversed(self.sessions)]
        begin = int(request.query.get("cursor", "0"))
        cursor = str(begin + SESSIONS_PAGE) if begin + SESSIONS_PAGE < len(rows) else None
        page = rows[begin : begin + SESSIONS_PAGE]
        return web.json_response({"ok": True, "sessions": page, "next_cursor": cursor})

    async def _end(self, request: web.Request) -> web.StreamResponse:
        self.sessions.remove(request.match_info["session"])
        return web.json_response({"ok": True})

    # --- alerts

    async def _alerts(self, request: web.Request) -> web.StreamResponse:
        if self._held(request) is None:
            return unauthenticated()
        state, driver = request.query.get("state"), request.query.get("driver")
        found = [
            alert
            for alert in reversed(self.alerts.values())
            if state in (None, alert["state"]) and driver in (None, alert["driver"])
        ]
        begin, limit = int(request.query.get("cursor", "0")), int(request.query["limit"])
        page = found[begin : begin + limit]
        cursor = str(begin + limit) if begin + limit < len(found) else None
        return web.json_response({"ok": True, "alerts": page, "next_cursor": cursor})

    async def _alert(self, request: web.Request) -> web.StreamResponse:
        alert = self.alerts.get(request.match_info["alert"])
        if alert is None:
            return web.json_response(
                {"ok": False, "error": refusal("not_found", "no such alert")}, status=404
            )
        answer: dict[str, Any] = {"ok": True, "alert": alert}
        for name in ("attempts", "history"):
            page = self._page(name, request)
            answer |= {name: page[name], f"{name}_cursor": page["next_cursor"]}
        return web.json_response(answer)

    async def _earlier(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True} | self._page(request.match_info["list"], request))

    def _page(self, name: str, request: web.Request) -> dict[str, Any]:
        """The page of a list before the cursor, the newest without one. A cursor counts what is before it."""
        rows = getattr(self, name).get(request.match_info["alert"], [])
        end = int(request.query.get("cursor", len(rows)))
        begin = max(0, end - int(request.query.get("limit", "100")))
        return {name: rows[begin:end], "next_cursor": str(begin) if begin else None}

    def _acting(self, what: str) -> Any:
        async def act(_sid: str, payload: dict[str, Any]) -> dict[str, Any]:
            return await self._act("socket", what, payload.pop("alert_id"), payload)

        return act

    async def _act_by_http(self, request: web.Request) -> web.StreamResponse:
        match, body = request.match_info, await request.json()
        answer = await self._act("http", match["what"], match["alert"], body)
        return web.json_response(answer, status=200 if answer["ok"] else 409)

    async def _act(self, way: str, what: str, alert_id: str, more: dict[str, Any]) -> dict[str, Any]:
        if self.refuse is not None:
            return {"ok": False, "error": self.refuse}
        self.acted.append((way, what, more))
        at = now_ms()
        closed = {"closed_at": at, "closed_by": ME}
        responder = {"person": ME, "at": at, "eta_s": more.get("eta_s")}
        change: dict[str, dict[str, Any]] = {
            "acknowledge": {"state": "acknowledged", "acknowledged_by": ME, "acknowledged_at": at},
            "responders": {"responders": [responder]},
            "notes": {},
            "resolve": {"state": "resolved"} | closed,
            "false-alarm": {"state": "cancelled"} | closed,
        }
        arrow = {"acknowledge": "H", "responders": "S", "notes": "V", "resolve": "L", "false-alarm": "K"}[
            what
        ]
        note = more.get("text") or more.get("note")
        self.history[alert_id].append(line(what, arrow, by="Ana", **({"note": note} if note else {})))
        return {"ok": True, "alert": await self.sos(alert_id, **change[what])}


def line(what: str, arrow: str | None, by: str = "", **detail: Any) -> dict[str, Any]:
    """A line of an alert's history."""
    kind = "dispatcher" if by else "system"
    who = {"by_kind": kind, "by_id": by.lower(), "by_name": by}
    return {"version": 1, "at": now_ms(), **who, "what": what, "arrow": arrow, "detail": detail}


def unauthenticated() -> web.Response:
    error = refusal("unauthenticated", "no such session")
    return web.json_response({"ok": False, "error": error}, status=401)


__all__ = ["COOKIE", "DRIVER_TOKEN", "DeskServer", "line"]
