"""Puts the hooks onto an application. Whatever is not rightly signed is refused, counted, logged, and changes
nothing; so is what was taken before.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
from aiohttp import web
from twilio.twiml.messaging_response import MessagingResponse
from twilio.twiml.voice_response import Gather, VoiceResponse

from alerts.notifiers.twilio_hooks import (
    SMS_PATH,
    STATUS_PATH,
    VOICE_PATH,
    named_in,
    report_of,
)
from alerts.notifiers.twilio_http import PROVIDER
from realtime.hooks.desk import CallbackService, ReplyOutcome
from realtime.hooks.form import Caller, Forged, MalformedForm, read_form
from realtime.hooks.words import said
from realtime.http.bodies import BODY_TIMEOUT_S, CLIENT_CLOSED_REQUEST, ClientGone
from realtime.metrics import instruments
from realtime.protocol import HTTP_STATUS, Code, Refused
from realtime.settings import Settings

log = logging.getLogger(__name__)

RETRY_S: Final = 2.0
AGAIN_S: Final = 6
"""How long a call waits for another key."""
_PHONE: Final = re.compile(r"\+[0-9]{6,15}")
_SID: Final = re.compile(r"[A-Z]{2}[0-9a-f]{32}")
_DIGITS: Final = re.compile(r"[0-9*#]{1,10}")

Work = Callable[[web.Request, Mapping[str, str]], Awaitable[web.Response]]


def add_hooks(
    app: web.Application, desk: CallbackService, settings: Settings, *, body_timeout_s: float = BODY_TIMEOUT_S
) -> None:
    """Adds what Twilio calls; nothing when it is not configured. A body has ``body_timeout_s`` to come."""
    if not settings.twilio_account_sid:
        return
    hooks = _Hooks(desk)
    token = settings.twilio_auth_token.get_secret_value()
    # Both: a number's own webhook, and callbacks of messages sent before SAFETY_URL was set.
    urls = (settings.answers_url, settings.public_url)
    caller = Caller(settings.twilio_account_sid, token, urls, body_timeout_s)
    for path, work in (
        (f"{STATUS_PATH}/{{attempt_id}}", hooks.status),
        (f"{VOICE_PATH}/{{attempt_id}}", hooks.voice),
        (SMS_PATH, hooks.sms),
    ):
        app.router.add_post(path, _handler(work, caller))


def _handler(work: Work, caller: Caller) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            form = await read_form(request, caller)
        except Forged:
            return _refused("forged", Refused(Code.FORBIDDEN, "the signature is not right"))
        except MalformedForm:
            return _refused("malformed", Refused(Code.MALFORMED, "not what a provider sends"))
        except Refused as unread:  # its body; logged where it was read
            _count("malformed")
            gone = isinstance(unread, ClientGone)
            return _answer(unread, CLIENT_CLOSED_REQUEST if gone else HTTP_STATUS[unread.code])
        try:
            return await work(request, form)
        except MalformedForm:
            return _refused("malformed", Refused(Code.MALFORMED, "not what a provider sends"))
        except Refused as refusal:
            return _refused("away" if refusal.code is Code.UNAVAILABLE else "malformed", refusal)
        except Exception as error:  # its own text may quote a number
            log.error("a callback failed: %s", type(error).__name__)
            return _refused("away", Refused(Code.INTERNAL, "request failed", retry_after_s=RETRY_S))

    return handle


def _refused(outcome: str, refusal: Refused) -> web.Response:
    _count(outcome)
    log.warning("a callback was refused: %s", outcome)
    return _answer(refusal, HTTP_STATUS[refusal.code])


def _answer(refusal: Refused, status: int) -> web.Response:
    body = msgspec.json.encode(refusal.as_answer())
    return web.Response(body=body, status=status, content_type="application/json")


def _count(outcome: str) -> None:
    instruments.CALLBACKS.labels(PROVIDER, outcome).inc()


class _Hooks:
    """What is behind each path, once the signature was right."""

    def __init__(self, desk: CallbackService) -> None:
        self._desk = desk

    async def status(self, request: web.Request, form: Mapping[str, str]) -> web.Response:
        """A state of a message or a call."""
        report = report_of(form)
        if report is None or named_in(request.match_info["attempt_id"], request.query) is None:
            raise MalformedForm
        _count(await self._desk.status(report))
        return web.Response(status=204)

    async def voice(self, request: web.Request, form: Mapping[str, str]) -> web.Response:
        """A key pressed in a call."""
        named = named_in(request.match_info["attempt_id"], request.query)
        digits, call_id = form.get("Digits", ""), form.get("CallSid", "")
        if named is None or not _DIGITS.fullmatch(digits) or not _SID.fullmatch(call_id):
            raise MalformedForm
        try:
            told = await self._desk.key(named, call_id, digits)
        except Refused:
            told = ReplyOutcome("away", said("away"))
        return self._spoken(told, request.raw_path)

    async def sms(self, request: web.Request, form: Mapping[str, str]) -> web.Response:
        """A text message that came in."""
        if not _PHONE.fullmatch(form.get("From", "")) or not _SID.fullmatch(form.get("MessageSid", "")):
            raise MalformedForm
        try:
            told = await self._desk.text(form)
        except Refused:
            # The provider does not try again: the person is to know, and has another way.
            told = ReplyOutcome("away", said("away"))
        self._note(told)
        response = MessagingResponse()
        if told.text:
            response.message(told.text)
        return _twiml(response)

    def _spoken(self, told: ReplyOutcome, path: str) -> web.Response:
        self._note(told)
        response = VoiceResponse()
        if told.asks_again:
            again = Gather(num_digits=1, timeout=AGAIN_S, action=path, method="POST")
            again.say(told.text, language=told.voice)
            response.append(again)
        elif told.text:
            response.say(told.text, language=told.voice)
        response.hangup()
        return _twiml(response)

    def _note(self, told: ReplyOutcome) -> None:
        _count(told.outcome)
        if told.outcome != "taken":
            log.warning("an answer was refused: %s", told.outcome)


def _twiml(response: VoiceResponse | MessagingResponse) -> web.Response:
    return web.Response(text=str(response), content_type="text/xml")
