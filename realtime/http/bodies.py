"""The one way to read a request's body: under one deadline, up to a bound, every fault of a client named.

There are four faults: 1. it is too large; 2. not all of it came before the deadline; 3. it cannot be decoded;
4. the client disconnected. Each is the client's: a coded refusal, one INFO line, and no server error.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from aiohttp import ClientError, web
from aiohttp.http_exceptions import HttpProcessingError

from realtime.http.encodings import Decoder, Undecodable, known, readable
from realtime.protocol import Code, Refused

log = logging.getLogger(__name__)

BODY_TIMEOUT_S: Final = 10.0
"""For a whole body: a sender of one byte now and then must not hold a connection."""
CLIENT_CLOSED_REQUEST: Final = 499
"""nginx's status for a request whose client disconnected; no client sees it."""

_FAULTS: Final = (
    OSError,
    ClientError,
    HttpProcessingError,
    web.PayloadAccessError,
    web.RequestPayloadError,
)
"""What aiohttp raises for a lost connection, bad chunks, bad compression, and a length that does not hold."""


class ClientGone(Refused):
    """The client disconnected before its body was complete."""

    def __init__(self) -> None:
        super().__init__(Code.MALFORMED, "the client disconnected")


async def read_body(request: web.Request, limit_bytes: int, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """The whole body, decompressed: at most ``limit_bytes``, within ``timeout_s``.

    Raises Refused: too_large, stalled, malformed (ClientGone among them).
    """
    body = bytearray()
    encoding = encoding_of(request)
    decoder = Decoder(encoding) if known(encoding) else None

    def take(part: bytes) -> bool:
        for decoded in decoder.decode(part) if decoder is not None else (part,):
            body.extend(decoded)
            if len(body) > limit_bytes:
                return False
        return True

    try:
        if (request.content_length or 0) <= limit_bytes:
            await _receive(request, take, timeout_s)
            if decoder is not None and len(body) <= limit_bytes:
                decoder.end()
        if max(request.content_length or 0, len(body)) > limit_bytes:
            raise Refused(Code.TOO_LARGE, f"the body is larger than {limit_bytes} bytes")
    except Undecodable as error:
        _end(request)
        log.info("request body refused on %s: %s", route_of(request), error)
        raise Refused(Code.MALFORMED, "the body cannot be read") from error
    except Refused as refused:
        log.info("request body refused on %s: %s", route_of(request), refused.message)
        raise
    return bytes(body)


async def read_what_comes(
    request: web.Request, read_bytes: int, discard_bytes: int, timeout_s: float
) -> bytes:
    """As much of the body as was sent, can be decoded and is below ``read_bytes``; no fault is raised.

    A body counts whether or not it is in the encoding that its header names:
    `realtime.http.encodings.readable`. Up to ``discard_bytes`` are read and dropped, so that the client,
    which still sends, gets the answer.
    """
    body, came_bytes = bytearray(), 0

    def take(part: bytes) -> bool:
        nonlocal came_bytes
        body.extend(part[: read_bytes - len(body)])
        came_bytes += len(part)
        return came_bytes <= discard_bytes

    try:
        await _receive(request, take, timeout_s)
    except Refused as refused:
        log.info("request body used as far as it came on %s: %s", route_of(request), refused.message)
    return readable(bytes(body), encoding_of(request), read_bytes)


async def _receive(request: web.Request, take: Callable[[bytes], bool], timeout_s: float) -> None:
    """Give ``take`` each part of the body until it returns False.

    Raises Refused: stalled, malformed (ClientGone among them).
    """
    try:
        async with asyncio.timeout(timeout_s):
            async for part in request.content.iter_any():
                if not take(part):
                    return
    except TimeoutError as error:
        raise Refused(Code.STALLED, "the body came too slowly") from error
    except _FAULTS as error:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientGone from error
        _end(request)
        raise Refused(Code.MALFORMED, "the body cannot be read") from error


def _end(request: web.Request) -> None:
    """Read no more of a body that cannot be read: what follows on this connection is not a request any more.

    aiohttp would read on after the answer, fail again, and log a traceback.
    """
    request.content.feed_eof()
    request.protocol.close()


def encoding_of(request: web.Request) -> str:
    """The Content-Encoding of the body, lower case; empty when it has none."""
    return request.headers.get("Content-Encoding", "").strip().lower()


def route_of(request: web.Request) -> str:
    """The route's template, so that no id becomes a metric label or a log word."""
    resource = request.match_info.route.resource
    return "other" if resource is None else "/" + resource.canonical.strip("/")
