"""The fake server as a contact meets it: alerts that are answered, who was told, where to, presence.

Faults have names: `deaf` and `refuse`. A `bare` server serves a map that draws nothing: software rendering of
the real one takes most of the time of a page whose test reads only text.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import MISSING, dataclass, field, fields
from typing import Any
from uuid import uuid4

from aiohttp import web

from tests.pages.conftest import Tab
from tests.pages.fake import JOURNEY, FakeServer, Share, now_ms, refusal

MINE = JOURNEY.format(1)
CLOSED = ("resolved", "cancelled")
NO_MAP = """export class MapSide {
  ready = true; strayed = false; pace = { updates: 0, costMs: 0 };
  put() {} forgetWay() {} centre() {} shifted() {} close() {}
  shown() { return null; }
  at() { return null; }
}"""


@dataclass
class Link(Share):
    """A share as it was made: who was given it, and whether it answers."""

    journey: str = MINE
    holder: str = ""
    alert: str | None = None
    follows: str | None = None
    """Whom, of a link to a driver."""


@dataclass
class FakeContact(FakeServer):
    """Says what the server says to holders of links; what they do is in ``acts``."""

    alerts: dict[str, dict[str, Any]] = field(default_factory=dict)
    acts: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)
    trip: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    deaf: bool = False
    """Named fault: what is asked about alerts is refused for now (retryable)."""
    refuse: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Named fault: event → the refusal it gets."""
    bare: bool = False
    """Whether the map is left out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for act in ("ack", "respond", "resolve", "false_alarm", "told"):
            self.sio.on(f"alert:{act}", self._acting(act), namespace="/watch")

    def add_routes(self, app: web.Application) -> None:
        app.middlewares.append(self._without_map)

    @web.middleware
    async def _without_map(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not self.bare or not request.path.startswith(("/pages/assets/mapside-", "/pages/assets/way-")):
            return await handler(request)
        kind = "text/css" if request.path.endswith(".css") else "text/javascript"
        text = NO_MAP if "mapside-" in request.path else ""
        return web.Response(text=text, content_type=kind, headers={"Cache-Control": "no-store"})

    # --- what a test does

    def renew(self, **changes: Any) -> None:
        """Forgets everything that happened, for the next test; the port stays, and whether there is a map."""
        for one in fields(self):
            if one.name in ("port", "bare"):
                continue
            fresh = one.default if one.default_factory is MISSING else one.default_factory()
            setattr(self, one.name, changes.get(one.name, fresh))

    async def press(self, **more: Any) -> str:
        """An alert is raised."""
        alert_id = str(uuid4())
        at_ms = now_ms()
        self.alerts[alert_id] = {
            "alert_id": alert_id,
            "vendor": "north",
            "driver": "asha",
            "kind": "sos",
            "severity": "critical",
            "state": "active",
            "version": 0,
            "pressed_at": at_ms,
            "raised_at": at_ms,
            "journey_id": MINE,
            "place": {"lat": 53.4084, "lon": -2.9916, "accuracy_m": 9, "t_ms": at_ms, "battery_pct": 40},
            "message": "",
            "drill": False,
            "silent": False,
            "duress": False,
            "presses": 1,
            "responders": [],
            **more,
        }
        await self.change(alert_id)
        return alert_id

    async def change(self, alert_id: str, **changes: Any) -> None:
        """Something happened to the alert; everybody who watches hears of it."""
        alert = self.alerts[alert_id]
        alert.update(changes, version=alert["version"] + 1)
        for feed in (f"journey:{alert['journey_id']}", f"alert:{alert_id}"):
            await self._say("alert", feed, alert)

    async def say_presence(self, driver: str, state: str, *feeds: str, reason: str = "told") -> None:
        """As of the others, with the reason."""
        self.presence[driver], self.reasons[driver] = state, reason
        entry = {"driver": driver, "state": state, "since_ms": now_ms(), "reason": reason}
        for feed in feeds:
            await self._say("presence", feed, entry)

    # --- what a viewer asks

    async def _whoami(self, sid: str, *_nothing: Any) -> dict[str, Any]:
        answer = await super()._whoami(sid)
        share = self.who[sid]
        if isinstance(share, Link):
            answer |= {"may_answer": bool(share.holder), "name": share.holder}
            answer["journey_id"] = share.journey or None
            if share.alert:
                answer["alert_id"] = share.alert
            if share.follows:
                answer |= {"follows": share.follows, "alerts": []}
        return answer

    async def _watch(self, sid: str, payload: dict[str, Any]) -> dict[str, Any]:
        wish = payload["feed"]
        if "alert" in wish:
            self.watches.append(wish)
            alert = self.alerts.get(wish["alert"])
            if alert is None:
                return {"ok": False, "error": refusal("not_found", "no such alert")}
            answer = await self._join(sid, f"alert:{wish['alert']}", [], {})
            answer["snapshot"]["alerts"] = [alert]
            return answer
        answer = await super()._watch(sid, payload)
        if "journey" in wish and answer["ok"]:
            answer["journey"] |= self.trip
            if wish["journey"] not in self.ended:
                answer["snapshot"]["presence"] = {
                    driver: {"state": state, "since_ms": now_ms(), "reason": self.reasons.get(driver)}
                    for driver, state in self.presence.items()
                }
            found = [a for a in self.alerts.values() if a["journey_id"] == wish["journey"]]
            answer["snapshot"]["alerts"] = [a for a in found if a["state"] not in CLOSED]
        return answer

    def _acting(self, act: str) -> Any:
        async def handler(sid: str, payload: dict[str, Any]) -> dict[str, Any]:
            if self.deaf:
                return {"ok": False, "error": refusal("unavailable", "deaf by the test", retryable=True)}
            if act in self.refuse:
                return {"ok": False, "error": self.refuse[act]}
            if act == "told":
                return {"ok": True, "told": self.told, "name": self.trip.get("name", ""), "phone": None}
            self.acts.append((act, payload))
            await self._apply(act, payload, self._holder(sid))
            return {"ok": True, "alert": self.alerts[payload["alert_id"]]}

        return handler

    def _holder(self, sid: str) -> dict[str, str]:
        share = self.who[sid]
        key = next(key for key, one in self.shares.items() if one is share)
        name = share.holder if isinstance(share, Link) else ""
        return {"kind": "contact", "id": f"share:{key.partition('.')[0]}", "name": name}

    async def _apply(self, act: str, payload: dict[str, Any], who: dict[str, str]) -> None:
        alert_id = payload["alert_id"]
        if act == "ack":
            by = {"state": "acknowledged", "acknowledged_by": who, "acknowledged_at": now_ms()}
            await self.change(alert_id, **by)
        elif act == "respond":
            coming = {"person": who, "at": now_ms(), "eta_s": payload.get("eta_s")}
            await self.change(alert_id, responders=[coming])
        else:
            state = "resolved" if act == "resolve" else "cancelled"
            await self.change(alert_id, state=state, closed_by=who, closed_at=now_ms())


@asynccontextmanager
async def used(tab: Tab) -> AsyncIterator[Tab]:
    """One test's use of a tab that tests share: it ends empty, and the page complained of nothing."""
    tab.complaints.clear()
    tab.outside.clear()
    tab.expected = ()
    yield tab
    await tab.page.goto("about:blank")
    assert tab.outside == []
    assert tab.unexpected() == []
