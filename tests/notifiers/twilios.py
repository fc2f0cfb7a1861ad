"""Twilio's stand-in, and notifiers that speak to it."""

from alerts.notifiers.call import CallNotifier
from alerts.notifiers.sms import SmsNotifier
from alerts.notifiers.twilio_http import Account
from alerts.notifiers.writer import Writer
from alerts.ports import Job
from realtime.outside.twilio import TwilioServer
from tests.alerts.jobs import LINK, NOW_MS

PATIENT_S = 20.0
HOOKS = "https://wayguard.example"


def link_of(job: Job) -> str:
    """A link that no other attempt has."""
    return LINK + job.attempt.attempt_id.hex[-6:]


def writer() -> Writer:
    """Writes without a geocoder."""
    return Writer(link_of, lambda: NOW_MS)


def account(server: TwilioServer, hooks_url: str = HOOKS, **changes: str) -> Account:
    """The stand-in's account."""
    given = {"sid": server.account_sid, "token": server.auth_token, "sender": server.number}
    return Account(**{**given, "hooks_url": hooks_url, "base_url": server.url, **changes})


def sms(server: TwilioServer, **changes: str) -> SmsNotifier:
    """Sends texts by the stand-in."""
    return SmsNotifier(account(server, **changes), writer(), lambda: NOW_MS)


def call(server: TwilioServer, **changes: str) -> CallNotifier:
    """Calls by the stand-in."""
    return CallNotifier(account(server, **changes), writer(), lambda: NOW_MS)
