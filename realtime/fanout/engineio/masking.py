"""Whether every frame that a client sends is masked (RFC 6455 §5.1), which aiohttp's reader does not check.

An unmasked frame lets a script of a foreign page choose bytes on the wire that a proxy between may take for
requests of its own; the mask is what rules that out, so a server must close with 1002.
"""

from typing import Final

_MASK_BIT: Final = 0x80
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_KEY_BYTES: Final = 4
_KNOWN_SHORT: Final = _MASK_BIT - 2 - _KEY_BYTES
"""In bytes: the second byte of a masked frame (mask bit and payload length in bytes) minus the size of the
whole frame (header, key and payload), for a payload of less than 126 bytes."""


class MaskCheck:
    """Follows the frame headers in the bytes of one client, however they are cut into reads."""

    __slots__ = ("_head", "_left")

    def __init__(self) -> None:
        self._head = b""
        """A header of which not every byte has come."""
        self._left = 0
        """Bytes of the frame under way that are yet to come: of its key and its payload."""

    def unmasked_at(self, data: bytes) -> int | None:
        """Return where in ``data`` an unmasked frame begins, None when there is none.

        Negative: its first byte came with an earlier read. Not to be called again after an answer.
        """
        size = len(data)
        # One whole frame a read is the rule: one of less than 126 bytes, one of less than 64 KiB.
        if not self._left and not self._head and size > 7:
            second = data[1]
            if second - _KNOWN_SHORT == size and second < _MASK_BIT | _LENGTH_16:
                return None
            if second == _MASK_BIT | _LENGTH_16 and (data[2] << 8 | data[3]) + 8 == size:
                return None
        return self._follow(data, size)

    def _follow(self, data: bytes, size: int) -> int | None:
        if self._left >= size:
            self._left -= size
            return None
        at = self._left
        before = len(self._head)
        data, self._head, self._left = self._head + data, b"", 0
        size += before
        while size - at >= 2:
            second = data[at + 1]
            if not second & _MASK_BIT:
                return at - before
            length = second & ~_MASK_BIT
            key_at = at + 2
            if length >= _LENGTH_16:
                key_at += 2 if length == _LENGTH_16 else 8
                if size < key_at:
                    break
                length = int.from_bytes(data[at + 2 : key_at], "big")
            at = key_at + _KEY_BYTES + length
            if at > size:
                self._left = at - size
                return None
        self._head = data[at:]
        return None
