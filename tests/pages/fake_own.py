"""What a driver sets at the server, small enough to read: PINs, contacts with codes, who is notified.

Faults have names: `refuse`, `away`.
"""

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.pages.fake import now_ms, refusal

Json = dict[str, Any]
CODE = "042117"


@dataclass
class FakeOwn:
    """State that a test reads and writes. ``pin``: the one that cancels; a driver has one by default."""

    pin: str | None = "1234"
    duress: str | None = None
    contacts: list[Json] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    """Method, path and body of each change."""
    plan: Json | None = None
    """What each dry run gives; None: everybody who counts, by text at once and by call after 45 s."""
    refuse: dict[str, Json] = field(default_factory=dict)
    """Named fault: the refusal that a path that ends so gets."""
    away: bool = False
    """Named fault: nothing of it is answered."""

    def add_routes(self, app: web.Application) -> None:
        one = "/api/v1/contacts/{id}"
        for method, path, act in (
            ("GET", "/api/v1/drivers/{driver}/safety", self._safety),
            ("GET", "/api/v1/drivers/{driver}/escalation", self._escalation),
            ("PUT", "/api/v1/drivers/{driver}/pins", self._pins),
            ("PUT", "/api/v1/drivers/{driver}/contacts/order", self._order),
            ("GET", "/api/v1/contacts", self._list),
            ("POST", "/api/v1/contacts", self._add),
            ("PATCH", one, self._change),
            ("DELETE", one, self._delete),
            ("POST", one + "/codes", self._done),
            ("POST", one + "/test", self._done),
            ("POST", one + "/verify", self._verify),
        ):
            app.router.add_route(method, path, self._guarded(act))

    def contact(self, name: str, phone: str | None = None, email: str | None = None, **more: Any) -> Json:
        """A contact that is there already; its addresses count unless ``verified`` is False."""
        verified = now_ms() if more.pop("verified", True) else None
        view = {
            "contact_id": f"00000000-0000-4000-8000-{len(self.contacts) + 1:012}",
            "name": name, "language": "en", "position": 100, "created_at": 1_000 + len(self.contacts),
            "phone": _address(phone, verified), "email": _address(email, verified),
        } | more  # fmt: skip
        self.contacts.append(view)
        return view

    def _guarded(self, act: Any) -> Any:
        async def handle(request: web.Request) -> web.Response:
            if self.away:
                request.transport.abort()  # type: ignore[union-attr]
                return web.Response()
            body = await request.json() if request.can_read_body else None
            if request.method != "GET":
                self.asked.append((request.method, request.path, body))
            refused = next((error for end, error in self.refuse.items() if request.path.endswith(end)), None)
            answer = {"ok": False, "error": refused} if refused else act(request, body)
            return web.json_response(answer, status=200 if answer["ok"] else 409)

        return handle

    def _safety(self, _request: web.Request, _body: Any) -> Json:
        return {"ok": True, "name": "", "language": "en", "cancel_pin_set": self.pin is not None}

    def _escalation(self, _request: web.Request, _body: Any) -> Json:
        if self.plan is not None:
            return {"ok": True} | self.plan
        usable = [one for one in self._sorted() if _counts(one["phone"]) or _counts(one["email"])]
        told = [
            {"contact_id": one["contact_id"], "name": one["name"], "channels": ["sms"], "fallback": ["call"]}
            for one in usable
        ]
        dispatch = {"contact_id": "dispatch", "name": "Dispatch", "channels": ["socket"], "fallback": []}
        untold = [
            {"contact_id": one["contact_id"], "name": one["name"], "reasons": ["not_verified"]}
            for one in self.contacts
            if one not in usable
        ]
        steps = [{"after_s": 0, "wait_s": 45, "told": [*told, dispatch]}]
        if told:
            calls = [one | {"channels": ["call"], "fallback": []} for one in told]
            steps.append({"after_s": 45, "wait_s": 90, "told": calls})
        return {
            "ok": True, "countdown_s": 0, "loops": 3, "steps": steps, "untold": untold,
            "reaches_somebody": bool(told), "source": "built_in",
        }  # fmt: skip

    def _pins(self, _request: web.Request, body: Json) -> Json:
        if self.pin is not None and body.get("current") != self.pin:
            return {"ok": False, "error": refusal("forbidden", "the current pin is wrong")}
        self.pin, self.duress = body["cancel"], body["duress"]
        return {"ok": True}

    def _order(self, _request: web.Request, body: Json) -> Json:
        ids = body["contact_ids"]
        if set(ids) != {one["contact_id"] for one in self.contacts}:
            return {"ok": False, "error": refusal("conflict", "not all")}
        for one in self.contacts:
            one["position"] = 100 - len(ids) + ids.index(one["contact_id"]) + 1
        return {"ok": True}

    def _sorted(self) -> list[Json]:
        return sorted(self.contacts, key=lambda one: (one["position"], one["created_at"]))

    def _list(self, _request: web.Request, _body: Any) -> Json:
        return {"ok": True, "contacts": self.contacts, "next_cursor": None}

    def _add(self, _request: web.Request, body: Json) -> Json:
        if body["phone"] is not None and not body["phone"].startswith("+"):
            return {"ok": False, "error": refusal("invalid", "phone has no country code")}
        made = self.contact(body["name"], body["phone"], body["email"], verified=False)
        return {"ok": True, "contact": made | {"language": body["language"]}, "webhook_secret": None}

    def _change(self, request: web.Request, body: Json) -> Json:
        found = self._of(request)
        if found is None:
            return {"ok": False, "error": refusal("not_found", "no such contact")}
        for name, value in body.items():
            found[name] = _address(value, None) if name in ("phone", "email") else value
        return {"ok": True, "contact": found}

    def _delete(self, request: web.Request, _body: Any) -> Json:
        found = self._of(request)
        if found is None:
            return {"ok": False, "error": refusal("not_found", "no such contact")}
        self.contacts.remove(found)
        return {"ok": True}

    def _done(self, request: web.Request, _body: Any) -> Json:
        if self._of(request) is None:
            return {"ok": False, "error": refusal("not_found", "no such contact")}
        return {"ok": True, "expires_at": now_ms() + 600_000}

    def _verify(self, request: web.Request, body: Json) -> Json:
        found = self._of(request)
        if found is None or body["code"] != CODE:
            return {"ok": False, "error": refusal("invalid", "the code is wrong")}
        address = found["email" if body["channel"] == "email" else "phone"]
        address["verified_at"], address["counts"] = now_ms(), True
        return {"ok": True, "contact": found}

    def _of(self, request: web.Request) -> Json | None:
        wanted = request.match_info["id"]
        return next((one for one in self.contacts if one["contact_id"] == wanted), None)


def _address(text: str | None, verified_ms: int | None) -> Json | None:
    if text is None:
        return None
    counts = verified_ms is not None
    return {"address": text, "verified_at": verified_ms, "opted_out_at": None, "counts": counts}


def _counts(address: Json | None) -> bool:
    return address is not None and bool(address["counts"])
