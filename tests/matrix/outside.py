"""The providers of the matrix, and the means to break them."""

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Final, Self, TypeVar

from aiohttp import web

from alerts.replies.answer import read_token
from realtime.outside.fcm import FcmServer, Push
from realtime.outside.mail import Mail, MailServer
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_callbacks import Behaviour
from realtime.outside.twilio_words import Sent
from realtime.outside.web import SimulatedFault, Trouble
from tests.matrix.ledger import Message

LINK: Final = re.compile(r"/a#([A-Za-z0-9_-]+)")
SMS_FAULTS: Final = {
    "throttle": SimulatedFault(Trouble.STATUS, 429, "2"),
    "fail": SimulatedFault(Trouble.STATUS, 500),
    "hang": SimulatedFault(Trouble.HANG),
    "lose_reply": SimulatedFault(Trouble.LOSE_REPLY),
}
NAMED: Final = re.compile(r"[?;&]alert=([0-9a-f-]{36})")
FROM: Final = "alerts@wayguard.example"
T = TypeVar("T")


class _Texts(TwilioServer):
    """Twilio whose faults are for texts alone: calls and look-ups work."""

    def is_troubled(self, request: web.Request) -> bool:
        """Whether it is a text that is to be sent."""
        return request.method == "POST" and request.path.endswith("/Messages.json")


class _Timed(deque[T]):
    """Remembers when each of its items came."""

    def __init__(self) -> None:
        super().__init__()
        self.at_s: list[float] = []

    def append(self, item: T, /) -> None:
        """Keep it with the time."""
        self.at_s.append(time.monotonic())
        super().append(item)

    def timed(self) -> Iterator[tuple[T, float]]:
        """Each with its time; what comes meanwhile is for the next."""
        return zip(list(self), list(self.at_s), strict=False)


class Outside:
    """``async with Outside() as outside``; ``key`` reads links and is set when the cluster is there."""

    def __init__(self) -> None:
        self.key = ""
        self._twilio = _Texts()
        self._fcm = FcmServer()
        self._mail = MailServer()
        self._texts, self._calls = _Timed[Sent](), _Timed[Sent]()
        self._pushes, self._mails = _Timed[Push](), _Timed[Mail]()
        self._twilio.messages, self._twilio.phone_calls = self._texts, self._calls
        self._fcm.pushes, self._mail.mails = self._pushes, self._mails
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for server in (self._twilio, self._fcm, self._mail):
            await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def environ(self) -> dict[str, str]:
        """What turns them on in a process."""
        return {
            "TWILIO_ACCOUNT_SID": self._twilio.account_sid,
            "TWILIO_AUTH_TOKEN": self._twilio.auth_token,
            "TWILIO_FROM": self._twilio.number,
            "TWILIO_BASE_URL": self._twilio.url,
            "FIREBASE_CREDENTIALS": self._fcm.service_account(),
            "FCM_BASE_URL": self._fcm.url,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": str(self._mail.port),
            "SMTP_FROM": FROM,
            "SMTP_SECURITY": "none",
            "OUTSIDE_ALLOW_PRIVATE": "true",
        }

    # --- breaking

    def break_sms(self, fault: str) -> None:
        """``throttle``, ``fail``, ``hang``, ``lose_reply``, or ``lie``: texts alone."""
        if fault == "lie":
            self._twilio.callbacks.behaviour = Behaviour(keeps=False)
        else:
            self._twilio.fault = SMS_FAULTS[fault]

    def break_push(self) -> None:
        """Pushes are answered 503."""
        self._fcm.fault = SimulatedFault(Trouble.STATUS, 503)

    def mend(self) -> None:
        """All is well again."""
        self._twilio.fault = self._fcm.fault = None
        self._twilio.callbacks.behaviour = Behaviour()

    # --- what was taken

    def messages(self) -> list[Message]:
        """Every message that was taken so far; one that nobody can tell of which alert it is has none."""
        texts = [Message("sms", sent.to, self._linked(sent.text), at_s) for sent, at_s in self._texts.timed()]
        calls = [Message("call", sent.to, _named(sent.text), at_s) for sent, at_s in self._calls.timed()]
        pushes = [
            Message("push", push.token, push.message["data"]["alert_id"], at_s)
            for push, at_s in self._pushes.timed()
        ]
        mails = [
            Message("email", mail.recipients[0], self._linked(_text_of(mail)), at_s)
            for mail, at_s in self._mails.timed()
        ]
        return [*texts, *calls, *pushes, *mails]

    def _linked(self, text: str) -> str:
        found = LINK.search(text)
        answer = read_token(self.key, found[1], 0) if found else None
        return "" if answer is None else str(answer.alert_id)


def _named(twiml: str) -> str:
    found = NAMED.search(twiml)
    return found[1] if found else ""


def _text_of(mail: Mail) -> str:
    body = mail.message.get_body(("plain",))
    return "" if body is None else str(body.get_content())
