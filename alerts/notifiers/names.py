"""Look-ups of host names that strangers gave us, on threads of their own.

A look-up is a blocking call that cannot be ended: when a name server does not answer, its thread is taken for
as long as the system's resolver waits, up to half a minute. On the loop's own threads a few such names would
hold back every other look-up of the process (the SMS provider's, the mail server's), and the checks of tokens
and PINs.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

LOOK_UPS: Final = 64
"""Names that are looked up at once. One more waits for a thread, within its own timeout."""

GetAddresses = Callable[..., list[tuple[Any, ...]]]
"""As `socket.getaddrinfo`."""


class Names(AbstractResolver):
    """Resolves names for one client of HTTP. Calls for one name at the same time share one look-up."""

    def __init__(self, most: int = LOOK_UPS, get_addresses: GetAddresses = socket.getaddrinfo) -> None:
        self._threads: Final = ThreadPoolExecutor(most, thread_name_prefix="names")
        self._get_addresses: Final = get_addresses
        self._asking: Final[dict[tuple[str, int, int], asyncio.Future[list[ResolveResult]]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of ``host``. Raises OSError. A caller that is cancelled ends no look-up."""
        key = (host, port, int(family))
        asking = self._asking.get(key)
        if asking is None:
            loop = asyncio.get_running_loop()
            asking = loop.run_in_executor(self._threads, self._look_up, host, port, family)
            self._asking[key] = asking
            asking.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(asking)

    async def close(self) -> None:
        """Wait for no look-up."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look_up(self, host: str, port: int, family: int) -> list[ResolveResult]:
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

    def _over(self, key: tuple[str, int, int], done: "asyncio.Future[list[ResolveResult]]") -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever still waits is told; nobody waiting is no fault
