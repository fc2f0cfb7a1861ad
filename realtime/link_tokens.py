"""Makes the random tokens of links. What such a token looks like is in `alerts.replies.tokens`."""

import secrets
from collections.abc import Callable

from alerts.replies.tokens import is_linkable


def new_token(size_bytes: int, sign: Callable[[str], str] | None = None) -> str:
    """A token of ``size_bytes`` random bytes, and behind them what ``sign`` makes of these characters.

    Drawn again while it ends in ``-`` or ``_``: 32 draws give one such on the average.
    """
    while True:
        token = secrets.token_urlsafe(size_bytes)
        if sign is not None:
            token += sign(token)
        if is_linkable(token):
            return token
