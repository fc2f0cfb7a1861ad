"""Text of strangers made fit for a header, a line of SMS or a spoken sentence. Pure."""

import unicodedata
from typing import Final

_JOINERS: Final = "\u200c\u200d"
"""Hindi and many emoji need them; every other invisible character goes."""
_BAD_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
MARKS_IN_A_ROW: Final = 3


def clean(text: str, limit: int) -> str:
    """``text`` on one line of ``limit`` characters at most: no control, direction or unassigned characters.

    A header cannot be injected through what is left, nor a line be overprinted by stacked marks.
    """
    kept = list[str]()
    marks = 0
    for char in unicodedata.normalize("NFC", text[: limit * 8]):
        category = unicodedata.category(char)
        if category in _BAD_CATEGORIES and char not in _JOINERS:
            kept.append(" ")
            marks = 0
        elif category.startswith("M"):
            marks += 1
            if marks <= MARKS_IN_A_ROW:
                kept.append(char)
        else:
            marks = 0
            kept.append(char)
    return shortened(" ".join("".join(kept).split()), limit)


def shortened(text: str, limit: int) -> str:
    """``text``, or its beginning with an ellipsis when it has more than ``limit`` characters."""
    if len(text) <= limit:
        return text
    return text[: max(limit - 1, 0)].rstrip() + "…" if limit > 1 else text[:limit]
