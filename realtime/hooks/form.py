"""A provider's call as it came: a small form, no field twice. Nothing here trusts a header."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web
from msgspec import Struct

from alerts.notifiers.twilio_hooks import is_signed

BODY_BYTES: Final = 64 * 1024
BODY_TIMEOUT_S: Final = 10.0
MOST_FIELDS: Final = 200
SIGNATURE_HEADER: Final = "X-Twilio-Signature"


class Malformed(Exception):
    """It is no form that a provider sends."""


class Forged(Exception):
    """Its signature is not the provider's."""


class Caller(Struct, frozen=True):
    """Who may call: whose token signs, and the URL that they were told to call."""

    account_sid: str
    token: str
    public_url: str


async def read_form(request: web.Request, caller: Caller) -> Mapping[str, str]:
    """The form of a rightly signed call. Raises Malformed or Forged."""
    form = parsed(await _body(request))
    signature = request.headers.get(SIGNATURE_HEADER, "")
    if not is_signed(caller.token, caller.public_url, request.raw_path, form, signature):
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
        raise Malformed from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise Malformed  # a field given twice reads differently here and there
    return form


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise Malformed
    except (TimeoutError, web.RequestPayloadError, OSError) as error:
        raise Malformed from error
    return bytes(body)
