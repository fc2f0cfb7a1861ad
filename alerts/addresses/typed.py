"""Text as people type it, in plain characters: the one place where it is normalised. Pure.

A phone's keyboard writes digits of its own script or of double width, dashes and quotes of all kinds, spaces
that do not break, and invisible marks of direction; what is copied from an address book has more of them.
Numbers, codes, addresses and the words of a reply are compared and parsed after `plain`.
"""

import unicodedata
from typing import Final

_DASHES: Final = frozenset("\u2212\u2043\u30fc\u301c\u223c~")
"""Signs that stand for a dash and are none by their category: minus, bullet, long vowel, waves."""
_QUOTES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a\u02b9\u02bb\u02bc`\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb", '"')
    | dict.fromkeys("\u00b7\u2022\u2219\u22c5\u2027\u30fb", ".")
    | {"\u2795": "+"}
)


def plain(text: str) -> str:
    """Return ``text`` on one line, with ASCII digits, dashes, quotes and single spaces, without characters
    that cannot be seen. Letters keep their case and their accents.
    """
    kept = list[str]()
    for char in unicodedata.normalize("NFKC", text).translate(_QUOTES):
        digit = unicodedata.decimal(char, None)
        category = unicodedata.category(char)
        if digit is not None:
            kept.append(str(digit))
        elif category[0] == "Z" or category == "Cc":
            kept.append(" ")
        elif category == "Pd" or char in _DASHES:
            kept.append("-")
        elif category not in ("Cf", "Me") and not "\ufe00" <= char <= "\ufe0f":
            kept.append(char)
    return " ".join("".join(kept).split())


def digits_of(text: str) -> str:
    """Return the digits of a code that was typed, whatever separates them; empty when it has other signs."""
    joined = plain(text).replace(" ", "").replace("-", "").strip(".,")
    return joined if joined.isascii() and joined.isdigit() else ""
