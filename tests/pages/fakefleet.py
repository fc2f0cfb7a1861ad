"""The fake server as a console sees it: session, area and driver feeds, the HTTP API of the fleet."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.pages.fake import FakeServer, Point, now_ms, refusal

COUNTS_BELOW_ZOOM = 5
CELL_DEG = 5.0
"""Cells of the fake are squares; the server's are hexagons, which no page may rely on."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Viewer:
    """What one map shows: the box and the zoom it asked for, and whom it was told of."""

    box: tuple[float, float, float, float]
    zoom: float
    vendors: list[str] | None
    known: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def counted(self) -> bool:
        return self.zoom < COUNTS_BELOW_ZOOM

    def sees(self, point: Point) -> bool:
        south, west, north, east = self.box
        lat, lon = float(point[2] or 0), float(point[3] or 0)
        return south <= lat <= north and (west <= lon <= east if west <= east else lon >= west or lon <= east)


@dataclass
class FleetServer(FakeServer):
    """A fake with drivers on a map, and what a console asks of them by HTTP."""

    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    """Shares that were made, as the API lists them."""
    shares_page: int = 3
    heads: list[dict[str, Any]] = field(default_factory=list)
    """Journeys as `GET /api/v1/journeys` lists them, newest first."""
    logs: dict[str, list[Point]] = field(default_factory=dict)
    """The points of journeys that are looked back at."""
    pairings: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Method and path of each request to the API."""
    away: set[str] = field(default_factory=set)
    """Named fault: paths that begin so are `unavailable`."""
    page_rows: int = 500
    names: dict[str, str] = field(default_factory=dict)
    """What drivers are called."""
    phones: dict[str, str] = field(default_factory=dict)
    """Drivers' own numbers."""
    under_way: dict[str, bool] = field(default_factory=dict)
    """Who has an open journey, where the list says so."""
    contacts: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    raised: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of `POST /api/v1/alerts`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.viewers: dict[str, Viewer] = {}

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        ways: list[tuple[str, str, Handler]] = [
            ("GET", "/session", self._session),
            ("GET", "/vendors", self._vendor_names),
            ("GET", "/vendors/{vendor}/positions", self._positions),
            ("GET", "/alerts", self._alerts),
            ("GET", "/journeys", self._journeys),
            ("GET", "/journeys/{journey}/points", self._points),
            ("POST", "/journeys/{journey}/shares", self._share),
            ("GET", "/journeys/{journey}/shares", self._shares),
            ("DELETE", "/shares/{share}", self._revoke),
            ("POST", "/pairings", self._pair),
            ("POST", "/drivers/names", self._names),
            ("GET", "/drivers/{driver}/profile", self._profile),
            ("PUT", "/drivers/{driver}/profile", self._describe),
            ("GET", "/drivers/{driver}/changes", self._changes),
            ("GET", "/drivers/{driver}/escalation", self._escalation),
            ("GET", "/contacts", self._contacts),
            ("PATCH", "/contacts/{contact}", self._change_contact),
            ("POST", "/alerts", self._raise),
        ]
        for method, path, handler in ways:
            app.router.add_route(method, f"/api/v1{path}", self._noted(handler))

    # --- what a test does

    async def move(self, fixes: dict[str, Point], *, vendor: str = "north", journey: str = "j-{}") -> None:
        """Many drivers report at once; each map hears of those it shows, in one message."""
        latest = self.latest.setdefault(vendor, {})
        for driver, point in fixes.items():
            latest[driver] = (journey.format(driver), point)
        for sid in list(self.viewers):
            await self._tell_area(sid, fixes)

    async def raise_alert(self, driver: str, alert_id: str = "a-1", **change: Any) -> None:
        """An alert as the server tells it, to every map."""
        alert = {
            "alert_id": alert_id,
            "vendor": "north",
            "driver": driver,
            "kind": "sos",
            "severity": "critical",
            "state": "active",
            "version": len(self.alerts) + 1,
            "pressed_at": now_ms(),
            "raised_at": now_ms(),
            "journey_id": None,
            "place": None,
            "responders": [],
        }
        self.alerts[alert_id] = alert | change
        for sid in list(self.viewers):
            await self.sio.emit("alert", ("area", self.alerts[alert_id]), to=sid, namespace="/watch")

    async def reset_area(self) -> None:
        """The server lost its place: every map has to ask anew, and is told everything."""
        for sid in list(self.viewers):
            del self.viewers[sid]
            await self.sio.emit("reset", {"feed": "area"}, to=sid, namespace="/watch")

    # --- areas

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        if isinstance(auth, dict) and auth.get("session"):
            auth = {"token": self.token}
        await super()._connect(sid, environ, auth)

    async def _disconnect(self, sid: str, *reason: Any) -> None:
        self.viewers.pop(sid, None)
        await super()._disconnect(sid, *reason)

    async def _unwatch(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        if payload["feed"] == "area":
            self.viewers.pop(sid, None)
        return await super()._unwatch(sid, payload)

    async def _watch(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        wish = payload["feed"]
        if "area" in wish:
            self.watches.append(wish)
            return self._area(sid, wish["area"])
        if "driver" in wish:
            self.watches.append(wish)
            driver = wish["driver"]
            held = [[driver, *latest[driver]] for latest in self.latest.values() if driver in latest]
            return await self._join(sid, f"driver:{driver}", held, {})
        return await super()._watch(sid, payload)

    def _area(self, sid: str, wish: dict[str, Any]) -> dict[str, Any]:
        (south, west), (north, east) = wish["bbox"]
        viewer = Viewer((south, west, north, east), wish["zoom"], wish.get("vendors"))
        before = self.viewers.get(sid)
        self.viewers[sid] = viewer
        fresh = before is None or before.counted != viewer.counted
        left: list[str] = []
        positions: list[Any] = []
        if viewer.counted:
            viewer.counts = self._counted(viewer)
            counts = [self._entry(cell, n) for cell, n in viewer.counts.items()]
            if before is not None and before.counted:
                counts += [self._entry(cell, 0) for cell in before.counts if cell not in viewer.counts]
        else:
            counts = []
            inside = {row[0]: row for row in self._everybody(viewer) if viewer.sees(row[2])}
            known = set() if fresh or before is None else before.known
            positions = [row for driver, row in inside.items() if driver not in known]
            left = sorted(known - inside.keys())
            viewer.known = set(inside)
        presence = {
            row[0]: {"state": self.presence[row[0]], "since_ms": now_ms(), "reason": "connected"}
            for row in positions
            if row[0] in self.presence
        }
        return {
            "ok": True,
            "feed": "area",
            "mode": "counts" if viewer.counted else "markers",
            "fresh": fresh,
            "left": left,
            "counts": counts,
            "snapshot": {"positions": positions, "presence": presence, "alerts": list(self.alerts.values())},
        }

    async def _tell_area(self, sid: str, fixes: dict[str, Point]) -> None:
        viewer = self.viewers[sid]
        if viewer.counted:
            counts = self._counted(viewer)
            cells = {*counts, *viewer.counts}
            changed = [c for c in cells if counts.get(c, 0) != viewer.counts.get(c, 0)]
            viewer.counts = counts
            told = [self._entry(cell, counts.get(cell, 0)) for cell in changed]
            if told:
                await self.sio.emit("counts", ("area", told), to=sid, namespace="/watch")
            return
        rows = {row[0]: row for row in self._everybody(viewer) if row[0] in fixes}
        inside = {driver: row for driver, row in rows.items() if viewer.sees(row[2])}
        left = sorted((viewer.known & rows.keys()) - inside.keys())
        viewer.known = (viewer.known | inside.keys()) - set(left)
        arguments = ("area", list(inside.values()), left) if left else ("area", list(inside.values()))
        await self.sio.emit("positions", arguments, to=sid, namespace="/watch")

    def _everybody(self, viewer: Viewer) -> list[Any]:
        vendors = self.latest if viewer.vendors is None else viewer.vendors
        return [row for vendor in vendors for row in self._vendor(vendor)]

    def _counted(self, viewer: Viewer) -> dict[str, int]:
        counts: dict[str, int] = {}
        for _, _, point in self._everybody(viewer):
            if viewer.sees(point):
                corner = [math.floor(float(point[at] or 0) / CELL_DEG) for at in (2, 3)]
                cell = f"{corner[0]}:{corner[1]}"
                counts[cell] = counts.get(cell, 0) + 1
        return counts

    def _entry(self, cell: str, number: int) -> list[Any]:
        lat, lon = (int(part) * CELL_DEG + CELL_DEG / 2 for part in cell.split(":"))
        return [cell, lat, lon, number]

    # --- HTTP

    def _noted(self, handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.path}")
            if any(request.path.startswith(path) for path in self.away):
                error = refusal("unavailable", "away by the test", retryable=True)
                return web.json_response({"ok": False, "error": error}, status=503)
            return await handler(request)

        return answer

    async def _session(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {
                "ok": True,
                "name": "desk",
                "role": "dispatcher",
                "tenant": "demo",
                "expires_at": now_ms() + 3_600_000,
            }
        )

    async def _vendor_names(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"ok": True, "vendors": self.vendors or sorted(self.latest), "next_cursor": None}
        )

    async def _positions(self, request: web.Request) -> web.StreamResponse:
        latest = self.latest.get(request.match_info["vendor"], {})
        begin = int(request.query.get("cursor", "0"))
        end = begin + self.page_rows
        rows = [
            {
                "driver": driver,
                "journey_id": latest[driver][0],
                "point": latest[driver][1],
                "received_ms": latest[driver][1][1],
                "age_ms": 0,
                "presence": {
                    "state": self.presence.get(driver, "online"),
                    "since_ms": now_ms() - 60_000,
                    "reason": "connected",
                },
                "journey_open": self.under_way.get(driver),
            }
            for driver in sorted(latest)[begin:end]
        ]
        cursor = str(end) if end < len(latest) else None
        return web.json_response({"ok": True, "now_ms": now_ms(), "positions": rows, "next_cursor": cursor})

    async def _alerts(self, request: web.Request) -> web.StreamResponse:
        state = request.query.get("state")
        alerts = [alert for alert in self.alerts.values() if state in (None, alert["state"])]
        return web.json_response({"ok": True, "alerts": alerts, "next_cursor": None})

    async def _journeys(self, request: web.Request) -> web.StreamResponse:
        heads = [head for head in self.heads if head["driver"] == request.query["driver"]]
        return web.json_response({"ok": True, "journeys": heads, "next_cursor": None})

    async def _points(self, request: web.Request) -> web.StreamResponse:
        since, limit = int(request.query["since_seq"]), min(2, int(request.query["limit"]))
        log = self.logs.get(request.match_info["journey"], [])
        page = [point for point in log if int(point[0] or 0) > since][:limit]
        through = int(page[-1][0] or 0) if page else since
        return web.json_response({"ok": True, "points": page, "through": through, "more": through < len(log)})

    async def _share(self, request: web.Request) -> web.StreamResponse:
        wish = await request.json()
        share_id = f"share-{len(self.made) + 1}"
        expires = now_ms() + wish["expires_in_s"] * 1_000
        entry = {
            "id": share_id,
            "scope": wish["scope"],
            "created_at": now_ms(),
            "created_by": "desk",
            "expires_at": expires,
            "revoked_at": None,
            "views": [],
        }
        self.made.insert(0, entry)
        url = f"https://track.example/s/{share_id}#secret-of-{share_id}"
        return web.json_response({"ok": True, "id": share_id, "url": url, "expires_at": expires}, status=201)

    async def _shares(self, request: web.Request) -> web.StreamResponse:
        begin = int(request.query.get("cursor", "0"))
        end = begin + self.shares_page
        cursor = str(end) if end < len(self.made) else None
        return web.json_response({"ok": True, "shares": self.made[begin:end], "next_cursor": cursor})

    async def _revoke(self, request: web.Request) -> web.StreamResponse:
        for entry in self.made:
            if entry["id"] == request.match_info["share"]:
                entry["revoked_at"] = now_ms()
        return web.json_response({"ok": True})

    async def _pair(self, request: web.Request) -> web.StreamResponse:
        self.pairings.append(await request.json())
        url = "https://track.example/drive#pair=pJ3r0yq8sW1xkU5tB7nD2mC9vL4zQ6hE"
        return web.json_response(
            {"ok": True, "url": url, "jti": "0f", "expires_at": now_ms() + 600_000}, status=201
        )

    async def _names(self, request: web.Request) -> web.StreamResponse:
        wanted = (await request.json())["drivers"]
        assert 0 < len(wanted) <= 500
        return web.json_response(
            {"ok": True, "names": {one: self.names[one] for one in wanted if one in self.names}}
        )

    async def _profile(self, request: web.Request) -> web.StreamResponse:
        driver = request.match_info["driver"]
        return web.json_response(
            {"ok": True, "name": self.names.get(driver, ""), "phone": self.phones.get(driver)}
        )

    async def _describe(self, request: web.Request) -> web.StreamResponse:
        driver, body = request.match_info["driver"], await request.json()
        phone = body["phone"]
        if phone is not None and not phone.startswith("+"):
            error = refusal("invalid", "phone: not an international number")
            return web.json_response({"ok": False, "error": error}, status=400)
        for field_, held, given in (("name", self.names, body["name"]), ("phone", self.phones, phone)):
            before = held.get(driver)
            if before != given:
                change = {"at": now_ms(), "by_role": "dispatcher", "by_id": "desk", "field": field_}
                self.changes.insert(0, change | {"before": before, "after": given})
            held.pop(driver, None)
            if given:
                held[driver] = given.replace(" ", "") if held is self.phones else given
        return await self._profile(request)

    async def _changes(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True, "changes": self.changes})

    async def _contacts(self, request: web.Request) -> web.StreamResponse:
        mine = [one for one in self.contacts if one["driver"] == request.query["driver"]]
        return web.json_response({"ok": True, "contacts": mine, "next_cursor": None})

    async def _change_contact(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        for one in self.contacts:
            if one["contact_id"] == request.match_info["contact"]:
                one["name"] = body["name"]
                if "phone" in body:
                    one["phone"] = {"address": f"{body['phone'][:3]}•••{body['phone'][-2:]}"} | UNVERIFIED
                return web.json_response({"ok": True, "contact": one, "webhook_secret": None})
        return web.json_response({"ok": False, "error": refusal("not_found", "no such contact")}, status=404)

    async def _escalation(self, request: web.Request) -> web.StreamResponse:
        mine = [one for one in self.contacts if one["driver"] == request.match_info["driver"]]
        counts = [one for one in mine if one["phone"] and one["phone"]["counts"]]
        told = [
            {"contact_id": one["contact_id"], "name": one["name"], "channels": ["sms"], "fallback": ["call"]}
            for one in counts
        ]
        dispatch = {"contact_id": "dispatch", "name": "Dispatch", "channels": ["socket"], "fallback": []}
        untold = [
            {"contact_id": one["contact_id"], "name": one["name"], "reasons": ["not_verified"]}
            for one in mine
            if one not in counts
        ]
        return web.json_response(
            {
                "ok": True,
                "driver": request.match_info["driver"],
                "vendor": "north",
                "kind": request.query["kind"],
                "source": "vendor",
                "countdown_s": 30 if request.query["kind"] == "fall" else 0,
                "loops": 3,
                "steps": [
                    {"after_s": 0, "wait_s": 45, "told": [dispatch, *told]},
                    {"after_s": 45, "wait_s": 90, "told": told},
                ],
                "untold": untold,
                "reaches_somebody": bool(told),
            }
        )

    async def _raise(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.raised.append(body)
        alert_id = f"raised-{body['sos_id']}"
        by = {"kind": "operator", "id": "desk", "name": ""}
        more = {"drill": body["drill"], "silent": body["silent"], "message": body["message"]}
        await self.raise_alert(body["driver"], alert_id, vendor=body["vendor"], raised_by=by, **more)
        return web.json_response(
            {"ok": True, "alert_id": alert_id, "state": "active", "durability": "committed"}
        )


UNVERIFIED = {"verified_at": None, "opted_out_at": None, "counts": False}


def contact(contact_id: str, name: str, driver: str, phone: str, *, verified: bool = True) -> dict[str, Any]:
    """A contact as a dispatcher is shown it."""
    state = {"verified_at": 1, "opted_out_at": None, "counts": True} if verified else UNVERIFIED
    return {
        "contact_id": contact_id,
        "vendor": None,
        "driver": driver,
        "name": name,
        "position": 1,
        "phone": {"address": f"{phone[:3]}•••{phone[-2:]}"} | state,
        "email": None,
    }


def point(
    seq: int,
    lat: float,
    lon: float,
    *,
    t_ms: int | None = None,
    speed_mps: float = 8.0,
    battery_pct: float = 81.0,
) -> Point:
    return [seq, now_ms() if t_ms is None else t_ms, lat, lon, speed_mps, 45.0, 12.0, None, battery_pct]


async def steadily(every_s: float, act: Callable[[int], Awaitable[None]]) -> None:
    """Runs ``act`` with 0, 1, 2 … every ``every_s`` until it is cancelled."""
    step = 0
    while True:
        await act(step)
        step += 1
        await asyncio.sleep(every_s)
