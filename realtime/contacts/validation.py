"""What people write about a contact, checked and brought into one form. Pure; each raises Refused(invalid).

What a phone's keyboard and address book add (`alerts.addresses.typed`) is taken away first. Only what can be
told from the text is: that a number answers, or where a name resolves to, is seen when it is used.
"""

import re
import unicodedata
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from alerts.addresses import phone
from alerts.addresses.typed import plain
from alerts.notifiers.guarded import refusal_of_url
from realtime.protocol import Code, Refused

MAX_NAME: Final = 80
MAX_EMAIL: Final = 254

_JOINERS: Final = "\u200c\u200d"
"""Persian and Hindi names need them; of other invisible characters `_MARKS` go, the rest is refused."""
_MARKS: Final = dict.fromkeys(
    (0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x202A, 0x202B, 0x202C, 0x2060, 0xFEFF, *range(0x2066, 0x206A))
)
"""Soft hyphen, marks of direction and of no width: an address book puts them around what is copied."""
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}")
_ATOM: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL: Final = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@(?P<host>{_LABEL}(?:\.{_LABEL})+)")
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\.?")
_NUMERIC: Final = re.compile(r"(?:0[xX][0-9A-Fa-f]*|[0-9]+)\.?")
_URL: Final = re.compile(r"[!-~]{1,1000}")
_INSIDE: Final = frozenset(
    {"localhost", "local", "internal", "intranet", "lan", "home", "corp", "arpa", "onion"}
)
"""Last labels of names that are nobody's on the internet."""
_FACTS: Final = {
    "bad_url": "webhook_url is not a plain url",
    "not_https": "webhook_url is not https",
    "forbidden_address": "webhook_url does not lead to a public place",
}
_TIME_ZONES: Final = {name.lower(): name for name in sorted(available_timezones())}


def name_of(text: str) -> str:
    """A person's name: 1–80 characters that can be seen, on one line."""
    seen = unicodedata.normalize("NFC", text).translate(_MARKS).strip()
    name = " ".join("".join(" " if unicodedata.category(c) == "Zs" else c for c in seen).split(" "))
    name = " ".join(part for part in name.split(" ") if part)
    if not name or len(name) > MAX_NAME:
        raise Refused(Code.INVALID, f"name is not 1 to {MAX_NAME} characters")
    if not all(char.isprintable() or char in _JOINERS for char in name) or not name.strip(_JOINERS):
        raise Refused(Code.INVALID, "name has characters that cannot be seen")
    return name


def language_of(text: str) -> str:
    """A language tag such as ``de`` or ``pt-BR``; ``DE`` and ``pt_BR`` are those."""
    language, hyphen, rest = plain(text).replace("_", "-").partition("-")
    tag = language.lower() + hyphen + rest
    if not _LANGUAGE.fullmatch(tag):
        raise Refused(Code.INVALID, "language is not a language tag")
    return tag


def time_zone_of(text: str) -> str:
    """A name of the time zone database, in any case. `alerts.addresses.phone.NO_ZONE` stands for none."""
    name = _TIME_ZONES.get(plain(text).replace(" ", "_").lower())
    if name is None:
        raise Refused(Code.INVALID, "time_zone is not known")
    return name


def phone_of(text: str, countries: Collection[str], home: Collection[str] = ()) -> str:
    """A number in E.164; not one that costs extra, nor of a country that is not in ``countries`` (empty =
    all). ``home``: countries in whose national form it may be written when all are allowed.
    """
    try:
        return phone.normal(text, countries, home)
    except ValueError as error:
        raise Refused(Code.INVALID, f"phone: {error}") from error


def email_of(text: str) -> str:
    """An address in lower case, of ASCII as every mail server takes it; nothing in it can end a header.

    A host in another script is written as the name service has it.
    """
    typed = plain(text).removesuffix(".")
    typed = typed[7:].strip() if typed[:7].lower() == "mailto:" else typed
    local, at, host = typed.rpartition("@")
    if at and not host.isascii():
        try:
            typed = f"{local}@{host.encode('idna').decode()}"
        except UnicodeError:
            raise Refused(Code.INVALID, "email is not an address") from None
    found = _EMAIL.fullmatch(typed)
    if (
        found is None
        or len(typed) > MAX_EMAIL
        or len(found["local"]) > 64
        or found["host"].split(".")[-1].isdigit()
    ):
        raise Refused(Code.INVALID, "email is not an address")
    return typed.lower()


def webhook_of(text: str, *, allow_private: bool = False) -> str:
    """An https URL to a public name. Where the name leads is looked at again when it is called.

    ``allow_private``: stand-ins on this machine may be named, by http too.
    """
    text = text.translate(_MARKS).strip()
    refusal = refusal_of_url(text, allow_private) if _URL.fullmatch(text) else "bad_url"
    if refusal is None and ("\\" in text or "#" in text or "@" in urlsplit(text).netloc):
        refusal = "bad_url"
    if refusal is None and not allow_private and not _leads_outside(urlsplit(text).hostname or ""):
        refusal = "forbidden_address"
    if refusal is not None:
        raise Refused(Code.INVALID, _FACTS[refusal])
    return text


def _leads_outside(host: str) -> bool:
    """Whether ``host``, which is no plain private address, may be a name or an address of the open
    internet.
    """
    if ":" in host:
        return True
    labels = host.rstrip(".").split(".")
    if _NUMERIC.fullmatch(labels[-1]):
        # 2130706433, 0x7f.1 and 017700000001 are addresses to whoever resolves them; four plain numbers are
        # one.
        return len(labels) == 4 and all(label.isdigit() and str(int(label)) == label for label in labels)
    return _HOST.fullmatch(host) is not None and labels[-1].lower() not in _INSIDE


def masked(text: str | None) -> str | None:
    """An address for those whose it is not: enough to know it again by, not to use it."""
    if text is None:
        return None
    local, at, host = text.partition("@")
    if at:
        return f"{local[:1]}•••@{host}"
    return f"{text[:3]}•••{text[-2:]}"
