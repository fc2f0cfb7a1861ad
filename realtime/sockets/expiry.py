"""Who may stay: credentials are looked at with every message, and now and then when nothing is said."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from realtime.admission.authenticate import Admission
from realtime.protocol import Code, Refused
from realtime.sockets.connection import Connection, Connections
from realtime.sockets.link_expiry import LinkExpiry
from realtime.sockets.timings import SocketTimings

log = logging.getLogger(__name__)


class ExpiryWatcher:
    """Ends connections whose credentials have. ``start``, then ``stop``."""

    def __init__(
        self, connections: Connections, admission: Admission, links: LinkExpiry, timings: SocketTimings
    ) -> None:
        self._connections = connections
        self._admission = admission
        self._links = links
        self._timings = timings
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look."""
        timings = self._timings
        self._tasks = [
            asyncio.ensure_future(_every(timings.expiry_check_s, self._end_expired)),
            asyncio.ensure_future(_every(timings.shares_check_s, self._look_at_links)),
            asyncio.ensure_future(_every(timings.sessions_check_s, self._end_ended_sessions)),
        ]

    async def stop(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def over(self, connection: Connection) -> Refused | None:
        """Why ``connection`` may not stay, if it may not."""
        if connection.only_sos is not None:
            if self._admission.is_revoked(connection.principal):
                return Refused(Code.REVOKED, "token was revoked")
            over = asyncio.get_running_loop().time() > connection.until_s
            return connection.only_sos if over else None
        if self._links.is_over(connection):
            return Refused(Code.TOKEN_EXPIRED, "credentials have expired")
        if self._admission.is_revoked(connection.principal):
            return Refused(Code.REVOKED, "token was revoked")
        return None

    async def _end_expired(self) -> None:
        for connection in self._connections:
            if (refusal := self.over(connection)) is not None:
                connection.end(refusal)

    async def _look_at_links(self) -> None:
        await self._links.look(self._connections)

    async def _end_ended_sessions(self) -> None:
        open_: dict[str, list[Connection]] = {}
        for connection in self._connections:
            if connection.principal.session is not None:
                open_.setdefault(connection.principal.session, []).append(connection)
        try:
            ended = await self._admission.ended_among(open_)
        except Refused:
            return  # open ones stay while Redis cannot be asked
        for session_id in ended:
            for connection in open_[session_id]:  # one that expired just now is deleted by Redis too
                connection.end(self.over(connection) or Refused(Code.REVOKED, "session has ended"))


async def _every(pause_s: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(pause_s)
        try:
            await action()
        except Exception:
            log.exception("socket upkeep failed")
