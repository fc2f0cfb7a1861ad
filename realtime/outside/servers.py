"""The four stand-ins together, each of which can be told to misbehave in six ways."""

import time
from contextlib import AsyncExitStack
from enum import StrEnum
from typing import Final, Self

from realtime.outside.accounts import HOST, ports_of
from realtime.outside.fcm import FcmServer
from realtime.outside.mail import MailFault, MailServer
from realtime.outside.rtdb import RealtimeDatabaseServer
from realtime.outside.twilio import TwilioServer
from realtime.outside.twilio_callbacks import Behaviour
from realtime.outside.web import SimulatedFault, Trouble
from realtime.settings import Settings

RETRY_AFTER_S: Final = 5


class Provider(StrEnum):
    """Who can be told to misbehave."""

    TWILIO = "twilio"
    FCM = "fcm"
    RTDB = "rtdb"
    SMTP = "smtp"


class Mode(StrEnum):
    """How a provider is."""

    HEALTHY = "healthy"
    FAIL = "fail"
    """An error for everything: 500, or 421 by mail."""
    HANG = "hang"
    """Nothing is done and nothing answered."""
    THROTTLE = "throttle"
    """429 with Retry-After, or greylisting by mail."""
    LOSE_REPLY = "lose_reply"
    """Everything is done, and the connection cut before anybody is told."""
    LIE = "lie"
    """Everything is said to be done, and nothing is."""


_FAULTS: Final = {
    Mode.FAIL: SimulatedFault(Trouble.STATUS, 500),
    Mode.HANG: SimulatedFault(Trouble.HANG),
    Mode.THROTTLE: SimulatedFault(Trouble.STATUS, 429, str(RETRY_AFTER_S)),
    Mode.LOSE_REPLY: SimulatedFault(Trouble.LOSE_REPLY),
}
_MAIL_FAULTS: Final = {
    Mode.FAIL: MailFault.BUSY,
    Mode.HANG: MailFault.HANG,
    Mode.THROTTLE: MailFault.DEFER_RECIPIENT,
    Mode.LOSE_REPLY: MailFault.LOSE_REPLY,
    Mode.LIE: MailFault.LIE,
}


class Servers:
    """The stand-ins that ``settings`` point at; ``async with`` starts them. Raises ValueError."""

    def __init__(self, settings: Settings) -> None:
        twilio, fcm, database, mail = ports_of(settings)
        self.public_url: Final = settings.answers_url
        self.twilio: Final = TwilioServer(
            number=settings.twilio_from,
            sms_url=f"{self.public_url}/hooks/twilio/sms",
            account_sid=settings.twilio_account_sid,
            auth_token=settings.twilio_auth_token.get_secret_value(),
            first_sid=time.time_ns(),
            host=HOST,
            port=twilio,
        )
        self.twilio.callbacks.behaviour = Behaviour(gives_up=True)
        account = settings.firebase_credentials.get_secret_value()
        self.fcm: Final = FcmServer(account=account, host=HOST, port=fcm)
        self.database: Final = RealtimeDatabaseServer(host=HOST, port=database)
        self.mail: Final = MailServer(host=HOST, port=mail)
        self.modes: Final = dict.fromkeys(Provider, Mode.HEALTHY)
        self._stack: Final = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            for server in (self.twilio, self.fcm, self.database, self.mail):
                await self._stack.enter_async_context(server)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def set_mode(self, provider: Provider, mode: Mode) -> None:
        """From the next call on. What hangs already goes on hanging."""
        self.modes[provider] = mode
        keeps = mode is not Mode.LIE
        match provider:
            case Provider.TWILIO:
                self.twilio.fault = _FAULTS.get(mode)
                self.twilio.callbacks.behaviour = Behaviour(gives_up=True, keeps=keeps)
            case Provider.FCM:
                self.fcm.fault, self.fcm.keeps = _FAULTS.get(mode), keeps
            case Provider.RTDB:
                self.database.fault, self.database.keeps = _FAULTS.get(mode), keeps
            case Provider.SMTP:
                self.mail.fault = _MAIL_FAULTS.get(mode)
