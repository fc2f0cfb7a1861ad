"""Who may come in now: tokens, sessions and share links checked against what was revoked.

Revoked tokens are polled from Postgres every 3 s (`realtime.store.people.revocations.RevokedTokens`), so that
a revocation reaches every socket in at most 5 s with Redis down too. While Postgres cannot be asked, open
sockets stay and nobody new is let in.
"""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final
from uuid import UUID

from alerts.replies.tokens import cut
from realtime.admission.guests import GuestLinks, GuestSessions
from realtime.auth.tokens import Authenticator, Principal, ShareGrant
from realtime.protocol import Code, Refused
from realtime.sessions.book import SessionStore
from realtime.store.db.database import Database
from realtime.store.people import revocations

log = logging.getLogger(__name__)

POLL_S: Final = 3.0
"""Between two polls of what was revoked: an open socket ends at most 5 s after its token was revoked."""
FRESH_S: Final = 6.0
SOS_ASK_S: Final = 0.5
"""How long an SOS waits to hear whether its token was revoked."""
MAX_SHARE_CHARS: Final = 256
VERIFYING_THREADS: Final = 4
"""For tokens whose key set is a URL; as many again for an SOS. The threads that everything else shares (names
of hosts, hashes of PINs) are not held up by tokens of callers that are not known.
"""


class Admission:
    """Turns credentials into principals. ``start`` begins to poll what was revoked."""

    def __init__(
        self,
        db: Database,
        authenticator: Authenticator,
        sos_expired_days: int = 30,
        sessions: SessionStore | None = None,
        poll_s: float = POLL_S,
        links: GuestLinks | None = None,
    ) -> None:
        self._db = db
        self._authenticator = authenticator
        self._sessions = sessions
        self._links = links
        self._guest_sessions = GuestSessions()
        self._poll_s = poll_s
        self._sos_expired_s = sos_expired_days * 86_400.0
        self._revoked: Final = revocations.RevokedTokens()
        self._polled_s = float("-inf")
        self._task: asyncio.Task[None] | None = None
        # Started at the first use. While a key set at a URL is unavailable, each token waits 5 s in one.
        self._threads = ThreadPoolExecutor(VERIFYING_THREADS, thread_name_prefix="verify")
        self._sos_threads = ThreadPoolExecutor(VERIFYING_THREADS, thread_name_prefix="verify-sos")

    def start(self) -> None:
        """Begin to poll."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Stop polling and verifying."""
        for threads in (self._threads, self._sos_threads):
            threads.shutdown(wait=False, cancel_futures=True)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def authenticate(self, token: object) -> Principal:
        """The principal of a token. Raises Refused: unauthenticated, token_expired, revoked, unavailable."""
        verify = functools.partial(self._authenticator.verify, token)
        return await self._not_revoked(await self._verified(verify, self._threads))

    async def verify(self, token: object) -> Principal:
        """The principal that ``token`` names, when its signature is right; one that raises an SOS although it
        has expired counts. Whether it was revoked is not asked.

        Raises Refused: unauthenticated, token_expired, unavailable.
        """
        verify = functools.partial(self._authenticator.verify, token, expired_s=self._sos_expired_s)
        return await self._verified(verify, self._threads)

    async def authenticate_session(self, value: str | None, *, new: bool) -> Principal:
        """The principal of a session's cookie. ``new``: for a socket, which nobody new is let in by while
        Redis is away; a request of a session that was seen lately goes on.

        Raises Refused: unauthenticated, token_expired, revoked, unavailable.
        """
        if value is None or self._sessions is None:
            raise Refused(Code.UNAUTHENTICATED, "no session cookie")
        sessions = self._sessions
        session = await self._guest_sessions.open(
            value, sessions.remembers(value), lambda: sessions.open(value, new=new)
        )
        return await self._not_revoked(session.principal)

    async def ended_among(self, session_ids: Collection[str]) -> set[str]:
        """Those of ``session_ids`` that were signed out or revoked. Raises Refused(unavailable)."""
        if not session_ids or self._sessions is None:
            return set()
        return await self._sessions.ended_among(session_ids)

    async def _verified(self, verify: Callable[[], Principal], threads: ThreadPoolExecutor) -> Principal:
        if self._authenticator.needs_thread:
            return await asyncio.get_running_loop().run_in_executor(threads, verify)
        return verify()

    async def _not_revoked(self, principal: Principal) -> Principal:
        revoked = self.is_revoked(principal)
        if not revoked and time.monotonic() - self._polled_s > FRESH_S:
            # Asked for a token without a jti too: while the store is away nobody new is let in.
            revoked = await revocations.is_revoked(self._db, principal.tenant, principal.jti or "")
        if revoked:
            raise Refused(Code.REVOKED, "token was revoked")
        return principal

    async def authenticate_sos(self, token: object) -> Principal:
        """The driver of a token that may have expired lately, for an SOS and nothing else. Where it cannot be
        asked whether the token was revoked since the last poll, it counts as not revoked.

        Raises Refused: unauthenticated, token_expired, revoked, forbidden.
        """
        verify = functools.partial(self._authenticator.verify, token, expired_s=self._sos_expired_s)
        principal = await self._verified(verify, self._sos_threads)
        if principal.role != "driver":
            raise Refused(Code.FORBIDDEN, "only a driver raises an sos")
        revoked = self.is_revoked(principal)
        if not revoked and principal.jti and time.monotonic() - self._polled_s > FRESH_S:
            with contextlib.suppress(
                Exception
            ):  # whatever Postgres answers, a valid signature lets an SOS in
                async with asyncio.timeout(SOS_ASK_S):
                    revoked = await revocations.is_revoked(self._db, principal.tenant, principal.jti)
        if revoked:
            raise Refused(Code.REVOKED, "token was revoked")
        return principal

    async def open_share(self, credentials: object, address: str) -> Principal:
        """The principal of ``"{id}.{secret}"``, shown by ``address``.

        Raises Refused: not_found, rate_limited, overloaded, unavailable.
        """
        if not isinstance(credentials, str) or len(credentials) > MAX_SHARE_CHARS:
            raise _no_share()
        share_id, _, secret = credentials.partition(".")
        secret = cut(secret)
        share = None if self._links is None else await self._links.open(share_id, secret, address)
        if share is None:
            raise _no_share()
        grant = ShareGrant(
            share_id=share.share_id,
            journey_id=_text(share.journey_id),
            scope=share.scope,
            alert_id=_text(share.alert_id),
            contact_id=f"share:{share.share_id}" if share.holder else None,
            name=share.holder,
            driver=share.driver,
            answers_from_ms=share.answers_from_ms,
            vendor=share.vendor or None,
        )
        return Principal(
            sub=f"share:{share.share_id}",
            role="share",
            tenant=share.tenant,
            vendors=frozenset(),
            driver=None,
            jti=None,
            expires_ms=share.expires_ms,
            share=grant,
        )

    def is_revoked(self, principal: Principal) -> bool:
        """Whether the token of a principal that is already in has been revoked since, as far as polled."""
        return principal.jti is not None and (principal.tenant, principal.jti) in self._revoked

    async def _run(self) -> None:
        while True:
            try:
                await self._revoked.poll(self._db)
                self._polled_s = time.monotonic()
            except Refused:
                log.debug("revoked tokens cannot be polled")
            except Exception:
                log.exception("polling revoked tokens failed")
            await asyncio.sleep(self._poll_s)


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _no_share() -> Refused:
    return Refused(Code.NOT_FOUND, "link is not valid")
