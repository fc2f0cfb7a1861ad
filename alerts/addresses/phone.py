"""Phone numbers: as people write them, in E.164, and when two of them are one phone. Pure.

`normal` is for what people type. Only numbers that messages may go to pass it: of an allowed country, none
that costs extra; those of satellite phones have no country. `identity`, `is_same`, `spellings` and `dialled`
are for numbers that are in E.164 already. Four countries have two forms of one mobile number:

* Mexico: ``+52`` and ten digits; networks still show ``+521`` as the sender.
* Argentina: ``+54 9`` and ten digits from abroad, ``+54`` and the same ten at home.
* Brazil: nine digits after the area code; eight before 2016, which some networks still show.
* Benin: ``01`` and eight digits; the eight alone before November 2024.

An Italian landline begins with its zero and an Italian mobile never does, so a zero too many or too few is
corrected when it is typed, and no network shows both.
"""

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType as Type
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from alerts.addresses.typed import plain

_REFUSED: Final = {
    Type.PREMIUM_RATE: "premium-rate number",
    Type.SHARED_COST: "shared-cost number",
    Type.PAGER: "pager number",
    Type.VOICEMAIL: "voicemail number",
    Type.UAN: "company-wide number",
    Type.PERSONAL_NUMBER: "personal number",
}
_MAX_CHARS: Final = 80
"""With invisible marks and separators; a number has 15 digits at most."""
_SATELLITE: Final = frozenset({870, 881, 882, 883})
"""Country codes of no country: Inmarsat; Iridium and Globalstar; Thuraya and other networks of the world.

The library knows few of their ranges, so of these the number of digits is checked alone.
"""
_SATELLITE_DIGITS: Final = range(10, 16)
"""Digits of such a number, its country code among them."""
_SCHEME: Final = re.compile(r"(?:tel|sms|callto|whatsapp)\s*:\s*", re.IGNORECASE)
_INTERNATIONAL: Final = re.compile(r"[+\s]*\(?0\s*0\)?[\s.-]*")
"""``00``, also ``+00``: no national number begins with it."""
_MEXICO: Final = re.compile(r"\+521(\d{10})")
_ARGENTINA: Final = re.compile(r"\+549(\d{10})")
_BRAZIL: Final = re.compile(r"\+55([1-9]\d)([689]\d{7}|7[0-6]\d{6})")
"""77, 78 and 79 belong to trunked radios, which got no ninth digit."""
_BENIN: Final = re.compile(r"\+229(\d{8})")
_TWOFOLD: Final = ("+52", "+54", "+55", "+229")
"""Countries whose numbers have two forms."""


def normal(text: object, allowed_countries: Collection[str] = (), home: Collection[str] = ()) -> str:
    """``text`` as E.164.

    ``allowed_countries``: ISO 3166 codes, none = all. A number in national form is taken where exactly one
    number of an allowed country is written so; where all are allowed, of a country of ``home``.

    Raises ValueError with why it is none we send to. No number stands in the reason.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARS:
        raise ValueError("not a phone number")
    allowed = sorted({code.upper() for code in allowed_countries})
    number = _read(_international(plain(text)), allowed or sorted({code.upper() for code in home}))
    if number.extension:
        raise ValueError("a phone number with an extension")
    if number.country_code in _SATELLITE:
        return _satellite(number, allowed)
    number = _meant(number)
    if (refused := _REFUSED.get(phonenumbers.number_type(number))) is not None:
        raise ValueError(refused)
    country = phonenumbers.region_code_for_number(number)
    if country is None or not country.isalpha():
        raise ValueError("a phone number of no country")
    if allowed and country not in allowed:
        raise ValueError(f"phone numbers of {country} are not allowed")
    return _e164(number)


def is_national(text: str) -> bool:
    """Whether ``text`` has no country code, as people write a number at home."""
    return not _international(plain(text)).lstrip("( ").startswith("+")


def country_of(number: str) -> str | None:
    """The ISO 3166 code of an E.164 number's country."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return None


def masked(number: str) -> str:
    """Enough of a number for its owner to know it: ``+49…78``."""
    digits = [char for char in number if char.isdigit()]
    if len(digits) < 7:
        return "…"
    return f"+{''.join(digits[:2])}…{''.join(digits[-2:])}"


# --- one phone, two spellings


def identity(number: str) -> str:
    """The one of its `spellings` by which an E.164 number is compared. Anything else is itself."""
    if not number.startswith(_TWOFOLD):
        return number
    for pattern, form in (
        (_MEXICO, r"+52\1"),
        (_ARGENTINA, r"+54\1"),
        (_BRAZIL, r"+55\g<1>9\2"),
        (_BENIN, r"+22901\1"),
    ):
        if (found := pattern.fullmatch(number)) is not None:
            return found.expand(form)
    return number


def is_same(a: str, b: str) -> bool:
    """Whether two E.164 numbers are one phone."""
    return identity(a) == identity(b)


def spellings(number: str) -> tuple[str, ...]:
    """All forms of an E.164 number by which a network may show it; one or two, `identity` first."""
    known = identity(number)
    country, rest = known[:3], known[3:]
    others = {
        "+52": (f"+521{rest}",),
        "+54": (f"+549{rest}",),
        "+55": (f"+55{rest[:2]}{rest[3:]}",) if rest[2:3] == "9" else (),
    }.get(country, (f"+229{known[6:]}",) if known.startswith("+22901") else ())
    return (known, *(other for other in others if other != known and identity(other) == known))


def dialled(number: str) -> tuple[str, ...]:
    """The forms in which to dial an E.164 number, the most likely first.

    That is the form of today. In Argentina a number without its 9 may be a landline, so there it is the form
    that was given.
    """
    first = number if number.startswith("+54") else identity(number)
    return (first, *(other for other in spellings(number) if other != first))


# --- time zones

_RENAMED: Final = {
    "Africa/Asmera": "Africa/Asmara",
    "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
    "America/Godthab": "America/Nuuk",
    "Asia/Calcutta": "Asia/Kolkata",
    "Asia/Choibalsan": "Asia/Ulaanbaatar",
    "Asia/Katmandu": "Asia/Kathmandu",
    "Asia/Rangoon": "Asia/Yangon",
    "Atlantic/Faeroe": "Atlantic/Faroe",
    "Pacific/Enderbury": "Pacific/Kanton",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
}
"""Old names of the library's, which not every system has."""
_MAIN_ZONE: Final = {
    "1": "America/New_York",
    "7": "Europe/Moscow",
    "34": "Europe/Madrid",
    "39": "Europe/Rome",
    "44": "Europe/London",
    "47": "Europe/Oslo",
    "52": "America/Mexico_City",
    "55": "America/Sao_Paulo",
    "61": "Australia/Sydney",
    "62": "Asia/Jakarta",
    "64": "Pacific/Auckland",
    "243": "Africa/Kinshasa",
    "262": "Indian/Reunion",
    "299": "America/Nuuk",
    "351": "Europe/Lisbon",
    "353": "Europe/Dublin",
    "358": "Europe/Helsinki",
    "593": "America/Guayaquil",
    "599": "America/Curacao",
    "686": "Pacific/Tarawa",
    "689": "Pacific/Tahiti",
    "691": "Pacific/Pohnpei",
    "976": "Asia/Ulaanbaatar",
}
"""Where a country has several: that of most of its people."""
NO_ZONE: Final = "UTC"
"""What a contact has that was given none; ``Etc/UTC`` is the zone itself."""


def zone_for(time_zone: str, number: str | None) -> str:
    """``time_zone``; for `NO_ZONE` the zone of ``number``, where it has one."""
    if time_zone != NO_ZONE or not number:
        return time_zone
    return zone_of(number) or time_zone


@lru_cache(maxsize=10_000)
def zone_of(number: str) -> str | None:
    """The time zone of an E.164 number's area, or of most people of its country; None when it has none."""
    digits = identity(number).removeprefix("+")
    for length in range(min(TIMEZONE_LONGEST_PREFIX, len(digits)), 0, -1):
        zones = TIMEZONE_DATA.get(digits[:length])
        if zones:
            main = next((zone for code, zone in _MAIN_ZONE.items() if digits.startswith(code)), None)
            found = [_RENAMED.get(zone, zone) for zone in zones]
            if main is not None and (main in found or digits[:length] in _MAIN_ZONE or main == _DUBLIN):
                return main
            return found[0]
    return None


_DUBLIN: Final = "Europe/Dublin"
"""The library gives Irish numbers the zones of Britain."""


# --- reading


def _international(text: str) -> str:
    """``text`` with a leading ``+`` where it has one in another place, or ``00``."""
    text = _SCHEME.sub("", text, count=1)
    if text.endswith("+") and "+" not in text[:-1]:
        text = "+" + text[:-1]  # where people write from the right, it is typed last
    prefix = _INTERNATIONAL.match(text)
    return text if prefix is None else "+" + text[prefix.end() :]


def _read(text: str, countries: Collection[str]) -> phonenumbers.PhoneNumber:
    if text.lstrip("( ").startswith("+"):
        try:
            return phonenumbers.parse(text, None)
        except phonenumbers.NumberParseException:
            raise ValueError("not a phone number with its country code") from None
    found: dict[str, phonenumbers.PhoneNumber] = {}
    for country in countries:
        try:
            number = phonenumbers.parse(text, country)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            found[_e164(number)] = number
    if len(found) != 1:
        raise ValueError("not a phone number with its country code")
    return next(iter(found.values()))


def _satellite(number: phonenumbers.PhoneNumber, allowed: Collection[str]) -> str:
    text = _e164(number)
    if len(text) - 1 not in _SATELLITE_DIGITS:
        raise ValueError("no such phone number")
    if allowed:
        raise ValueError("phone numbers of no country are not allowed")
    return text


def _meant(number: phonenumbers.PhoneNumber) -> phonenumbers.PhoneNumber:
    """``number`` where there is such a one; else the one that it is another spelling of."""
    if phonenumbers.is_valid_number(number):
        return number
    found: dict[str, phonenumbers.PhoneNumber] = {}
    for text in _corrected(_e164(number)):
        try:
            other = phonenumbers.parse(text, None)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(other):
            found[_e164(other)] = other
    if len(found) != 1:
        raise ValueError("no such phone number")
    return next(iter(found.values()))


def _corrected(text: str) -> Collection[str]:
    """What an E.164 number of which there is none may stand for."""
    if text.startswith("+390"):
        return ("+39" + text[4:],)
    if text.startswith("+39"):
        return ("+390" + text[3:],)
    if text.startswith("+549"):
        return ("+54" + text[4:],)  # with the 15 of home, which the library takes away
    return tuple(other for other in spellings(text) if other != text)


def _e164(number: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
