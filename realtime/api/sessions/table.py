"""The part of the table about sessions of browsers and the pairing of phones."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from realtime.api.framework import shapes
from realtime.api.framework.operation import AnyOperation, Operation
from realtime.api.sessions import pairing, sessions
from realtime.api.sessions import shapes as own
from realtime.protocol import Code

_SESSION: Final = "/api/v1/session"
_SESSIONS: Final = "/api/v1/sessions"

SESSIONS: Final[Sequence[AnyOperation]] = (
    Operation(
        id="open_session",
        method="POST",
        path=_SESSION,
        summary="Exchange a token for a session: a cookie that no script can read.",
        handler=sessions.open_session,
        unread_body=own.SessionBody,
        answer=own.WhoAmI,
        status=HTTPStatus.CREATED,
        token_only=True,
    ),
    Operation(
        id="get_session",
        method="GET",
        path=_SESSION,
        summary="Who is asking.",
        handler=sessions.get_session,
    ),
    Operation(
        id="end_session",
        method="DELETE",
        path=_SESSION,
        summary="Sign out.",
        handler=sessions.end_session,
        answer=shapes.Done,
    ),
    Operation(
        id="list_sessions",
        method="GET",
        path=_SESSIONS,
        summary="Where the caller is signed in; for an admin or service, where those of its vendors are.",
        handler=sessions.list_sessions,
    ),
    Operation(
        id="revoke_session",
        method="DELETE",
        path=_SESSIONS + "/{session_id}",
        summary="End a session, and the sockets it let in.",
        handler=sessions.revoke_session,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="create_pairing",
        method="POST",
        path="/api/v1/pairings",
        summary="A code, good once and for ten minutes, that makes a phone a driver's.",
        handler=pairing.create_pairing,
        status=HTTPStatus.CREATED,
        errors=(Code.NOT_FOUND, Code.CONFLICT),
    ),
    Operation(
        id="revoke_pairing",
        method="DELETE",
        path="/api/v1/pairings/{jti}",
        summary="Make a pairing's code void, and the token of the phone that redeemed it.",
        handler=pairing.revoke_pairing,
        errors=(Code.NOT_FOUND,),
    ),
    Operation(
        id="redeem_pairing",
        method="POST",
        path="/api/v1/pairings/redeem",
        summary="Exchange a pairing code for a driver's token.",
        handler=pairing.redeem_pairing,
        errors=(Code.NOT_FOUND, Code.CONFLICT, Code.RATE_LIMITED, Code.UNAVAILABLE),
        open_to_all=True,
    ),
)
"""Who comes in by what."""
