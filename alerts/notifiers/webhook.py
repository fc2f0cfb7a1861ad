"""Signed webhooks: an alert as JSON to the address a contact or the operator gave.

The receiver checks ``X-Wayguard-Signature: t=<seconds>,v1=<hex>``: HMAC-SHA256 of ``<seconds>.<body>`` with
the secret shared with it. ``X-Wayguard-Delivery`` is the same for every try of one message.
"""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from alerts.alert import Place
from alerts.attempt import (
    OF_NO_ALERT,
    Accepted,
    Channel,
    Outcome,
    Permanent,
    Purpose,
    Retryable,
    StatusReport,
    Unsure,
)
from alerts.notifiers.guarded import Forbidden, GuardedHttp, HttpResponse, Lost, NotConnected
from alerts.notifiers.writer import MessageWriter, WrittenMessage
from alerts.policy import OPERATOR
from alerts.ports import DeliveryJob

PROVIDER: Final = "webhook"
SIGNATURE_HEADER: Final = "X-Wayguard-Signature"
DELIVERY_HEADER: Final = "X-Wayguard-Delivery"
RETRIED: Final = frozenset({408, 425, 429})
LONGEST_RETRY_AFTER_S: Final = 3_600.0


def webhook_secret(alerts_secret: str, tenant: str, contact_id: str) -> str:
    """The secret shared with one contact's webhook. Made, not kept: it is there with the database away."""
    what = f"webhook\0{tenant}\0{contact_id}".encode()
    digest = hmac.digest(alerts_secret.encode(), what, "sha256")
    return "whsec_" + base64.urlsafe_b64encode(digest[:24]).decode()


def signature_of(secret: str, body: bytes, at_s: int) -> str:
    """The value of the header for ``body``."""
    mac = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"


def is_signed(secret: str, body: bytes, header: str, now_s: int, tolerance_s: int = 300) -> bool:
    """What a receiver does: whether ``header`` is right, and not of long ago."""
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    try:
        at_s = int(fields.get("t", ""))
    except ValueError:
        return False
    fresh = abs(now_s - at_s) <= tolerance_s
    return fresh and hmac.compare_digest(header.encode(), signature_of(secret, body, at_s).encode())


class WebhookNotifier:
    """Posts an alert. ``secret_of`` gives the secret of a job's contact; `webhook_secret` makes one.

    ``operator_http`` is for the contact ``operator``: that address is from the settings, and may be inside.
    """

    channel = Channel.WEBHOOK
    provider = PROVIDER

    def __init__(
        self,
        writer: MessageWriter,
        secret_of: Callable[[DeliveryJob], str],
        now_ms: Callable[[], int],
        http: GuardedHttp,
        operator_http: GuardedHttp | None = None,
    ) -> None:
        self._writer = writer
        self._secret_of = secret_of
        self._now_ms = now_ms
        self._http = http
        self._operator_http = operator_http or http

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Try once. What speaks against the provider speaks against the host: a webhook is one of its own."""
        if not job.contact.webhook_url:
            return Permanent("no_address")
        over_s = asyncio.get_running_loop().time() + timeout_s
        written = await self._writer.write(job)
        body = msgspec.json.encode(body_of(job, written))
        headers = {
            "Content-Type": "application/json",
            DELIVERY_HEADER: str(job.attempt.attempt_id),
            SIGNATURE_HEADER: signature_of(self._secret_of(job), body, self._now_ms() // 1000),
        }
        try:
            http = self._operator_http if job.contact.contact_id == OPERATOR else self._http
            answer = await http.post(
                job.contact.webhook_url, body, headers, over_s - asyncio.get_running_loop().time()
            )
        except Forbidden as error:
            return Permanent(str(error))
        except NotConnected as error:
            return Retryable(str(error), provider_down=True)
        except Lost as error:
            return Unsure(str(error))
        return self._outcome(answer)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """A receiver is not asked; it knows a repeat by its delivery id."""
        return Unsure("no_look_up")

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()
        await self._operator_http.close()

    def _outcome(self, answer: HttpResponse) -> Outcome:
        status = answer.status
        if 200 <= status < 300:
            return Accepted(None, str(status))
        if status in RETRIED or status >= 500:
            wait_s = retry_after_s(answer.retry_after, self._now_ms())
            return Retryable(f"http_{status}", wait_s, provider_down=status == 429 or status >= 500)
        return Permanent(f"http_{status}")


def retry_after_s(header: str | None, now_ms: int) -> float | None:
    """Seconds that a ``Retry-After`` asks for (a number or a date), within an hour; None without a sense."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now_ms / 1000
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _place(place: Place | None) -> dict[str, Any] | None:
    if place is None:
        return None
    names = ("lat", "lon", "accuracy_m", "t_ms", "battery_pct", "source")
    return {name: getattr(place, name) for name in names}


def body_of(job: DeliveryJob, written: WrittenMessage) -> dict[str, Any]:
    """The JSON of a webhook. Duress is not in it, nor any other contact."""
    alert, attempt = job.alert, job.attempt
    what: dict[str, Any] = {
        "type": f"alert.{attempt.purpose}" if attempt.purpose is not Purpose.ALERT else "alert",
        "delivery": str(attempt.attempt_id),
        "repeat": attempt.repeat,
        "contact": {"id": job.contact.contact_id, "name": job.contact.name},
        "subject": written.words.subject,
        "text": written.words.long,
        "link": written.link,
    }
    if attempt.purpose in OF_NO_ALERT:
        return what
    what["alert"] = {
        "id": str(alert.alert_id),
        "version": alert.version,
        "tenant": alert.tenant,
        "vendor": alert.vendor,
        "driver": alert.driver,
        "driver_name": job.copy.driver_name,
        "kind": alert.kind,
        "severity": int(alert.severity),
        "state": alert.state,
        "drill": alert.drill,
        "silent": alert.silent,
        "pressed_ms": alert.pressed_ms,
        "raised_ms": alert.raised_ms,
        "journey_id": None if alert.journey_id is None else str(alert.journey_id),
        "message": alert.message,
        "place": _place(alert.place),
        "exhausted_reason": alert.exhausted_reason,
    }
    return what
