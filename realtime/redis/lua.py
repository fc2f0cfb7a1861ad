"""One argument that carries many strings to a Lua script: a MessagePack array of ``str 32``.

Redis' ``cmsgpack`` does not know MessagePack's ``bin``, which encoders choose for bytes; and one argument
costs the client far less than a thousand.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final

_header: Final = Struct(">BI").pack
_ARRAY_32: Final = 0xDD
_STR_32: Final = 0xDB


def pack(strings: Sequence[bytes]) -> bytes:
    """What ``cmsgpack.unpack`` makes an array of these strings of."""
    parts = [_header(_ARRAY_32, len(strings))]
    for string in strings:
        parts += (_header(_STR_32, len(string)), string)
    return b"".join(parts)
