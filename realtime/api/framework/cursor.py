"""Opaque cursors of lists: where the next page begins. A cursor is not a secret and grants nothing."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from typing import Final

from realtime.protocol import Code, Refused

MAX_DIGITS: Final = 18
"""Of a number in a cursor: a bigint holds any of so many."""


def pack(kind: str, value: str) -> str:
    """A cursor of the list ``kind`` that continues after ``value``."""
    return urlsafe_b64encode(f"{kind}:{value}".encode()).rstrip(b"=").decode()


def number(text: str) -> int:
    """``text``, a part of a cursor, as a number that Postgres can hold. Raises Refused(invalid)."""
    if not text.isascii() or not text.isdecimal() or len(text) > MAX_DIGITS:
        raise Refused(Code.INVALID, "cursor is not valid")
    return int(text)


def unpack(kind: str, cursor: str) -> str:
    """The ``value`` that `pack` was given. Raises Refused(invalid) for what is not a cursor of this list."""
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (NotBase64, ValueError) as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error
    found, _, value = text.partition(":")
    if found != kind or pack(kind, value) != cursor:
        raise Refused(Code.INVALID, "cursor is not of this list")
    return value
