"""Every answer of the API that is not a success: coded, the same shape everywhere, and never a traceback."""

import logging
import secrets
import time
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

import msgspec
from aiohttp import web, web_response, web_server
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from realtime.http.bodies import CLIENT_CLOSED_REQUEST, ClientGone, route_of
from realtime.metrics import instruments
from realtime.protocol import HTTP_STATUS, Code, Refused, shown
from realtime.store.db.errors import is_statement_failure

log = logging.getLogger(__name__)

STATUS: Final[Mapping[Code, int]] = {
    **HTTP_STATUS,
    Code.BINARY_REFUSED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
"""The status of each code; those that belong to sockets alone have one too, so that none can surprise."""

_ABOUT: Final = frozenset({"/healthz", "/readyz", "/metrics"})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""Of every answer of the API."""


class _NoQuotes(logging.Filter):
    """Keeps what aiohttp's parser quotes of a request it cannot read, tokens included, out of the log.

    Such a request is the client's fault: an INFO line, where aiohttp logs an error with a traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.msg, record.args = f"request cannot be read: {type(error).__name__}", ()
            record.exc_info = None
            record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return True


_NO_QUOTES: Final = _NoQuotes()


class _BareErrors(web.RequestHandler):
    """Answers what is not HTTP by its status alone: aiohttp's text quotes the request as Python prints it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """As aiohttp's, without ``message``."""
        return web.RequestHandler.handle_error(self, request, status, exc, None)


def hide_versions() -> None:
    """From now on no response of this process names aiohttp's or Python's version. Is idempotent.

    In aiohttp itself, as it answers what is not HTTP before any application is asked.
    """
    setattr(web_response, "SERVER_SOFTWARE", "wayguard")  # noqa: B010  it is not exported to type checkers
    setattr(web_server, "RequestHandler", _BareErrors)  # noqa: B010


def hush_the_parser() -> None:
    """From now on a request that is not HTTP is an INFO line with the name of its fault. Is idempotent."""
    logging.getLogger("aiohttp.server").addFilter(_NO_QUOTES)


def is_api(path: str) -> bool:
    """Whether ``path`` is answered by this package; pages and sockets share the application."""
    return path in _ABOUT or path == "/api" or path.startswith(("/api/", "//api/"))


@web.middleware
async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns whatever a handler raises into a coded answer, and counts every request of the API."""
    if not is_api(request.path):
        return await handler(request)
    began = time.perf_counter()
    response = await _answered(request, handler)
    route = route_of(request)
    method = request.method if request.method in _METHODS else "other"
    instruments.HTTP_REQUESTS.labels(method, route, str(response.status)).inc()
    instruments.HTTP_SECONDS.labels(route).observe(time.perf_counter() - began)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
        if not response.prepared:
            response.headers.update(HEADERS)
        return response
    except ClientGone as gone:
        return refusal(gone, CLIENT_CLOSED_REQUEST)
    except Refused as refused:
        return refusal(refused)
    except web.HTTPMethodNotAllowed as wrong:
        unknown = Refused(Code.UNKNOWN_EVENT, f"{shown(request.method)} is not a method of this resource")
        return refusal(unknown, wrong.status, {"Allow": ", ".join(sorted(wrong.allowed_methods))})
    except web.HTTPNotFound:
        return refusal(Refused(Code.NOT_FOUND, "no such resource"))
    except web.HTTPException as error:
        code = Code.TOO_LARGE if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else Code.MALFORMED
        return refusal(Refused(code, error.reason.lower()), error.status)
    except Exception as error:
        if is_statement_failure(error):
            log.error("postgres failed a request of %s: %s", route_of(request), type(error).__name__)
            return refusal(
                Refused(Code.UNAVAILABLE, "the storage failed a request, try again", retry_after_s=2)
            )
        return refusal(internal(error, request))


def internal(error: BaseException, request: web.Request) -> Refused:
    """Logs ``error`` under a fresh id and gives what the client may know of it.

    The log has the places, not the error's own text: that may quote a coordinate or a secret.
    """
    incident = secrets.token_hex(4)
    frames = traceback.format_list(traceback.extract_tb(error.__traceback__))
    log.error(
        "internal error %s in %s: %s\n%s", incident, route_of(request), type(error).__name__, "".join(frames)
    )
    return Refused(Code.INTERNAL, f"internal error {incident}", retry_after_s=1, incident=incident)


def refusal(
    refused: Refused, status: int | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """``refused`` as an HTTP answer; ``status`` when it is not the code's own."""
    response = web.Response(
        body=msgspec.json.encode(refused.as_answer()),
        status=status or STATUS[refused.code],
        content_type="application/json",
        headers={**HEADERS, **(headers or {})},
    )
    if refused.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, ceil(refused.retry_after_s)))
    if response.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="wayguard"'
    return response
