"""How long a text message is: the GSM 7-bit alphabet, its extension, and what falls back to UCS-2. Pure."""

import unicodedata
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED: Final = frozenset("^{}\\[~]|€\f")
_PLAIN: Final[dict[int, int | str]] = {
    **str.maketrans("‘’‚“”„«»–—·•łŁđĐı\u00a0\u202f×°", '\'\'\'"""""--.-lLdDi  x '),
    **{ord(char): plain for char, plain in {"…": "...", "œ": "oe", "Œ": "OE", "±": "+-"}.items()},
}
ONE_SEPTETS: Final = 160
PART_SEPTETS: Final = 153
"""Of a message in several parts: each begins with a header."""
ONE_UNITS: Final = 70
PART_UNITS: Final = 67


def folded(text: str) -> str:
    """``text`` with typography and accents that the alphabet lacks made plain; other scripts stay."""
    return "".join(_fold(char) for char in unicodedata.normalize("NFC", text).translate(_PLAIN))


def _fold(char: str) -> str:
    if char in _BASIC or char in _EXTENDED:
        return char
    bare = unicodedata.normalize("NFKD", char)[0]
    return bare if bare in _BASIC else char


def is_gsm(text: str) -> bool:
    """Whether all of ``text`` is in the alphabet."""
    return all(char in _BASIC or char in _EXTENDED for char in text)


def segments(text: str) -> int:
    """How many parts ``text`` is sent and paid as."""
    if is_gsm(text):
        septets = sum(2 if char in _EXTENDED else 1 for char in text)
        return 1 if septets <= ONE_SEPTETS else -(-septets // PART_SEPTETS)
    units = len(text.encode("utf-16-le")) // 2
    return 1 if units <= ONE_UNITS else -(-units // PART_UNITS)
