"""Everything that would have gone out, in one list, the newest first; and what people said to it."""

import re
from collections import OrderedDict
from collections.abc import Iterator
from email.message import EmailMessage
from heapq import nlargest
from itertools import islice
from typing import Final, Literal

from msgspec import Struct

from realtime.outside.fcm import Push
from realtime.outside.mail import Mail
from realtime.outside.servers import Servers
from realtime.outside.twilio_words import Sent, heard

MOST: Final = 200
"""Entries in one answer at most."""
TEXT_CHARS: Final = 4_000
TALKS_KEPT: Final = 500
SAID_KEPT: Final = 20
_RINGING: Final = ("initiated", "ringing")


class SentReply(Struct, frozen=True):
    """Something said to a message. ``by``: the person it went to, or Wayguard in answer."""

    by: Literal["person", "wayguard"]
    text: str


class SentItem(Struct, frozen=True, kw_only=True):
    """One thing that would have gone out. ``can``: what the person may do with it now."""

    id: str
    kind: Literal["sms", "call", "push", "mail"]
    at_ms: int
    to: str
    title: str = ""
    text: str
    link: str | None = None
    state: str
    said: list[SentReply] = []
    can: list[Literal["reply", "press", "hang_up"]] = []


class Talks:
    """What was said to which message; the oldest messages are forgotten first."""

    def __init__(self) -> None:
        self._said: OrderedDict[str, list[SentReply]] = OrderedDict()

    def add(self, sid: str, *said: SentReply) -> None:
        """It was said to ``sid``."""
        kept = self._said.setdefault(sid, [])
        kept += said
        del kept[:-SAID_KEPT]
        while len(self._said) > TALKS_KEPT:
            self._said.popitem(last=False)

    def of(self, sid: str) -> list[SentReply]:
        """All of it, the oldest first."""
        return list(self._said.get(sid, []))


def sent(servers: Servers, talks: Talks, limit: int = MOST) -> list[SentItem]:
    """The newest ``limit`` of everything."""
    most = min(limit, MOST)
    return nlargest(most, _newest(servers, talks, most), key=lambda item: item.at_ms)


def _newest(servers: Servers, talks: Talks, most: int) -> Iterator[SentItem]:
    """The newest of each kind."""
    link = _link_finder(servers.public_url)
    for one in islice(reversed(servers.twilio.messages), most):
        yield _sms(one, talks, link)
    for one in islice(reversed(servers.twilio.phone_calls), most):
        yield _call(one, talks)
    for push in islice(reversed(servers.fcm.pushes), most):
        yield _push(push, link)
    for mail in islice(reversed(servers.mail.mails.copy()), most):  # another thread fills it
        yield _mail(mail, link)


def _link_finder(public_url: str) -> re.Pattern[str]:
    """Links of ours to an answer page, and nobody else's."""
    return re.compile(re.escape(public_url) + r"/a#[A-Za-z0-9_-]+")


def _found(link: re.Pattern[str], text: str) -> str | None:
    match = link.search(text)
    return match[0] if match else None


def _sms(one: Sent, talks: Talks, link: re.Pattern[str]) -> SentItem:
    return SentItem(
        id=one.sid,
        kind="sms",
        at_ms=one.made_ms,
        to=one.to,
        text=one.text[:TEXT_CHARS],
        link=_found(link, one.text),
        state=one.status,
        said=talks.of(one.sid),
        can=["reply"],
    )


def _call(one: Sent, talks: Talks) -> SentItem:
    try:
        words = heard(one.text)
    except ValueError:
        words = None
    asks = words is not None and words.action is not None
    spoken = [] if words is None else list(dict.fromkeys(words.words))
    rings = one.status in _RINGING
    return SentItem(
        id=one.sid,
        kind="call",
        at_ms=one.made_ms,
        to=one.to,
        text=" ".join(spoken)[:TEXT_CHARS],
        state=one.status,
        said=talks.of(one.sid),
        can=(["press", "hang_up"] if asks else ["hang_up"]) if rings else [],
    )


def _push(push: Push, link: re.Pattern[str]) -> SentItem:
    data = push.message.get("data", {})
    return SentItem(
        id=push.name,
        kind="push",
        at_ms=push.at_ms,
        to=push.token,
        title=str(data.get("title", ""))[:TEXT_CHARS],
        text=str(data.get("body", ""))[:TEXT_CHARS],
        link=_found(link, str(data.get("link", ""))),
        state="accepted",
    )


def _mail(mail: Mail, link: re.Pattern[str]) -> SentItem:
    text = _plain(mail.message)
    return SentItem(
        id=f"{mail.at_ms}-{mail.message.get('Message-ID', '')}",
        kind="mail",
        at_ms=mail.at_ms,
        to=", ".join(mail.recipients),
        title=str(mail.message.get("Subject", "")),
        text=text[:TEXT_CHARS],
        link=_found(link, text),
        state="accepted",
    )


def _plain(message: EmailMessage) -> str:
    body = message.get_body(("plain", "html"))
    try:
        return "" if body is None else str(body.get_content()).strip()
    except (LookupError, ValueError):
        return ""
