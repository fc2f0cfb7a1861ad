"""One client in one namespace, and all of them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from realtime.auth.tokens import Principal
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.protocol import Code, Refused
from realtime.rate_limits import TokenBucket

NAMESPACES: Final = ("/driver", "/watch")
MAX_PENDING: Final = 32
"""Requests of one client that wait for an engine at the same time."""


@dataclass(slots=True, eq=False)
class Connection:
    """A client that was let in. ``transport`` is the one it came by; ``epoch`` a driver's, 0 for a viewer.

    ``only_sos``: why it was let in by less, for an SOS alone; ``until_s`` (of the loop's clock) ends that.
    """

    socket: EngineSocket
    namespace: str
    principal: Principal
    bucket: TokenBucket
    transport: str
    epoch: int = 0
    only_sos: Refused | None = None
    until_s: float = 0.0
    pending: int = 0
    closing: bool = False
    left: bool = False

    def emit(self, name: str, *args: Any) -> None:
        """Send an event to this client alone."""
        encoded = [frames.json_bytes(arg) for arg in args]
        self.socket.write(frames.event(self.namespace, name, *encoded))

    def end(self, refusal: Refused) -> None:
        """Say why, then close. What may succeed later ends the transport, so that the official client
        reconnects by itself; what may not ends the namespace, so that it does not.
        """
        if self.closing or self.socket.closed:
            return
        self.closing = True
        self.emit("closing", refusal.as_answer()["error"])
        if not refusal.retryable:
            self.socket.write(frames.disconnect(self.namespace))
        server = self.socket.server
        server.background(self.socket.close(wait=False, reason=server.reason.SERVER_DISCONNECT))

    def begin(self) -> None:
        """Count a request that waits for an engine. Raises Refused(overloaded) beyond the bound."""
        if self.pending >= MAX_PENDING:
            raise Refused(Code.OVERLOADED, f"more than {MAX_PENDING} requests at once", retry_after_s=1)
        self.pending += 1


@dataclass(slots=True)
class Connections:
    """Every connection of this instance, by (engine sid, namespace)."""

    _all: dict[tuple[str, str], Connection] = field(default_factory=dict)
    _none: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, connection: Connection) -> None:
        """Remember a client that was let in."""
        self._all[connection.socket.sid, connection.namespace] = connection
        self._none.clear()

    def get(self, eio_sid: str, namespace: str) -> Connection | None:
        """The client, if it was let in."""
        return self._all.get((eio_sid, namespace))

    def any_of(self, eio_sid: str) -> bool:
        """Whether the session is in a namespace."""
        return any((eio_sid, namespace) in self._all for namespace in NAMESPACES)

    def remove(self, eio_sid: str, namespace: str) -> Connection | None:
        """Forget a client that has gone."""
        connection = self._all.pop((eio_sid, namespace), None)
        if connection is not None:
            connection.left = True
        if not self._all:
            self._none.set()
        return connection

    async def emptied(self) -> None:
        """Wait until nobody is left."""
        if self._all:
            await self._none.wait()

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._all.values()))

    def __len__(self) -> int:
        return len(self._all)
