"""The door of both namespaces: by what somebody comes in, and by less for an SOS alone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from realtime.admission.authenticate import Admission
from realtime.auth.tokens import Principal
from realtime.http.proxy import is_own_origin
from realtime.live.limiter import RedisLimiter
from realtime.protocol import Code, Refused
from realtime.sessions.cookie import SessionCookie
from realtime.settings import Settings
from realtime.sockets import driver, watch

log = logging.getLogger(__name__)

MAX_AUTH_KEYS: Final = 8
_BY_LESS: Final = frozenset(
    {
        Code.TOKEN_EXPIRED,
        Code.TOKEN_NOT_YET_VALID,
        Code.UNAVAILABLE,
        Code.RATE_LIMITED,
        Code.UNAUTHENTICATED,
    }
)
"""What keeps a driver out, and not its SOS."""
SOS_ONLY_S: Final = {Code.TOKEN_EXPIRED: 1_800.0}
"""How long a driver that was let in for an SOS alone may stay; else `SOS_ONLY_SHORT_S`."""
SOS_ONLY_SHORT_S: Final = 30.0

Admit = Callable[[Principal], Awaitable[int]]
"""What a namespace itself says of somebody: a driver's epoch, 0 for a viewer. Raises Refused."""


class Entry(NamedTuple):
    """Who was let in, a driver's epoch, and why it is for an SOS alone, if it is; ``until_s`` (of the loop's
    clock) ends that.
    """

    principal: Principal
    epoch: int = 0
    only_sos: Refused | None = None
    until_s: float = 0.0


class Authentication:
    """Lets in. ``open_answer`` knows who holds the answer link of an alert; set by the wiring."""

    def __init__(self, settings: Settings, admission: Admission, limiter: RedisLimiter) -> None:
        self._settings = settings
        self._admission = admission
        self._limiter = limiter
        self._cookie = SessionCookie.at(settings.public_url)
        self.open_answer: Callable[[object], Awaitable[Principal]] | None = None

    async def let_in(self, namespace: str, environ: dict[str, Any], auth: Any, admit: Admit) -> Entry:
        """Let a client in. A driver whose connect payload has ``sos`` gets SOS-only access where it would be
        refused for another reason than its credentials, or where a statement of Postgres fails.

        Raises Refused; what else the store raised for all others.
        """
        wants_sos = namespace == driver.NAMESPACE and isinstance(auth, dict) and auth.get("sos") is True
        try:
            principal = await self._principal(namespace, environ, auth)
            await self._limiter.check(principal, "connect")
            return Entry(principal, await admit(principal))
        except Refused as refusal:
            if not wants_sos or refusal.code not in _BY_LESS:
                raise
            reason = refusal
        except Exception as error:
            if not wants_sos:
                raise
            log.error("a driver is let in for an sos alone: %s", type(error).__name__)
            reason = Refused(Code.UNAVAILABLE, "storage failed", retry_after_s=1)
        principal = await self._admission.authenticate_sos(auth.get("token"))
        stay_s = SOS_ONLY_S.get(reason.code, SOS_ONLY_SHORT_S)
        return Entry(principal, 0, reason, asyncio.get_running_loop().time() + stay_s)

    async def _principal(self, namespace: str, environ: dict[str, Any], auth: Any) -> Principal:
        if not isinstance(auth, dict) or len(auth) > MAX_AUTH_KEYS:
            raise Refused(Code.UNAUTHENTICATED, "no credentials in the connect payload")
        if namespace == watch.NAMESPACE and "share" in auth:
            return await self._admission.open_share(auth["share"], str(environ.get("REMOTE_ADDR", "")))
        if namespace == watch.NAMESPACE and "answer" in auth and self.open_answer is not None:
            return await self.open_answer(auth["answer"])
        if namespace == watch.NAMESPACE and auth.get("session") is True and "token" not in auth:
            return await self._open_session(environ)
        return await self._admission.authenticate(auth.get("token"))

    async def _open_session(self, environ: dict[str, Any]) -> Principal:
        """Who holds the cookie of the handshake, which browsers send along with whoever's page asks them."""
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and not is_own_origin(self._settings, origin, environ):
            raise Refused(Code.ORIGIN_REFUSED, "a session is for our own pages")
        value = self._cookie.given([environ.get("HTTP_COOKIE", "")])
        return await self._admission.authenticate_session(value, new=True)
