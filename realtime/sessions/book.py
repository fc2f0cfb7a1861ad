"""Sessions of browsers, held in Redis: a token is exchanged for one, and its secret is in a cookie alone.

A cookie holds ``{id}.{secret}``; Redis the secret's hash and what a Principal needs. Revoking the token's
``jti`` is looked after elsewhere, as for every principal.

With Redis away nobody new is let in and nobody signs out. Requests of a session that this process saw in
Redis in the last five minutes go on meanwhile: the desk that answers an SOS must not close because a cache
restarts.
"""

import contextlib
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from realtime.auth.tokens import Principal, Role
from realtime.link_tokens import new_token
from realtime.protocol import Code, Refused
from realtime.redis.client import Client
from realtime.sessions.calls import bounded
from realtime.sessions.keys import digest, session_key, subject_index, tenant_index

PER_SUBJECT: Final = 20
"""Sessions of one subject; one more ends the oldest."""
GRACE_S: Final = 300.0
"""How long a session that was seen in Redis is good for requests while Redis cannot be asked."""
REMEMBERED: Final = 10_000
"""Sessions of which a process knows when it saw them."""
TOUCH_MS: Final = 60_000
"""A session's last use is noted this often at most."""
AWAY_S: Final = 1.0
"""After Redis did not answer, those who have a grace do not wait for it for so long."""
CHUNK: Final = 500

_VALUE: Final = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)
_ADDRESS_MAX: Final = 64
_USER_AGENT_MAX: Final = 200


class Session(Struct, frozen=True, rename={"secret": "sha256"}):
    """One session as Redis has it. ``secret`` is a hash."""

    session_id: str
    secret: str
    sub: str
    role: Role
    tenant: str
    vendors: frozenset[str] | None
    jti: str | None
    expires_ms: int
    created_ms: int
    seen_ms: int
    address: str
    user_agent: str

    @property
    def principal(self) -> Principal:
        """Whom it lets in."""
        return Principal(
            sub=self.sub,
            role=self.role,
            tenant=self.tenant,
            vendors=self.vendors,
            driver=None,
            jti=self.jti,
            expires_ms=self.expires_ms,
            session=self.session_id,
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    session: Session
    at_s: float


class SessionStore:
    """Begins, knows, lists and ends sessions. Everything raises Refused(unavailable) with Redis away.

    ``max_remembered``: sessions of which this process knows when it read them from Redis; beyond it the one
    read longest ago is dropped, and has no grace.
    """

    def __init__(
        self,
        client: Client,
        timeout_s: float,
        *,
        max_s: float,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
        max_remembered: int = REMEMBERED,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._max_ms = round(max_s * 1000)
        self._now_ms = now_ms
        self._monotonic_s = monotonic_s
        self._max_remembered = max_remembered
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._away_until_s = float("-inf")

    # --- coming and going

    async def begin(self, principal: Principal, address: str, user_agent: str) -> tuple[Session, str]:
        """A new session of ``principal`` and what its cookie holds. It ends no later than the token."""
        secret, now_ms = new_token(32), self._now_ms()
        session = Session(
            session_id=new_token(16),
            secret=digest(secret),
            sub=principal.sub,
            role=principal.role,
            tenant=principal.tenant,
            vendors=principal.vendors,
            jti=principal.jti,
            expires_ms=min(principal.expires_ms, now_ms + self._max_ms),
            created_ms=now_ms,
            seen_ms=now_ms,
            address=_printable(address, _ADDRESS_MAX),
            user_agent=_printable(user_agent, _USER_AGENT_MAX),
        )
        await self._keep(session)
        await self._end_oldest(session)
        return session, f"{session.session_id}.{secret}"

    async def open(self, value: str, *, new: bool) -> Session:
        """The session of a cookie. ``new``: for somebody who stays, who has no grace while Redis is away.

        Raises Refused: unauthenticated, token_expired, unavailable.
        """
        parts = _VALUE.fullmatch(value)
        if parts is None:
            raise _none()
        session_id, secret = parts.groups()
        session = await self._known(session_id, new=new)
        if session is None or not hmac.compare_digest(session.secret, digest(secret)):
            raise _none()
        if self._now_ms() >= session.expires_ms:
            raise Refused(Code.TOKEN_EXPIRED, "session has expired")
        return session

    def remembers(self, value: str) -> bool:
        """Whether this process saw the session of this cookie in Redis in the last five minutes. No I/O."""
        parts = _VALUE.fullmatch(value)
        session = None if parts is None else self._graced(parts[1])
        return (
            session is not None
            and parts is not None
            and hmac.compare_digest(session.secret, digest(parts[2]))
        )

    async def get(self, session_id: str) -> Session | None:
        """One session by its public id."""
        return (await self._read([session_id]))[0]

    async def end(self, session: Session) -> None:
        """It lets nobody in any more; its sockets end within 5 s. Is idempotent."""
        self._seen.pop(session.session_id, None)

        async def run() -> None:
            await self._client.delete(session_key(session.session_id))
            pipe = self._client.pipeline(transaction=False)
            for index in _indexes(session):
                pipe.zrem(index, session.session_id)
            await pipe.execute()

        await bounded(run, self._timeout_s)

    async def ended_among(self, session_ids: Collection[str]) -> set[str]:
        """Those of ``session_ids``, which are in use, that are there no more."""
        ids = list(session_ids)
        found = await self._read(ids)
        for session in found:
            if session is not None:
                self._remember(session)
                await self._touch(session)
        return {session_id for session_id, session in zip(ids, found, strict=True) if session is None}

    # --- lists

    async def of_subject(
        self, tenant: str, sub: str, after: str | None, limit: int
    ) -> tuple[list[Session], str | None]:
        """A page of ``sub``'s sessions, the newest first, and the id to go on after."""
        return await self._page(subject_index(tenant, sub), after, limit)

    async def of_tenant(self, tenant: str, after: str | None, limit: int) -> tuple[list[Session], str | None]:
        """A page of all sessions of ``tenant``, that which ends last first, and the id to go on after."""
        return await self._page(tenant_index(tenant), after, limit)

    async def _page(self, index: str, after: str | None, limit: int) -> tuple[list[Session], str | None]:
        """Raises Refused(invalid) when ``after`` has ended meanwhile."""
        first = 0
        if after is not None:
            rank = await bounded(lambda: self._client.zrevrank(index, after), self._timeout_s)
            if rank is None:
                raise Refused(Code.INVALID, "cursor is not valid")
            first = rank + 1
        named = await bounded(lambda: self._client.zrevrange(index, first, first + limit), self._timeout_s)
        ids = [name.decode() for name in named]
        found = await self._read(ids[:limit])
        return [one for one in found if one is not None], ids[limit - 1] if len(ids) > limit else None

    # --- Redis

    async def _keep(self, session: Session) -> None:
        """The record first: an index may name what is gone, and is never without what is there."""
        key, encoded = session_key(session.session_id), msgspec.json.encode(session)
        scores = (session.expires_ms, session.created_ms)

        async def run() -> None:
            pipe = self._client.pipeline(transaction=False)
            pipe.set(key, encoded, pxat=session.expires_ms)
            for index, score in zip(_indexes(session), scores, strict=True):
                pipe.zadd(index, {session.session_id: score})
                pipe.pexpireat(index, session.expires_ms, nx=True)
                pipe.pexpireat(index, session.expires_ms, gt=True)
            pipe.zremrangebyscore(tenant_index(session.tenant), 0, self._now_ms())
            await pipe.execute()

        await bounded(run, self._timeout_s)

    async def _end_oldest(self, newest: Session) -> None:
        """Sessions beyond the bound end; what has ended by itself leaves the index."""
        index = subject_index(newest.tenant, newest.sub)
        named = await bounded(lambda: self._client.zrange(index, 0, -1), self._timeout_s)
        ids = [name.decode() for name in named]
        if len(ids) <= PER_SUBJECT:
            return
        found = await self._read(ids)
        gone = [one for one, session in zip(ids, found, strict=True) if session is None]
        if gone:
            await bounded(lambda: self._client.zrem(index, *gone), self._timeout_s)
        there = [session for session in found if session is not None]
        for session in there[:-PER_SUBJECT]:
            await self.end(session)

    async def _read(self, session_ids: Sequence[str]) -> list[Session | None]:
        found: list[Session | None] = []
        for at in range(0, len(session_ids), CHUNK):
            part = session_ids[at : at + CHUNK]

            async def run(part: Sequence[str] = part) -> Any:
                pipe = self._client.pipeline(transaction=False)
                for session_id in part:
                    pipe.get(session_key(session_id))
                return await pipe.execute()

            found += [_session(raw) for raw in await bounded(run, self._timeout_s)]
        return found

    async def _known(self, session_id: str, *, new: bool) -> Session | None:
        """As Redis has it; with Redis away as this process saw it, when that is not too long ago."""
        graced = None if new else self._graced(session_id)
        if graced is not None and self._monotonic_s() < self._away_until_s:
            return graced
        try:
            session = await self.get(session_id)
        except Refused:
            self._away_until_s = self._monotonic_s() + AWAY_S
            if graced is None:
                raise
            return graced
        self._away_until_s = float("-inf")
        if session is None:
            self._seen.pop(session_id, None)
            return None
        self._remember(session)
        await self._touch(session)
        return session

    def _graced(self, session_id: str) -> Session | None:
        seen = self._seen.get(session_id)
        fresh = seen is not None and self._monotonic_s() - seen.at_s < GRACE_S
        return seen.session if seen is not None and fresh else None

    def _remember(self, session: Session) -> None:
        self._seen[session.session_id] = _Seen(session, self._monotonic_s())
        self._seen.move_to_end(session.session_id)
        if len(self._seen) > self._max_remembered:
            self._seen.popitem(last=False)

    async def _touch(self, session: Session) -> None:
        """Note that it is used. One that ended meanwhile stays ended (``xx``)."""
        now_ms = self._now_ms()
        if now_ms - session.seen_ms < TOUCH_MS:
            return
        key = session_key(session.session_id)
        seen = msgspec.json.encode(msgspec.structs.replace(session, seen_ms=now_ms))
        with contextlib.suppress(Refused):  # a note, and no more
            await bounded(lambda: self._client.set(key, seen, xx=True, keepttl=True), self._timeout_s)


def _indexes(session: Session) -> tuple[str, str]:
    return tenant_index(session.tenant), subject_index(session.tenant, session.sub)


def _session(raw: bytes | None) -> Session | None:
    """A record that cannot be read lets nobody in."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Session)
    except msgspec.MsgspecError:
        return None


def _none() -> Refused:
    return Refused(Code.UNAUTHENTICATED, "no such session")


def _printable(text: str, limit: int) -> str:
    return "".join(one if one.isprintable() else "?" for one in text[:limit])
