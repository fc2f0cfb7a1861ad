"""What a token in a link looks like, and what is left of it when a program has changed the link. Pure.

A token is of A–Z, a–z, 0–9, ``-`` and ``_``. Messengers and mail programs take punctuation at the end of a
link for that of the sentence, so a new token ends in a letter or a digit. What stands behind a token and is
none of its characters was added by another program, and is cut.
"""

import re
from typing import Final

_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)


def is_linkable(token: str) -> bool:
    """Whether ``token`` may be given out in a link: its last character is a letter or a digit."""
    return token != "" and token[-1] not in "-_"


def cut(text: str) -> str:
    """The token that ``text`` begins with: without what another program added behind it."""
    found = _TOKEN.match(text)
    return "" if found is None else found[0]
