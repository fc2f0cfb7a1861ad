"""Decoding of request bodies by their Content-Encoding, in bounded parts.

aiohttp would decode before a handler runs, and then the body as it was sent is lost. `SERVER_LIMITS` of
`realtime.api.routes` therefore turns that off. Encodings that are not known are left as they are, like there.
"""

from collections.abc import Iterator
from typing import Final, Protocol

from aiohttp.compression_utils import (
    HAS_BROTLI,
    HAS_ZSTD,
    BrotliDecompressor,
    ZLibDecompressor,
    ZSTDDecompressor,
)

PART_BYTES: Final = 256 * 1024
"""Decoded bytes that are made at once."""
GZIP_MAGIC: Final = b"\x1f\x8b"
_DEFLATE_METHOD: Final = 8
"""In the low half of the first byte of a zlib stream (RFC 1950); some clients send deflate without it."""


class Undecodable(ValueError):
    """The body is not in its encoding."""


class _Decompressor(Protocol):
    @property
    def data_available(self) -> bool: ...
    def decompress_sync(self, data: bytes, max_length: int = ...) -> bytes: ...


class Decoder:
    """Decodes the parts of one body in ``encoding`` (lower case)."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decompressor: _Decompressor | None = None

    def decode(self, part: bytes) -> Iterator[bytes]:
        """Yield what ``part`` adds, at most `PART_BYTES` at once. Raises Undecodable."""
        if not part:
            return
        if self._decompressor is None:
            self._decompressor = _decompressor(self._encoding, part[0])
        decompressor, data = self._decompressor, part
        while True:
            try:
                made = decompressor.decompress_sync(data, max_length=PART_BYTES)
            except Exception as error:  # each library has its own
                raise Undecodable(f"the body is no {self._encoding}") from error
            if made:
                yield made
            if not decompressor.data_available:
                return
            data = b""

    def end(self) -> None:
        """The body has ended. Raises Undecodable when it is known to be cut."""
        decompressor = self._decompressor
        if (
            isinstance(decompressor, ZLibDecompressor)
            and self._encoding == "deflate"
            and not decompressor.eof
        ):
            raise Undecodable("the body is cut")


def known(encoding: str) -> bool:
    """Return whether a body in ``encoding`` (lower case) is decoded."""
    return encoding in ("gzip", "deflate") or (encoding == "br" and HAS_BROTLI) or _is_zstd(encoding)


def readable(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Return at most ``limit_bytes`` of ``body`` decoded, as far as it goes, be it in ``encoding`` or not.

    There are three cases: 1. it begins like gzip, whatever ``encoding`` says: that is decoded; 2. it begins
    like a JSON object, or ``encoding`` is not known: it is returned as it is; 3. it is decoded from
    ``encoding``, and returned as it is when that gives nothing.
    """
    if body.startswith(GZIP_MAGIC):
        return _decoded(body, "gzip", limit_bytes) or body
    if _is_like_json(body) or not known(encoding):
        return body
    return _decoded(body, encoding, limit_bytes) or body


def _decoded(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    made = bytearray()
    try:
        for part in Decoder(encoding).decode(body):
            made += part
            if len(made) >= limit_bytes:
                break
    except Undecodable:
        pass  # what came before the fault counts
    return bytes(made[:limit_bytes])


def _is_like_json(body: bytes) -> bool:
    start = body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return start[:1] == b"{" and start[1:].lstrip()[:1] in (b"", b'"', b"}")


def _is_zstd(encoding: str) -> bool:
    return encoding == "zstd" and HAS_ZSTD


def _decompressor(encoding: str, first_byte: int) -> _Decompressor:
    if encoding == "br":
        return BrotliDecompressor()
    if encoding == "zstd":
        return ZSTDDecompressor()
    is_bare = encoding == "deflate" and first_byte & 0xF != _DEFLATE_METHOD
    return ZLibDecompressor(encoding=encoding, suppress_deflate_header=is_bare)
