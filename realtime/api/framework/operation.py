"""One operation of the HTTP API, and how a request becomes a call of its handler.

Every request goes the same way: no token in the query; who is it, by token or by session; may they use the
API; are they within their rate; are path, query and body what the operation takes; the handler; the answer.
Each step refuses by raising Refused, which `realtime.api.framework.errors` turns into the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Generic, Literal, TypeVar, cast, get_args, get_type_hints

import msgspec
from aiohttp import web

from realtime.api.framework import spellings
from realtime.api.framework.context import ApiContext
from realtime.api.framework.limits import REQUEST_LIMITS
from realtime.api.framework.ports import Health
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.http.bodies import read_body
from realtime.http.proxy import asked_at, is_own_origin
from realtime.protocol import Code, Refused, shown
from realtime.sessions.cookie import SessionCookie
from realtime.settings import Settings

P = TypeVar("P", bound=msgspec.Struct)
Q = TypeVar("Q", bound=msgspec.Struct)
B = TypeVar("B", bound=msgspec.Struct)

TOKEN_PARAMETERS: Final = frozenset(
    {"token", "access_token", "auth_token", "id_token", "authorization", "auth", "bearer", "jwt", "secret"}
)
BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
CONSOLE_HEADER: Final = "X-Wayguard"
CONSOLE: Final = "console"
"""What a page of ours says of itself: a page of others cannot without asking first, and is refused then."""

_ENCODE: Final = msgspec.json.Encoder().encode
_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class OperationCall(Generic[P, Q, B]):
    """What a handler is given: everything checked and typed."""

    request: web.Request
    path: P
    query: Q
    body: B
    raw_body: bytes
    health: Health
    _context: ApiContext | None
    _principal: Principal | None

    @property
    def context(self) -> ApiContext:
        """Services; only operations with a principal have them."""
        assert self._context is not None
        return self._context

    @property
    def principal(self) -> Principal:
        """Who is asking; only operations that are not ``open_to_all`` have one."""
        assert self._principal is not None
        return self._principal


Handler = Callable[[OperationCall[P, Q, B]], Awaitable[msgspec.Struct | web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[P, Q, B]):
    """One row of the table: route, documentation and handler in one."""

    id: str
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    handler: Handler[P, Q, B]
    """Its annotations are the shapes of path, query and body, and of the answer."""
    answer: type[msgspec.Struct] | None = None
    """The JSON answer of a handler that returns a ready response; see ``media`` for others."""
    media: Mapping[str, type[msgspec.Struct] | None] = field(default_factory=dict)
    """Further content types → their shape, None for text."""
    status: int = HTTPStatus.OK
    errors: tuple[Code, ...] = ()
    """What it refuses with, beyond what every operation may."""
    open_to_all: bool = False
    """Whether it needs no token."""
    token_only: bool = False
    """Whether a session does not do in place of a token."""
    unread_body: type[msgspec.Struct] | None = None
    """What the body is when the handler hands it on as it came, to a service that reads it."""
    as_it_comes: bool = False
    """Whether the handler is given the bare request and looks after token, rate, query and body itself."""
    without_postgres: bool = False
    """Whether a token that is rightly signed and not expired does while no revocation can be asked for."""
    streams: bool = False
    """Whether the answer is written page by page under its own timeouts."""
    path_shape: type[P] = field(init=False)
    query_shape: type[Q] = field(init=False)
    body_shape: type[B] = field(init=False)

    def __post_init__(self) -> None:
        hints = get_type_hints(self.handler)
        shapes = get_args(hints["call"])
        for name, shape in zip(("path_shape", "query_shape", "body_shape"), shapes, strict=True):
            object.__setattr__(self, name, shape)
        returned = hints["return"]
        if self.answer is None and isinstance(returned, type) and issubclass(returned, msgspec.Struct):
            object.__setattr__(self, "answer", returned)


AnyOperation = Operation[Any, Any, Any]


async def answer(
    operation: AnyOperation, request: web.Request, health: Health, context: ApiContext | None
) -> web.StreamResponse:
    """Runs ``operation`` for ``request``. Raises Refused."""
    limits = REQUEST_LIMITS if context is None else context.limits
    timeout_s = None if operation.streams else limits.request_timeout_s
    try:
        async with asyncio.timeout(timeout_s):
            call = await _call(operation, request, health, context)
            found = await operation.handler(call)
    except TimeoutError as error:
        raise Refused(Code.UNAVAILABLE, "the request took too long", retry_after_s=1) from error
    if isinstance(found, web.StreamResponse):
        return found
    return web.Response(body=_ENCODE(found), status=operation.status, content_type=_JSON)


async def _call(
    operation: AnyOperation, request: web.Request, health: Health, context: ApiContext | None
) -> OperationCall[Any, Any, Any]:
    if operation.as_it_comes:
        shapes = (operation.path_shape(), operation.query_shape(), operation.body_shape())
        return OperationCall(request, *shapes, b"", health, context, None)
    principal = None
    if not operation.open_to_all:
        assert context is not None
        principal = await _principal(operation, request, context)
    query: Mapping[str, str] = {} if operation.open_to_all else _query(request)
    path = _shaped(dict(request.match_info), operation.path_shape)
    shaped_query = _shaped(query, operation.query_shape)
    raw = b""
    if operation.method in BODY_METHODS:
        assert context is not None
        raw = await read_body(
            request, context.settings.max_frame_bytes, timeout_s=context.limits.body_timeout_s
        )
    body = _decoded(raw, operation) if operation.method in BODY_METHODS else operation.body_shape()
    return OperationCall(request, path, shaped_query, body, raw, health, context, principal)


async def _principal(operation: AnyOperation, request: web.Request, context: ApiContext) -> Principal:
    if not TOKEN_PARAMETERS.isdisjoint(name.strip().lower() for name in request.query):
        raise Refused(Code.UNAUTHENTICATED, "a token does not belong in a query string")
    principal = await _who(operation, request, context)
    if not authorize.may_use_api(principal):
        raise Refused(Code.FORBIDDEN, "a share cannot use the api")
    await context.limiter.check(principal, operation.id)
    return principal


async def _who(operation: AnyOperation, request: web.Request, context: ApiContext) -> Principal:
    """There are two cases: 1. an Authorization header, which counts alone; 2. a session's cookie, which
    browsers send whoever's page asks them, so that what changes something has to prove whose page it was.
    """
    cookies = request.headers.getall("Cookie", [])
    if operation.token_only or "Authorization" in request.headers or not cookies:
        return await _of_token(operation, bearer(request), context)
    value = SessionCookie.at(context.settings.public_url).given(cookies)
    if value is None:
        raise Refused(Code.UNAUTHENTICATED, "no token and no session")
    if operation.method not in SAFE_METHODS:
        _check_page(request, context.settings)
    return await context.authenticator.authenticate_session(value, new=False)


async def _of_token(operation: AnyOperation, token: str, context: ApiContext) -> Principal:
    """The principal of a token. Revocations that this process has polled count in any case."""
    try:
        return await context.authenticator.authenticate(token)
    except Refused as refused:
        if refused.code is not Code.UNAVAILABLE or not operation.without_postgres:
            raise
        principal = await context.authenticator.verify(token)
        if principal.expires_ms <= context.now_ms():
            raise
        return principal


def _check_page(request: web.Request, settings: Settings) -> None:
    """Raises Refused(origin_refused) unless a page of ours asks."""
    if request.headers.getall(CONSOLE_HEADER, []) != [CONSOLE]:
        raise Refused(
            Code.ORIGIN_REFUSED, f"by session this needs the header {CONSOLE_HEADER.lower()}: {CONSOLE}"
        )
    asked = asked_at(request)
    if not all(is_own_origin(settings, origin, asked) for origin in request.headers.getall("Origin", [])):
        raise Refused(Code.ORIGIN_REFUSED, "a session is for our own pages")


def bearer(request: web.Request) -> str:
    """The token of the request. Raises Refused(unauthenticated)."""
    given = [value for value in request.headers.getall("Authorization", []) if value.strip()]
    if len(given) != 1:
        raise Refused(Code.UNAUTHENTICATED, "no token" if not given else "more than one authorization header")
    scheme, *token = given[0].split(maxsplit=1)
    if scheme.lower() != "bearer" or not token:
        raise Refused(Code.UNAUTHENTICATED, "the authorization header holds no bearer token")
    return token[0].strip()


def _query(request: web.Request) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise Refused(Code.INVALID, f"{shown(name)} is given twice")
        values[name] = value
    return values


def _shaped(values: Mapping[str, str], shape: type[msgspec.Struct]) -> msgspec.Struct:
    try:
        return spellings.shaped(values, shape)
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID, fact(error)) from error


def _decoded(raw: bytes, operation: AnyOperation) -> msgspec.Struct:
    if operation.unread_body is not None:
        return cast(msgspec.Struct, operation.body_shape())
    try:
        return cast(msgspec.Struct, spellings.decoded(raw, operation.body_shape))
    except msgspec.ValidationError as error:
        raise Refused(Code.INVALID, fact(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(Code.MALFORMED, "the body is not json") from error


def fact(error: msgspec.ValidationError) -> str:
    """``error`` as one short lower-case fact that names the field and echoes nothing the caller sent."""
    text, _, where = str(error).partition(" - at `")
    name = where.rstrip("`").removeprefix("$").lstrip(".") or "the request"
    if "unknown field" in text:
        return f"{name} has an unknown field"
    if text.startswith("Invalid enum value"):
        return f"{name} is not one of its values"
    if "matching regex" in text:
        return f"{name} is not of the right form"
    return f"{name}: {text[:1].lower()}{text[1:]}"[:160]
