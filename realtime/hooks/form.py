"""A provider's call as it came: a small form, no field twice. Nothing here trusts a header."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from msgspec import Struct

from alerts.notifiers.twilio_hooks import is_signed
from realtime.http.bodies import BODY_TIMEOUT_S, read_body

BODY_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 200
SIGNATURE_HEADER: Final = "X-Twilio-Signature"


class MalformedForm(Exception):
    """It is no form that a provider sends."""


class Forged(Exception):
    """Its signature is not the provider's."""


class Caller(Struct, frozen=True):
    """Who may call: whose token signs, and what the URLs that they were told to call begin with."""

    account_sid: str
    token: str
    urls: tuple[str, ...]
    body_timeout_s: float = BODY_TIMEOUT_S


async def read_form(request: web.Request, caller: Caller) -> Mapping[str, str]:
    """The form of a rightly signed call.

    Raises Malformed, Forged, and Refused (too_large, stalled, malformed) for a body that cannot be read.
    """
    form = parsed(await read_body(request, BODY_BYTES, timeout_s=caller.body_timeout_s))
    signature = request.headers.get(SIGNATURE_HEADER, "")
    if not any(is_signed(caller.token, url, request.raw_path, form, signature) for url in caller.urls):
        raise Forged
    if form.get("AccountSid") != caller.account_sid:
        raise Forged
    return form


def parsed(body: bytes) -> dict[str, str]:
    """The fields of a form. Raises Malformed."""
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError as error:
        raise MalformedForm from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise MalformedForm  # a field given twice reads differently here and there
    return form
