"""Push notifications, by Firebase Cloud Messaging.

A notification message can be collapsed with another on Android, a data message cannot: so Android gets data
at high priority, and the app shows it; iOS and browsers get an alert, time-sensitive, without a collapse id.
No coordinate and no address is in it, since it is shown on locked screens and kept in notification logs.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, Final, Protocol

import httpx
from firebase_admin import exceptions, messaging

from alerts.attempt import Accepted, Channel, Outcome, Permanent, Retryable, StatusReport, Unsure
from alerts.notifiers.fcm import BATCH, Fcm, TokenAway
from alerts.notifiers.webhook import retry_after_s
from alerts.notifiers.writer import MessageWriter, WrittenMessage
from alerts.ports import DeliveryJob

log = logging.getLogger(__name__)

PROVIDER: Final = "fcm"
TTL_S: Final = 3_600
"""A phone that was off for longer hears of it by other ways."""
PRUNE_WAIT_S: Final = 1.0
_TOKEN_FIELD: Final = "message.token"  # noqa: S105  a field of the request


class Prune(Protocol):
    """Forgets a push token that is no longer registered."""

    def __call__(self, tenant: str, token: str) -> Coroutine[Any, Any, None]:
        """Whatever it raises is logged; it is told again with the next message to that token."""


class PushNotifier:
    """Sends to every device of a contact; one that takes it is enough."""

    channel = Channel.PUSH
    provider = PROVIDER

    def __init__(
        self,
        fcm: Fcm,
        writer: MessageWriter,
        prune: Prune,
        now_ms: Callable[[], int],
        max_devices: int = BATCH,
    ) -> None:
        self._fcm = fcm
        self._writer = writer
        self._prune = prune
        self._now_ms = now_ms
        self._max_devices = max_devices

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Try once."""
        tokens = list(dict.fromkeys(token for token in job.contact.push_tokens if token))[: self._max_devices]
        if not tokens:
            return Permanent("no_address")
        clock = asyncio.get_running_loop().time
        over_s = clock() + timeout_s
        written = await self._writer.write(job)
        messages = [message_of(job, written, token, self._now_ms()) for token in tokens]
        answers = await self._fcm.send(messages, over_s - clock())
        outcomes = [outcome_of(answer, self._now_ms()) for answer in answers]
        dead = [t for t, o in zip(tokens, outcomes, strict=True) if isinstance(o, Permanent) and o.prune]
        if dead:
            await self._forget(job.alert.tenant, dead)
        return best_of(outcomes)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """FCM cannot be asked what it took."""
        return Unsure("no_look_up")

    async def close(self) -> None:
        """Let go of connections."""
        await self._fcm.close()

    async def _forget(self, tenant: str, tokens: list[str]) -> None:
        try:
            async with asyncio.timeout(PRUNE_WAIT_S):
                for token in tokens:
                    await self._prune(tenant, token)
        except Exception as error:  # the storage's kind of trouble is not known here
            log.warning("%d dead push tokens are not forgotten yet: %s", len(tokens), type(error).__name__)


def message_of(job: DeliveryJob, written: WrittenMessage, token: str, now_ms: int) -> messaging.Message:
    """The message to one device."""
    alert, words = job.alert, written.words
    data = {
        "type": str(job.attempt.purpose),
        "alert_id": str(alert.alert_id),
        "version": str(alert.version),
        "attempt_id": str(job.attempt.attempt_id),
        "kind": str(alert.kind),
        "drill": "1" if alert.drill else "0",
        "link": written.link,
        "title": words.push_title,
        "body": words.push_body,
    }
    shown = messaging.ApsAlert(title=words.push_title, body=words.push_body)
    aps = messaging.Aps(
        alert=shown,
        sound="default",
        thread_id=str(alert.alert_id),
        custom_data={"interruption-level": "time-sensitive"},
    )
    link = written.link if written.link.startswith("https://") else None
    return messaging.Message(
        token=token,
        data=data,
        android=messaging.AndroidConfig(priority="high", ttl=timedelta(seconds=TTL_S)),
        apns=messaging.APNSConfig(
            headers={
                "apns-priority": "10",
                "apns-push-type": "alert",
                "apns-expiration": str(now_ms // 1000 + TTL_S),
            },
            payload=messaging.APNSPayload(aps=aps),
        ),
        webpush=messaging.WebpushConfig(
            headers={"Urgency": "high", "TTL": str(TTL_S)},
            notification=messaging.WebpushNotification(
                title=words.push_title, body=words.push_body, require_interaction=True
            ),
            fcm_options=None if link is None else messaging.WebpushFCMOptions(link=link),
        ),
    )


def best_of(outcomes: list[Outcome]) -> Outcome:
    """What became of the message to a person: of their devices the one that fared best."""
    for wanted in (Accepted, Unsure, Retryable):
        for outcome in outcomes:
            if isinstance(outcome, wanted):
                return outcome
    alive = [outcome for outcome in outcomes if isinstance(outcome, Permanent) and not outcome.prune]
    return alive[0] if alive else outcomes[0]


def outcome_of(answer: messaging.SendResponse, now_ms: int) -> Outcome:
    """What FCM's answer for one device means."""
    if answer.success:
        return Accepted(answer.message_id, "accepted")
    error = answer.exception
    if isinstance(error, messaging.UnregisteredError):
        return Permanent("unregistered", prune=True)
    if isinstance(error, messaging.SenderIdMismatchError):
        return Permanent("sender_mismatch")
    if isinstance(error, messaging.ThirdPartyAuthError):
        return Permanent("apns_auth")
    if isinstance(error, exceptions.FirebaseError):
        return _of_http(error, now_ms)
    return Unsure("no_message_id")


def _of_http(error: exceptions.FirebaseError, now_ms: int) -> Outcome:
    cause, response = error.cause, error.http_response
    if isinstance(cause, TokenAway):
        return Retryable("auth", provider_down=True)
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        return Retryable("no_connection", provider_down=True)
    if response is None:
        return Unsure("timeout" if isinstance(cause, httpx.TimeoutException) else "connection_lost")
    status = int(response.status_code)
    wait_s = retry_after_s(response.headers.get("Retry-After"), now_ms)
    if status == 429:
        return Retryable("quota_exceeded", wait_s)
    if status >= 500:
        return Retryable(f"http_{status}", wait_s, provider_down=True)
    if status in (401, 403):
        return Retryable("auth", provider_down=True)
    if status == 400 and _TOKEN_FIELD in _violations(response):
        return Permanent("bad_token", prune=True)
    return Permanent(f"http_{status}")


def _violations(response: Any) -> set[str]:
    """The fields of a request that FCM names as wrong. A message of ours that is malformed, or too long, is
    refused with the same code as a token that is none: only the details tell which it was.
    """
    try:
        details = response.json()["error"]["details"]
        named = [one for detail in details for one in detail.get("fieldViolations", ())]
        return {str(one["field"]) for one in named if isinstance(one, dict) and "field" in one}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()
