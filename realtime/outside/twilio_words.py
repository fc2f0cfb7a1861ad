"""What Twilio's API says: its resources and its errors as JSON, the forms of its callbacks, and TwiML as far
as it is used here. Pure.
"""

from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from xml.etree import ElementTree

import msgspec
from aiohttp import web

VERSION: Final = "2010-04-01"
ERRORS: Final = {
    20001: (400, "Invalid parameter"),
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "Internal Server Error"),
    21211: (400, "Invalid 'To' Phone Number"),
    21212: (400, "Invalid 'From' Number"),
    21408: (400, "Permission to send an SMS has not been enabled for the region"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21604: (400, "A 'To' phone number is required."),
    21205: (400, "Url is not a valid URL"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21612: (400, "The 'To' phone number is not currently reachable"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
}
OPT_OUT_WORDS: Final = {
    "STOP": frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"}),
    "START": frozenset({"START", "UNSTOP", "YES"}),
    "HELP": frozenset({"HELP", "INFO"}),
}
"""Texts that Twilio answers itself, by what it calls them in a callback (``OptOutType``)."""
MAGIC: Final = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}
"""Twilio's own test numbers, and what they are refused with."""


def refused(code: int, status: int | None = None, headers: dict[str, str] | None = None) -> web.Response:
    """An error as Twilio words it."""
    usual, message = ERRORS.get(code, (400, "Bad request"))
    status = status or usual
    body = {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }
    return web.json_response(body, status=status, headers=headers)


class Sent(msgspec.Struct, kw_only=True):
    """One message or call. ``text`` is its body, or the TwiML of a call; ``answers`` what was said back."""

    sid: str
    to: str
    sender: str
    text: str
    status: str
    made_ms: int
    callback: str = ""
    events: frozenset[str] = frozenset()
    valid_s: int | None = None
    error_code: int | None = None
    asked: list[str] = msgspec.field(default_factory=list)
    """URLs that were called for it."""
    answers: list[str] = msgspec.field(default_factory=list)

    @property
    def is_call(self) -> bool:
        """Whether it rings."""
        return self.sid.startswith("CA")


def resource(account: str, one: Sent) -> dict[str, Any]:
    """A message or call as the API shows it."""
    date = format_datetime(datetime.fromtimestamp(one.made_ms / 1000, UTC))
    kind = "Calls" if one.is_call else "Messages"
    shared: dict[str, Any] = {
        "account_sid": account,
        "api_version": VERSION,
        "date_created": date,
        "date_updated": date,
        "direction": "outbound-api",
        "from": one.sender,
        "to": one.to,
        "price": None,
        "price_unit": "USD",
        "sid": one.sid,
        "status": one.status,
        "uri": f"/{VERSION}/Accounts/{account}/{kind}/{one.sid}.json",
        "subresource_uris": {},
    }
    if one.is_call:
        return shared | {"duration": None, "start_time": None, "end_time": None, "phone_number_sid": None}
    is_out = one.status not in ("accepted", "queued")
    return shared | {
        "body": one.text,
        "date_sent": date if is_out else None,
        "error_code": one.error_code,
        "error_message": None,
        "messaging_service_sid": one.sender if one.sender.startswith("MG") else None,
        "num_media": "0",
        "num_segments": "1",
    }


def listed(account: str, kind: str, items: list[dict[str, Any]], page_size: int) -> dict[str, Any]:
    """A first page, and the only one. ``kind``: messages, calls, events."""
    uri = f"/{VERSION}/Accounts/{account}/{kind.capitalize()}.json?PageSize={page_size}&Page=0"
    return {
        kind: items,
        "page": 0,
        "page_size": page_size,
        "start": 0,
        "end": max(0, len(items) - 1),
        "uri": uri,
        "first_page_uri": uri,
        "next_page_uri": None,
        "previous_page_uri": None,
    }


def status_form(account: str, one: Sent) -> dict[str, str]:
    """What a callback says of a message or call."""
    form = {"AccountSid": account, "ApiVersion": VERSION, "From": one.sender, "To": one.to}
    if one.is_call:
        return form | {"CallSid": one.sid, "CallStatus": one.status, "Direction": "outbound-api"}
    form |= {"MessageSid": one.sid, "SmsSid": one.sid, "MessageStatus": one.status, "SmsStatus": one.status}
    return form if one.error_code is None else form | {"ErrorCode": str(one.error_code)}


class SpokenPrompt(msgspec.Struct):
    """What somebody on a call hears: the words, and where a key that they press goes."""

    words: list[str]
    action: str | None


def heard(twiml: str) -> SpokenPrompt:
    """The words of TwiML, and the action of its first Gather. Raises ValueError when it is not TwiML."""
    try:
        root = ElementTree.fromstring(twiml)  # noqa: S314  written by the servers under test
    except ElementTree.ParseError as error:
        raise ValueError("not twiml") from error
    if root.tag != "Response":
        raise ValueError("not twiml")
    gather = root.find("Gather")
    words = [(said.text or "").strip() for said in root.iter() if said.tag in ("Say", "Message")]
    return SpokenPrompt(words, None if gather is None else gather.get("action"))
