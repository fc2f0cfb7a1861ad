"""Twilio's stand-in, and notifiers that speak to it."""

from alerts.notifiers.call import CallNotifier
from alerts.notifiers.links import AnswerLinks
from alerts.notifiers.sms import SmsNotifier
from alerts.notifiers.twilio_http import TwilioAccount
from alerts.notifiers.writer import MessageWriter
from realtime.outside.twilio import TwilioServer
from tests.alerts.jobs import NOW_MS

PATIENT_S = 20.0
HOOKS = "https://wayguard.example"


LINKS = AnswerLinks("k" * 32, "https://wayguard.example")


def writer() -> MessageWriter:
    """Writes without a geocoder."""
    return MessageWriter(LINKS, lambda: NOW_MS)


def account(server: TwilioServer, hooks_url: str = HOOKS, **changes: str) -> TwilioAccount:
    """The stand-in's account."""
    given = {"sid": server.account_sid, "token": server.auth_token, "sender": server.number}
    return TwilioAccount(**{**given, "hooks_url": hooks_url, "base_url": server.url, **changes})


def sms(server: TwilioServer, **changes: str) -> SmsNotifier:
    """Sends texts by the stand-in."""
    return SmsNotifier(account(server, **changes), writer(), lambda: NOW_MS)


def call(server: TwilioServer, **changes: str) -> CallNotifier:
    """Calls by the stand-in."""
    return CallNotifier(account(server, **changes), writer(), lambda: NOW_MS)
