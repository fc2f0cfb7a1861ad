"""What Twilio calls back with: where to, whether it is Twilio, and what it says. Pure.

A signature is of the URL that Twilio was given, which is the public one: behind a balancer it is made anew
from the settings, never from a header of the request.
"""

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from msgspec import Struct
from twilio.request_validator import RequestValidator

from alerts.attempt import Attempt, Status, StatusReport
from alerts.notifiers.twilio_http import PROVIDER

STATUS_PATH: Final = "/hooks/twilio/status"
VOICE_PATH: Final = "/hooks/twilio/voice"
SMS_PATH: Final = "/hooks/twilio/sms"

MESSAGE_STATUSES: Final = {
    "accepted": Status.SENT,
    "scheduled": Status.SENT,
    "queued": Status.SENT,
    "sending": Status.SENT,
    "sent": Status.SENT,
    "delivered": Status.DELIVERED,
    "read": Status.DELIVERED,
    "undelivered": Status.FAILED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
CALL_STATUSES: Final = {
    "queued": Status.SENT,
    "initiated": Status.SENT,
    "ringing": Status.SENT,
    "in-progress": Status.SENT,
    "answered": Status.SENT,
    "completed": Status.DELIVERED,
    "busy": Status.FAILED,
    "no-answer": Status.FAILED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
"""``completed`` is said of calls that were picked up and are over, by a mailbox too: a call that asks for a
key has reached nobody by it (`alerts.attempt.needs_key`).
"""
_SID: Final = re.compile(r"(SM|MM|CA)[0-9a-f]{32}")
_CODE: Final = re.compile(r"[0-9]{1,6}")


class Named(Struct, frozen=True):
    """The ids in a hook's URL, which Twilio signs: no database is needed to know what it is about."""

    attempt_id: UUID
    alert_id: UUID
    contact_id: str


def status_url(hooks_url: str, attempt: Attempt) -> str:
    """Where the states of ``attempt`` are reported."""
    return f"{hooks_url}{STATUS_PATH}/{attempt.attempt_id}?{_query(attempt)}"


def voice_url(hooks_url: str, attempt: Attempt) -> str:
    """Where the key that was pressed in the call of ``attempt`` goes."""
    return f"{hooks_url}{VOICE_PATH}/{attempt.attempt_id}?{_query(attempt)}"


def _query(attempt: Attempt) -> str:
    return urlencode({"alert": str(attempt.alert_id), "contact": attempt.contact_id})


def named_in(attempt_id: str, query: Mapping[str, str]) -> Named | None:
    """The ids of a hook's URL; None when they are none."""
    try:
        return Named(UUID(attempt_id), UUID(query["alert"]), query["contact"][:100])
    except (KeyError, ValueError):
        return None


def is_signed(
    token: str, public_url: str, path_and_query: str, form: Mapping[str, str], signature: str
) -> bool:
    """Whether Twilio has signed this call to ``public_url``; ``path_and_query`` as it came, not decoded."""
    if not signature or not signature.isascii() or len(signature) > 200:
        return False
    url = public_url.rstrip("/") + path_and_query
    try:
        return bool(RequestValidator(token).validate(url, dict(form), signature))
    except ValueError:
        return False


def report_of(form: Mapping[str, str]) -> StatusReport | None:
    """What a status callback says of a message or a call; None when it is not one of those we know."""
    if "CallSid" in form:
        sid, said, known = form["CallSid"], form.get("CallStatus", ""), CALL_STATUSES
    else:
        sid = form.get("MessageSid") or form.get("SmsSid", "")
        said, known = form.get("MessageStatus") or form.get("SmsStatus", ""), MESSAGE_STATUSES
    status = known.get(said)
    if status is None or not _SID.fullmatch(sid):
        return None
    return report(sid, status, said, form.get("ErrorCode") or form.get("SipResponseCode"))


def report(sid: str, status: Status, said: str, code: object) -> StatusReport:
    """A report in our words; ``code`` is Twilio's error code, if any."""
    failed = status is Status.FAILED
    numbered = code is not None and _CODE.fullmatch(str(code)) is not None
    word = f"{said}_{code}" if failed and numbered else said
    return StatusReport(PROVIDER, sid, status, word, said.replace("-", "_") if failed else None)
