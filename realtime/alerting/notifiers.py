"""Every way out that is configured, made from the settings. A new one is one line in `notifiers_of`."""

import logging
import time
from collections.abc import Callable
from typing import Final

from alerts.attempt import Channel
from alerts.notifiers.call import CallNotifier
from alerts.notifiers.email import EmailNotifier, Smtp
from alerts.notifiers.fcm import Fcm
from alerts.notifiers.firebase import service_account
from alerts.notifiers.geocoder import NominatimGeocoder
from alerts.notifiers.guarded import GuardedHttp, refusal_of_url
from alerts.notifiers.links import AnswerLinks
from alerts.notifiers.push import Prune, PushNotifier
from alerts.notifiers.sender import can_call, can_receive
from alerts.notifiers.sms import SmsNotifier
from alerts.notifiers.socket import Announce, SocketNotifier
from alerts.notifiers.twilio_http import TwilioAccount
from alerts.notifiers.webhook import WebhookNotifier, webhook_secret
from alerts.notifiers.writer import MessageWriter
from alerts.policy import OPERATOR
from alerts.ports import DeliveryJob, Notifier
from alerts.words import Replies
from realtime.settings import Settings

log = logging.getLogger(__name__)


class ConfiguredNotifiers:
    """The notifiers of one process, by channel. `close` lets go of what they hold."""

    def __init__(
        self, settings: Settings, announce: Announce, prune: Prune, now_ms: Callable[[], int]
    ) -> None:
        geocoder = _geocoder(settings.geocoder_url)
        self._geocoder: Final = geocoder
        self._key: Final = settings.alerts_key
        self._settings: Final = settings
        self.links: Final = AnswerLinks(settings.alerts_key, settings.answers_url)
        self._text_account: Final = self._twilio(settings.twilio_from)
        self._call_account: Final = self._twilio(_caller(settings))
        self._writer: Final = MessageWriter(self.links, now_ms, geocoder, replies=self._replies())
        self._now_ms: Final = now_ms
        made = (
            self._socket(announce),
            self._push(prune),
            self._sms(),
            self._call(),
            self._email(),
            self._webhook(),
        )
        self.by_channel: Final[dict[Channel, Notifier]] = {
            one.channel: one for one in made if one is not None
        }

    async def close(self) -> None:
        """Let go of connections."""
        for notifier in self.by_channel.values():
            await notifier.close()
        if self._geocoder is not None:
            await self._geocoder.close()

    def _socket(self, announce: Announce) -> Notifier:
        return SocketNotifier(announce)

    def _push(self, prune: Prune) -> Notifier | None:
        text = self._settings.firebase_credentials.get_secret_value()
        if not text:
            return None
        try:
            account = service_account(text)
        except ValueError as error:
            raise ValueError(f"FIREBASE_CREDENTIALS: {error}") from None
        settings = self._settings
        fcm = Fcm(account, base_url=settings.fcm_base_url, timeout_s=settings.delivery_timeout_s)
        return PushNotifier(fcm, self._writer, prune, self._now_ms)

    def _sms(self) -> Notifier | None:
        account = self._text_account
        return None if account is None else SmsNotifier(account, self._writer, self._now_ms)

    def _call(self) -> Notifier | None:
        account = self._call_account
        return None if account is None else CallNotifier(account, self._writer, self._now_ms)

    def _replies(self) -> Replies:
        """What comes back to us: a sender that is a name takes no text, and Twilio cannot reach an address
        that is not on the internet.
        """
        text, call = self._text_account, self._call_account
        return Replies(
            by_text=text is not None and bool(text.hooks_url) and can_receive(text.sender),
            by_key=call is not None and bool(call.hooks_url),
        )

    def _twilio(self, sender: str) -> TwilioAccount | None:
        settings = self._settings
        if not settings.twilio_account_sid or not sender:
            return None
        public = settings.answers_url
        # Twilio refuses a message whose callbacks could only go to itself.
        callable_ = settings.twilio_base_url or refusal_of_url(public.replace("http:", "https:", 1)) is None
        return TwilioAccount(
            settings.twilio_account_sid,
            settings.twilio_auth_token.get_secret_value(),
            sender,
            public if callable_ else "",
            settings.twilio_base_url,
        )

    def _email(self) -> Notifier | None:
        settings = self._settings
        if not settings.smtp_host:
            return None
        smtp = Smtp(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_from,
            settings.smtp_username,
            settings.smtp_password.get_secret_value(),
            settings.smtp_security,
        )
        try:
            return EmailNotifier(smtp, self._writer, self._now_ms)
        except ValueError as error:
            raise ValueError(f"SMTP_FROM: {error}") from None

    def _webhook(self) -> Notifier:
        http = GuardedHttp(self._settings.outside_allow_private)
        trusted = GuardedHttp(allow_private=True)  # the operator's address comes from the settings
        return WebhookNotifier(self._writer, self._webhook_secret, self._now_ms, http, trusted)

    def _webhook_secret(self, job: DeliveryJob) -> str:
        own = self._settings.operator_webhook_secret.get_secret_value()
        if job.contact.contact_id == OPERATOR and own:
            return own
        return webhook_secret(self._key, job.alert.tenant, job.contact.contact_id)


def _caller(settings: Settings) -> str:
    """The number that calls come from; empty: calls are not set up. A messaging service, a short code and a
    name make none.
    """
    if settings.twilio_call_from:
        return settings.twilio_call_from
    if can_call(settings.twilio_from) or not settings.twilio_account_sid:
        return settings.twilio_from
    log.warning("no calls are made: TWILIO_FROM cannot call and TWILIO_CALL_FROM is not set")
    return ""


def _geocoder(url: str) -> NominatimGeocoder | None:
    if not url:
        return None
    try:
        return NominatimGeocoder(url, time.monotonic)
    except ValueError as error:
        raise ValueError(f"GEOCODER_URL: {error}") from None
