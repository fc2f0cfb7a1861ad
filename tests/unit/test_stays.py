"""Which connections of ended sessions are closed, and the reason that each is given."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused
from realtime.sockets.connection import Connection, Connections
from realtime.sockets.expiry import ExpiryWatcher
from realtime.sockets.link_expiry import LinkExpiry
from realtime.sockets.timings import SOCKET_TIMINGS

NOW_MS = 1_000_000


class Recorded(Connection):
    """A connection that records why it was ended."""

    reason: Refused | None = None

    def end(self, refusal: Refused) -> None:
        self.reason = refusal


class FakeAdmission:
    """``ended``: sessions that Redis does not have; ``revoked``: token ids; either may be unavailable."""

    def __init__(self, ended: Collection[str] = (), revoked: Collection[str] = ()) -> None:
        self.ended = set(ended)
        self.revoked = set(revoked)
        self.is_redis_up = True

    def is_revoked(self, principal: Principal) -> bool:
        return principal.jti in self.revoked

    async def ended_among(self, session_ids: Collection[str]) -> set[str]:
        if not self.is_redis_up:
            raise Refused(Code.UNAVAILABLE, "redis is unavailable, try again")
        return self.ended & set(session_ids)


def connected(
    connections: Connections, session: str | None, *, expires_ms: int = NOW_MS + 1, jti: str | None = None
) -> Recorded:
    principal = Principal("s", "dispatcher", "t1", None, None, jti, expires_ms, session=session)
    sid = f"e{len(connections)}"
    connection = Recorded(
        cast(Any, SimpleNamespace(sid=sid)), "/watch", principal, cast(Any, None), "websocket"
    )
    connections.add(connection)
    return connection


async def check_sessions(connections: Connections, admission: FakeAdmission) -> None:
    links = LinkExpiry(cast(Any, None), lambda: NOW_MS)
    await ExpiryWatcher(connections, cast(Any, admission), links, SOCKET_TIMINGS)._end_ended_sessions()


def code(connection: Recorded) -> Code | None:
    return None if connection.reason is None else connection.reason.code


async def test_a_session_that_redis_dropped_when_it_expired_ends_as_expired() -> None:
    connections = Connections()
    expired = connected(connections, "s1", expires_ms=NOW_MS - 1)
    await check_sessions(connections, FakeAdmission(ended=["s1"]))
    assert code(expired) is Code.TOKEN_EXPIRED


async def test_a_session_that_was_signed_out_ends_as_revoked_on_all_its_connections() -> None:
    connections = Connections()
    signed_out = [connected(connections, "s1") for _ in range(2)]
    other, bearer = connected(connections, "s2"), connected(connections, None)
    await check_sessions(connections, FakeAdmission(ended=["s1"]))
    assert [code(one) for one in signed_out] == [Code.REVOKED, Code.REVOKED]
    assert all(one.reason is not None and "session has ended" in str(one.reason) for one in signed_out)
    assert [code(other), code(bearer)] == [None, None]


async def test_an_ended_session_of_a_revoked_token_ends_as_revoked_by_the_token() -> None:
    connections = Connections()
    revoked = connected(connections, "s1", jti="j1")
    await check_sessions(connections, FakeAdmission(ended=["s1"], revoked=["j1"]))
    assert code(revoked) is Code.REVOKED
    assert "token was revoked" in str(revoked.reason)


async def test_connections_stay_while_redis_cannot_be_asked() -> None:
    connections = Connections()
    open_one = connected(connections, "s1")
    admission = FakeAdmission(ended=["s1"])
    admission.is_redis_up = False
    await check_sessions(connections, admission)
    assert code(open_one) is None
