"""From whom texts and calls come: what a provider's sender can do. Pure."""

import re
from enum import StrEnum
from typing import Final

from alerts.addresses.typed import plain

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SERVICE: Final = re.compile(r"MG[0-9a-fA-F]{32}")
_SHORT_CODE: Final = re.compile(r"[0-9]{3,8}")
_NAME: Final = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &_+.-]{1,11}")
_SEPARATORS: Final = re.compile(r"[\s().-]+")


class Sender(StrEnum):
    """A kind of sender."""

    NUMBER = "number"
    """E.164: texts, replies and calls."""
    SERVICE = "service"
    """A messaging service, which has numbers for texts alone."""
    SHORT_CODE = "short_code"
    """Texts and replies."""
    NAME = "name"
    """Letters (an alphanumeric sender id): texts without a number to reply to."""


def sender_of(text: str) -> str:
    """``text`` from the settings as the provider takes it: a number without what is between its digits.

    Raises ValueError when it is no sender.
    """
    typed = plain(text)
    joined = _SEPARATORS.sub("", typed)
    number = "+" + joined[2:] if joined.startswith("00") else joined
    if kind_of(number) in (Sender.NUMBER, Sender.SERVICE, Sender.SHORT_CODE):
        return number
    if kind_of(typed) is not None:
        return typed
    raise ValueError("neither a number with its country code, a messaging service's sid, nor a name")


def kind_of(sender: str) -> Sender | None:
    """The kind of ``sender``; None when it is none."""
    for kind, pattern in (
        (Sender.NUMBER, _NUMBER),
        (Sender.SERVICE, _SERVICE),
        (Sender.SHORT_CODE, _SHORT_CODE),
        (Sender.NAME, _NAME),
    ):
        if pattern.fullmatch(sender):
            return kind
    return None


def can_receive(sender: str) -> bool:
    """Whether a text can be sent back to ``sender``."""
    return kind_of(sender) in (Sender.NUMBER, Sender.SERVICE, Sender.SHORT_CODE)


def can_call(sender: str) -> bool:
    """Whether ``sender`` can make calls."""
    return kind_of(sender) is Sender.NUMBER
