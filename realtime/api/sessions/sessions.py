"""Sessions over HTTP: a token is exchanged for a cookie that no script can read, listed, and ended."""

import math
from http import HTTPStatus
from typing import Any, cast

import msgspec
from aiohttp import web

from realtime.api.framework import cursor
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import Done, NoBody, NoPath, NoQuery
from realtime.api.sessions.shapes import (
    Overseer,
    SessionPath,
    Sessions,
    SessionsQuery,
    SessionView,
    WhoAmI,
)
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.http.proxy import Addresses
from realtime.protocol import Code, Refused
from realtime.sessions.book import Session
from realtime.sessions.cookie import SessionCookie

_CURSOR = "session"


async def open_session(call: OperationCall[NoPath, NoQuery, NoBody]) -> web.StreamResponse:
    """Always a new one with a secret made here; one that the browser had is ended, and never adopted."""
    context, request = call.context, call.request
    if not authorize.may_open_session(call.principal):
        raise Refused(Code.FORBIDDEN, "only who oversees vendors has sessions")
    address = Addresses(context.settings.trusted_proxies).of(request)
    session, value = await context.sessions.begin(
        call.principal, address, request.headers.get("User-Agent", "")
    )
    await _end_replaced(call)
    cookie = _cookie(call)
    seconds = max(1, math.ceil((session.expires_ms - session.created_ms) / 1000))
    return web.Response(
        body=msgspec.json.encode(_who(session.principal, context.now_ms())),
        status=HTTPStatus.CREATED,
        content_type="application/json",
        headers={"Set-Cookie": cookie.setting(value, seconds)},
    )


async def _end_replaced(call: OperationCall[NoPath, NoQuery, NoBody]) -> None:
    """Whoever signs in again does not leave a session behind that nobody holds any more."""
    try:
        old = _cookie(call).given(call.request.headers.getall("Cookie", []))
        if old is not None:
            await call.context.sessions.end(await call.context.sessions.open(old, new=True))
    except Refused:
        return  # it was none


async def get_session(call: OperationCall[NoPath, NoQuery, NoBody]) -> WhoAmI:
    """Who is asking, by session or by token."""
    return _who(call.principal, call.context.now_ms())


async def end_session(call: OperationCall[NoPath, NoQuery, NoBody]) -> web.StreamResponse:
    """Sign out: its sockets close within 5 s. By token there is nothing to end but the cookie."""
    sessions, session_id = call.context.sessions, call.principal.session
    session = None if session_id is None else await sessions.get(session_id)
    if session is not None:
        await sessions.end(session)
    return web.Response(
        body=msgspec.json.encode(Done()),
        content_type="application/json",
        headers={"Set-Cookie": _cookie(call).clearing()},
    )


async def list_sessions(call: OperationCall[NoPath, SessionsQuery, NoBody]) -> Sessions:
    """The caller's own, and to an admin or service those of its vendors. A page may hold fewer than asked
    for: those on it that are not the caller's to see are left out.
    """
    principal, book, query = call.principal, call.context.sessions, call.query
    if not authorize.may_have_sessions(principal):
        raise Refused(Code.FORBIDDEN, "only who oversees vendors has sessions")
    after = None if query.cursor is None else cursor.unpack(_CURSOR, query.cursor)
    if authorize.sees_sessions_of_vendors(principal):
        found, following = await book.of_tenant(principal.tenant, after, query.limit)
    else:
        found, following = await book.of_subject(principal.tenant, principal.sub, after, query.limit)
    return Sessions(
        sessions=[_view(one, principal) for one in found if _is_theirs(principal, one)],
        next_cursor=None if following is None else cursor.pack(_CURSOR, following),
    )


async def revoke_session(call: OperationCall[SessionPath, NoQuery, NoBody]) -> Done:
    """One that is not the caller's to end is answered like one that does not exist."""
    session = await call.context.sessions.get(call.path.session_id)
    if session is None or not _is_theirs(call.principal, session):
        raise Refused(Code.NOT_FOUND, "no such session")
    await call.context.sessions.end(session)
    return Done()


def _is_theirs(principal: Principal, session: Session) -> bool:
    return authorize.may_end_session(principal, session.tenant, session.sub, session.vendors)


def _cookie(call: OperationCall[Any, Any, Any]) -> SessionCookie:
    return SessionCookie.at(call.context.settings.public_url)


def _who(principal: Principal, now_ms: int) -> WhoAmI:
    assert principal.role != authorize.SHARE, "shares do not come as far as this"
    return WhoAmI(
        session_id=principal.session,
        name=principal.sub,
        role=principal.role,
        tenant=principal.tenant,
        vendors="*" if principal.vendors is None else sorted(principal.vendors),
        expires_at=principal.expires_ms,
        now_ms=now_ms,
    )


def _view(session: Session, asking: Principal) -> SessionView:
    return SessionView(
        session_id=session.session_id,
        name=session.sub,
        role=cast(Overseer, session.role),
        created_at=session.created_ms,
        seen_at=session.seen_ms,
        expires_at=session.expires_ms,
        address=session.address,
        user_agent=session.user_agent,
        current=session.session_id == asking.session,
    )
