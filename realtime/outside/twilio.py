"""Twilio's REST API as far as it is used here: messages, calls, look-ups, and people.

What becomes of a message or a call is told by ``callbacks``; people answer by `reply` and `press`.
"""

import itertools
import secrets
import time
from base64 import b64decode
from collections import deque
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from alerts.addresses.phone import identity
from realtime.outside.twilio_callbacks import KEPT, Callbacks
from realtime.outside.twilio_words import (
    MAGIC,
    OPT_OUT_WORDS,
    VERSION,
    Sent,
    SpokenPrompt,
    heard,
    listed,
    refused,
    resource,
    status_form,
)
from realtime.outside.web import SimulatedFault, StandIn

BODY_CHARS: Final = 1_600
_CODES: Final = {401: 20003, 403: 20003, 404: 20404, 429: 20429, 500: 20500}


class TwilioServer(StandIn):
    """Serves one account. ``messages``, ``phone_calls``: what was accepted. ``sms_url``: where replies go.

    ``names``: letters that texts may come from; nobody can reply to them. ``shown_as``: how the network has a
    number that was dialled otherwise (``+521…`` as ``+52…``); ``unknown``: numbers that are none to it.
    ``first_sid``: who is started again beside a database that remembers must not give a sid twice.
    """

    def __init__(
        self,
        *,
        number: str = "+15005550006",
        sms_url: str = "",
        account_sid: str = "",
        auth_token: str = "",
        first_sid: int = 1,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host, port)
        self.account_sid: Final = account_sid or "AC" + secrets.token_hex(16)
        self.auth_token: Final = auth_token or secrets.token_hex(16)
        self.number: Final = number
        self.sms_url = sms_url
        self.callbacks: Final = Callbacks(self.account_sid, self.auth_token)
        self.messages: deque[Sent] = deque(maxlen=KEPT)
        self.phone_calls: deque[Sent] = deque(maxlen=KEPT)
        self.opted_out = set[str]()
        """Phones, by the one form of their number that all others are compared by."""
        self.names = set[str]()
        self.shown_as = dict[str, str]()
        self.unknown = set[str]()
        self._numbers = itertools.count(first_sid)
        base = f"/{VERSION}/Accounts/{{account}}"
        routes = self.app.router
        routes.add_post(f"{base}/Messages.json", self._send)
        routes.add_post(f"{base}/Calls.json", self._dial)
        routes.add_get(f"{base}/Messages.json", self._list_messages)
        routes.add_get(f"{base}/Calls.json", self._list_calls)
        routes.add_get(f"{base}/Messages/{{sid}}.json", self._one)
        routes.add_get(f"{base}/Calls/{{sid}}.json", self._one)
        routes.add_get(f"{base}/Calls/{{sid}}/Events.json", self._events)

    def error_of(self, fault: SimulatedFault, request: web.Request) -> web.Response:
        """As Twilio words it."""
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        return refused(_CODES.get(fault.status, 20500), fault.status, headers)

    async def __aexit__(self, *exc: object) -> None:
        await self.callbacks.stop()
        await super().__aexit__(*exc)

    # --- the API

    async def _send(self, request: web.Request) -> web.Response:
        if (denied := self._denied(request)) is not None:
            return denied
        form = await request.post()
        sender, body = _text(form, "MessagingServiceSid") or _text(form, "From"), _text(form, "Body")
        if (code := self._objection(_text(form, "To"), sender)) is not None:
            return refused(code)
        if not body:
            return refused(21602)
        if len(body) > BODY_CHARS:
            return refused(21617)
        valid = _text(form, "ValidityPeriod")
        if valid and not (valid.isdigit() and 1 <= int(valid) <= 36_000):
            return refused(20001)
        sent = Sent(
            sid=self._sid("SM"),
            to=self._shown(_text(form, "To")),
            sender=sender,
            text=body,
            status="queued",
            made_ms=_now_ms(),
            callback=_text(form, "StatusCallback"),
            valid_s=int(valid) if valid else None,
        )
        answer = web.json_response(resource(self.account_sid, sent), status=201)
        if self.callbacks.behaviour.keeps:
            self.messages.append(sent)
            self.callbacks.sent(sent)
        return answer

    async def _dial(self, request: web.Request) -> web.Response:
        if (denied := self._denied(request)) is not None:
            return denied
        form = await request.post()
        if (code := self._objection(_text(form, "To"), _text(form, "From"), is_call=True)) is not None:
            return refused(code)
        if not _text(form, "Twiml"):
            return refused(21205)
        call = Sent(
            sid=self._sid("CA"),
            to=self._shown(_text(form, "To")),
            sender=_text(form, "From"),
            text=_text(form, "Twiml"),
            status="queued",
            made_ms=_now_ms(),
            callback=_text(form, "StatusCallback"),
            events=frozenset(str(event) for event in form.getall("StatusCallbackEvent", ["completed"])),
        )
        answer = web.json_response(resource(self.account_sid, call), status=201)
        if self.callbacks.behaviour.keeps:
            self.phone_calls.append(call)
            rings_s = _text(form, "Timeout")
            self.callbacks.dialled(call, float(rings_s) if rings_s.isdigit() else None)
        return answer

    async def _list_messages(self, request: web.Request) -> web.Response:
        return self._denied(request) or self._page(request, "messages", self.messages)

    async def _list_calls(self, request: web.Request) -> web.Response:
        return self._denied(request) or self._page(request, "calls", self.phone_calls)

    def _page(self, request: web.Request, kind: str, kept: deque[Sent]) -> web.Response:
        """The newest first, as Twilio has it."""
        to, size = request.query.get("To"), int(request.query.get("PageSize", "50"))
        found = [one for one in reversed(kept) if to is None or one.to == to][:size]
        items = [resource(self.account_sid, one) for one in found]
        return web.json_response(listed(self.account_sid, kind, items, size))

    async def _one(self, request: web.Request) -> web.Response:
        if (denied := self._denied(request)) is not None:
            return denied
        one = self.find(request.match_info["sid"])
        return refused(20404) if one is None else web.json_response(resource(self.account_sid, one))

    async def _events(self, request: web.Request) -> web.Response:
        """Which URLs were asked for a call."""
        if (denied := self._denied(request)) is not None:
            return denied
        call = self.find(request.match_info["sid"])
        if call is None:
            return refused(20404)
        items = [{"request": {"url": url, "method": "POST"}, "response": {}} for url in call.asked]
        return web.json_response(listed(self.account_sid, "events", items, 50))

    def find(self, sid: str) -> Sent | None:
        """A message or call by its sid."""
        return next((one for one in (*self.messages, *self.phone_calls) if one.sid == sid), None)

    def _denied(self, request: web.Request) -> web.Response | None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        expected = f"{self.account_sid}:{self.auth_token}"
        try:
            right = scheme == "Basic" and b64decode(given).decode() == expected
        except ValueError:
            right = False
        if not right:
            return refused(20003)
        return None if request.match_info["account"] == self.account_sid else refused(20404)

    def _objection(self, to: str, sender: str, *, is_call: bool = False) -> int | None:
        if not to:
            return 21604
        if not sender:
            return 21603
        texts_only = sender in self.names or sender.startswith("MG")
        if sender != self.number and (is_call or not texts_only):
            return 21212
        if identity(to) in self.opted_out and not is_call:  # STOP is a word of the carriers for texts
            return 21610
        if to in self.unknown:
            return 21211
        digits = to.removeprefix("+")
        if not (to.startswith("+") and digits.isdigit() and 8 <= len(digits) <= 15):
            return 21211
        return MAGIC.get(to)

    def _shown(self, to: str) -> str:
        return self.shown_as.get(to, to)

    def _sid(self, kind: str) -> str:
        return f"{kind}{next(self._numbers):032x}"

    # --- people

    async def reply(self, sender: str, text: str, sid: str = "") -> list[str]:
        """Somebody writes back from ``sender``, as the network shows their number: what they get as answers.

        STOP is the carrier's as well.
        """
        word = self._heeded(identity(sender), text)
        form = {
            "AccountSid": self.account_sid,
            "ApiVersion": VERSION,
            "Body": text,
            "From": sender,
            "MessageSid": sid or self._sid("SM"),
            "NumMedia": "0",
            "NumSegments": "1",
            "To": self.number,
        }
        if word is not None:
            form["OptOutType"] = word
        answer = await self.callbacks.post(self.sms_url, form)
        return heard(answer).words if answer else []

    def _heeded(self, phone: str, text: str) -> str | None:
        """What the provider does by itself about a text that is one of its words; None for any other text."""
        word = next((kind for kind, words in OPT_OUT_WORDS.items() if text.strip().upper() in words), None)
        if word == "START" and text.strip().upper() == "YES" and phone not in self.opted_out:
            return None  # an ordinary word from who has not opted out
        if word in ("STOP", "START"):
            (self.opted_out.add if word == "STOP" else self.opted_out.discard)(phone)
        return word

    async def press(self, call: Sent, digits: str) -> list[str]:
        """The person called picks up, hears the message, presses, hears the answer, and hangs up.

        Without a question in the message nothing can be pressed.
        """
        await self.callbacks.report(call, ["in-progress"])
        said = heard(call.text)
        words = said.words
        if said.action is not None and digits:
            form = status_form(self.account_sid, call) | {"Digits": digits}
            answer = await self.callbacks.call_back(call, said.action, form)
            call.answers.append(digits)
            try:
                words = (heard(answer) if answer else SpokenPrompt([], None)).words
            finally:
                await self.callbacks.report(call, ["completed"])
            return words
        await self.callbacks.report(call, ["completed"])
        return words

    async def hang_up(self, call: Sent) -> None:
        """Nobody picked up."""
        await self.callbacks.report(call, ["no-answer"])


def _text(form: Mapping[str, object], name: str) -> str:
    return str(form.get(name, ""))


def _now_ms() -> int:
    return int(time.time() * 1000)
