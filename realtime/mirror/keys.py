"""Names as keys of a Realtime Database, and back. Pure.

A key may not hold ``. $ # [ ] /`` or control characters, has 768 bytes at most, and goes into URLs too. So
every byte but letters, digits, ``-`` and ``_`` is written ``=XX``, its hexadecimal value.
"""

import re
from typing import Final

KEY_BYTES: Final = 768
_PLAIN: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_ESCAPE: Final = re.compile(r"=([0-9A-F]{2})")


def key_of(name: str) -> str:
    """The key that stands for ``name``. Raises ValueError for what no key can stand for."""
    key = "".join(chr(byte) if byte in _PLAIN else f"={byte:02X}" for byte in name.encode())
    if not key or len(key) > KEY_BYTES:
        raise ValueError("not a name for a key")
    return key


def name_of(key: str) -> str:
    """The name that ``key`` stands for. Raises ValueError for a key that stands for none."""
    plain = _ESCAPE.sub("", key)
    if not key or "=" in plain or not set(plain.encode()) <= _PLAIN:
        raise ValueError("not a key of ours")
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), key).encode("latin-1").decode()


def path_of(section: str, *names: str) -> str:
    """``section`` and the keys of ``names``, as a path."""
    return "/".join((section, *(key_of(name) for name in names)))
