"""Phone numbers that messages may go to: E.164, of an allowed country, none that costs extra. Pure."""

from collections.abc import Collection
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType as Type

_REFUSED: Final = {
    Type.PREMIUM_RATE: "premium-rate number",
    Type.SHARED_COST: "shared-cost number",
    Type.PAGER: "pager number",
    Type.VOICEMAIL: "voicemail number",
    Type.UAN: "company-wide number",
    Type.PERSONAL_NUMBER: "personal number",
}
_MAX_CHARS: Final = 40


def normal(text: object, allowed_countries: Collection[str] = ()) -> str:
    """``text`` (international, with its +) as E.164; ``allowed_countries``: ISO 3166 codes, none = all.

    Raises ValueError with why it is none we send to. No number stands in the reason.
    """
    if not isinstance(text, str) or len(text) > _MAX_CHARS:
        raise ValueError("not a phone number")
    try:
        number = phonenumbers.parse(text.strip(), None)
    except phonenumbers.NumberParseException:
        raise ValueError("not a phone number with its country code") from None
    if number.extension:
        raise ValueError("a phone number with an extension")
    if not phonenumbers.is_valid_number(number):
        raise ValueError("no such phone number")
    if (refused := _REFUSED.get(phonenumbers.number_type(number))) is not None:
        raise ValueError(refused)
    country = phonenumbers.region_code_for_number(number)
    if country is None or not country.isalpha():
        raise ValueError("a phone number of no country")
    if allowed_countries and country not in {code.upper() for code in allowed_countries}:
        raise ValueError(f"phone numbers of {country} are not allowed")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


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
