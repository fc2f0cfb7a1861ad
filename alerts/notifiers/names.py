"""Look-ups of host names that contacts' webhooks give, each on a thread of its own.

A look-up is a blocking call that cannot be cancelled: when a name server does not answer, its thread is busy
for as long as the system's resolver waits, up to half a minute. On the threads of the event loop a few such
names would delay every other look-up of the process (the SMS provider's, the mail server's), and the checks
of tokens and PINs. The threads are daemons: the process exits without waiting for them.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

LOOK_UPS: Final = 64
"""Names that are looked up at once. One more waits for a thread, within the timeout of its caller."""

GetAddresses = Callable[..., list[tuple[Any, ...]]]
"""As `socket.getaddrinfo`."""
_Key = tuple[str, int, int]
"""Host, port and address family."""


class Names(AbstractResolver):
    """Resolves names for one HTTP client. Calls for one name at the same time share one look-up.

    ``most``: look-ups at once. Those that wait for a thread are as many as their callers: one whose callers
    have all given up is dropped.
    """

    def __init__(self, most: int = LOOK_UPS, get_addresses: GetAddresses = socket.getaddrinfo) -> None:
        self._most: Final = most
        self._get_addresses: Final = get_addresses
        self._look_ups: Final[dict[_Key, _LookUp]] = {}
        """In the order in which they were asked for."""
        self._running = 0
        self._is_closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of ``host``. Raises OSError. A caller that is cancelled ends no look-up."""
        if self._is_closed:
            raise OSError("the resolver is closed")
        key = (host, port, int(family))
        look_up = self._look_ups.get(key)
        if look_up is None:
            look_up = self._look_ups[key] = _LookUp(asyncio.get_running_loop().create_future())
            self._begin()
        look_up.callers += 1
        try:
            return await asyncio.shield(look_up.addresses)
        finally:
            look_up.callers -= 1
            if not look_up.callers and not look_up.has_begun and self._look_ups.get(key) is look_up:
                del self._look_ups[key]

    async def close(self) -> None:
        """Begin no more look-ups, and fail those under way with OSError. Waits for no thread."""
        self._is_closed = True
        for look_up in self._look_ups.values():
            if not look_up.addresses.done():
                look_up.addresses.set_exception(OSError("the resolver is closed"))
                look_up.addresses.exception()  # where no caller waits any more
        self._look_ups.clear()

    def _begin(self) -> None:
        """Begin the look-ups for which there are threads, in their order."""
        loop = asyncio.get_running_loop()
        for key, look_up in self._look_ups.items():
            if self._running >= self._most:
                return
            if not look_up.has_begun:
                self._running += 1
                look_up.has_begun = True
                thread = threading.Thread(
                    target=self._run, args=(loop, key, look_up), name="names", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # the system has no thread left
                    loop.call_soon(self._finish, key, look_up, OSError("no thread"))

    def _run(self, loop: asyncio.AbstractEventLoop, key: _Key, look_up: "_LookUp") -> None:
        """On a thread: look ``key`` up and hand over what came of it."""
        found: list[ResolveResult] | Exception
        try:
            found = self._addresses_of(*key)
        except Exception as error:
            found = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller is left
            loop.call_soon_threadsafe(self._finish, key, look_up, found)

    def _finish(self, key: _Key, look_up: "_LookUp", found: list[ResolveResult] | Exception) -> None:
        self._running -= 1
        if self._look_ups.get(key) is look_up:
            del self._look_ups[key]
        if not look_up.addresses.done():
            if isinstance(found, Exception):
                look_up.addresses.set_exception(found)
                look_up.addresses.exception()  # where no caller waits any more
            else:
                look_up.addresses.set_result(found)
        self._begin()

    def _addresses_of(self, host: str, port: int, family: int) -> list[ResolveResult]:
        found = self._get_addresses(host, port, type=socket.SOCK_STREAM, family=family)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]


@dataclass(slots=True, eq=False)
class _LookUp:
    addresses: asyncio.Future[list[ResolveResult]]
    callers: int = 0
    has_begun: bool = False
    """Whether it has a thread."""
