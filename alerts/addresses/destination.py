"""Where a message goes: when two addresses are one, and what a step has written to already. Pure.

**The rule.** A step sends once by each channel to each address, whichever contact has it and however it is
written. The first contact in order has the message: its id, its language, its link. Everybody at the address
is named (`named`). Other steps and rounds write again.

A push goes to several devices. Of two contacts with some devices in common the second has a message to the
rest: its attempt names the first one in ``beside``, and `without_beside` takes those devices out.
"""

import contextlib
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from alerts.addresses.phone import identity
from alerts.attempt import Attempt, Channel, Status
from alerts.policy import DISPATCH, OPERATOR, Contact, PolicyCopy, addressee

_GOOGLE: Final = frozenset({"gmail.com", "googlemail.com"})
"""One mailbox whatever dots are in its name and whatever follows a plus."""
_TAG: Final = re.compile(r"\+.*")
_PORTS: Final = {"https": 443, "http": 80}
_NO_PERSON: Final = frozenset({DISPATCH, OPERATOR})


def keys_of(contact: Contact, channel: Channel) -> frozenset[str]:
    """What a message by ``channel`` to ``contact`` goes to, in a form in which equal addresses are equal;
    empty when there is none. A push has one key a device.
    """
    match channel:
        case Channel.SOCKET:
            return frozenset({DISPATCH}) if contact.contact_id == DISPATCH else _NOTHING
        case Channel.PUSH:
            return frozenset(contact.push_tokens)
        case Channel.SMS | Channel.CALL:
            return frozenset({identity(contact.phone)}) if contact.phone else _NOTHING
        case Channel.EMAIL:
            return frozenset({mail_identity(contact.email)}) if contact.email else _NOTHING
        case Channel.WEBHOOK:
            return frozenset({url_identity(contact.webhook_url)}) if contact.webhook_url else _NOTHING


_NOTHING: Final[frozenset[str]] = frozenset()


def mail_identity(address: str) -> str:
    """The form in which a mail address is compared: without case, the host as the name service has it."""
    local, _, host = address.strip().casefold().rpartition("@")
    host = host.removesuffix(".")
    if not host.isascii():
        with contextlib.suppress(UnicodeError):  # no host at all; its mail is refused
            host = host.encode("idna").decode()
    if host in _GOOGLE:
        local, host = _TAG.sub("", local).replace(".", ""), "gmail.com"
    return f"{local}@{host}"


def url_identity(url: str) -> str:
    """The form in which a webhook's URL is compared: scheme and host without case, no port that is usual."""
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").removesuffix("."), parts.port
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    at = host if port in (None, _PORTS.get(scheme)) else f"{host}:{port}"
    return f"{scheme}://{at}{parts.path or '/'}?{parts.query}"


class WrittenAddresses:
    """What the messages of one step, or of one end, go to."""

    def __init__(self, copy: PolicyCopy, attempts: Iterable[Attempt] = ()) -> None:
        self._contacts: Final[dict[str, list[Contact]]] = {}
        """By id: as the snapshot has it, then as a former local copy had it."""
        for contact in (*copy.contacts, *copy.former):
            self._contacts.setdefault(contact.contact_id, []).append(contact)
        self._whose: Final[dict[tuple[Channel, str], str]] = {}
        for attempt in attempts:
            if may_arrive(attempt):
                self.add(attempt.contact_id, attempt.channel)

    def add(self, contact_id: str, channel: Channel) -> None:
        """A message goes to that contact. A contact that the snapshot does not know has no address."""
        self.add_keys(contact_id, channel, self.keys(contact_id, channel))

    def add_keys(self, contact_id: str, channel: Channel, keys: Iterable[str]) -> None:
        """A message for that contact goes to ``keys``, whatever the snapshot knows of it."""
        for key in keys:
            self._whose.setdefault((channel, key), contact_id)

    def covers(self, contact_id: str, channel: Channel) -> bool:
        """Whether every address of the contact is written to already. Not so for one without any."""
        return self.covers_keys(channel, self.keys(contact_id, channel))

    def covers_keys(self, channel: Channel, keys: frozenset[str]) -> bool:
        """Whether all of ``keys`` are written to already. Not so where there are none."""
        return bool(keys) and all((channel, key) in self._whose for key in keys)

    def beside(self, contact_id: str, channel: Channel) -> tuple[str, ...]:
        """The other contacts whose messages go to some address of this one."""
        found = (self._whose.get((channel, key)) for key in self.keys(contact_id, channel))
        return tuple(sorted({one for one in found if one is not None and one != contact_id}))

    def keys(self, contact_id: str, channel: Channel) -> frozenset[str]:
        """What a message to that contact goes to: as `alerts.policy.addressee` finds it."""
        for contact in self._contacts.get(contact_id, ()):
            if keys := keys_of(contact, channel):
                return keys
        return _NOTHING


def may_arrive(attempt: Attempt) -> bool:
    """Whether the address of ``attempt`` has its message or may still get it: not so of one that was given up
    before it was sent.
    """
    return attempt.status is not Status.FAILED or attempt.sent_ms is not None


def without_beside(contact: Contact, attempt: Attempt, copy: PolicyCopy) -> Contact:
    """``contact`` without the devices that messages to the contacts beside it go to."""
    if attempt.channel is not Channel.PUSH or not attempt.beside:
        return contact
    others = (addressee(copy, contact_id, attempt.channel) for contact_id in attempt.beside)
    taken = {token for other in others if other is not None for token in other.push_tokens}
    return replace(contact, push_tokens=tuple(token for token in contact.push_tokens if token not in taken))


def named(copy: PolicyCopy, contact_id: str, *channels: Channel) -> str:
    """The names of the contacts at the addresses of that contact by ``channels``, the contact's own first.

    ``channels``: at least one. Empty for an unknown contact.

    Dispatchers and the operator are no person: they are not named beside one, and nobody is beside them.
    """
    names = dict[str, str]()
    for channel in channels:
        contact = addressee(copy, contact_id, channel)
        if contact is None or contact_id in _NO_PERSON:
            return "" if contact is None else contact.name
        keys = keys_of(contact, channel)
        names.setdefault(_folded(contact.name), contact.name)
        for other in copy.contacts:
            if other.contact_id not in _NO_PERSON and not keys.isdisjoint(keys_of(other, channel)):
                names.setdefault(_folded(other.name), other.name)
    return ", ".join(name for name in names.values() if name)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())
