"""What the HTTP stand-ins have in common: they listen, remember calls, and fail as they are told."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Final, Self

from aiohttp import web
from msgspec import Struct

CALLS_KEPT: Final = 2_000
HELD_LOOK_S: Final = 1.0
"""How often it is looked whether somebody still waits for an answer that never comes."""
BODY_BYTES: Final = 4 * 1024 * 1024


class Trouble(StrEnum):
    """What happens to a call."""

    STATUS = "status"
    """Answered with an error of the service's own making; nothing is done."""
    HANG = "hang"
    """Nothing is done, nothing is answered."""
    DROP = "drop"
    """Nothing is done; the connection is cut."""
    LOSE_REPLY = "lose_reply"
    """Done; the connection is cut without a reply."""
    HANG_AFTER = "hang_after"
    """Done; nothing is answered."""
    GARBAGE = "garbage"
    """Done; answered 200 with what is no JSON."""


class SimulatedFault(Struct, frozen=True):
    """One trouble; ``status`` and ``retry_after`` (a header's value) for STATUS."""

    trouble: Trouble
    status: int = 503
    retry_after: str | None = None


class SandboxRequest(Struct, frozen=True):
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class StandIn:
    """A server on a port of its own: ``async with`` starts it. A service adds routes to ``app``.

    ``faults``: what happens to the next calls, one each (None: nothing); then ``fault`` happens to every one.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self.port = port
        self.faults: deque[SimulatedFault | None] = deque()
        self.fault: SimulatedFault | None = None
        self.calls: deque[SandboxRequest] = deque(maxlen=CALLS_KEPT)
        self.app = web.Application(middlewares=[self._troubled], client_max_size=BODY_BYTES)
        self._runner: web.AppRunner | None = None
        self._ending = asyncio.Event()

    @property
    def url(self) -> str:
        """Its base, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    def error_of(self, fault: SimulatedFault, request: web.Request) -> web.Response:
        """The service's own words for an error of ``fault.status``."""
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        return web.json_response({"error": "told to fail"}, status=fault.status, headers=headers)

    def is_troubled(self, request: web.Request) -> bool:
        """Whether faults are for this call."""
        return True

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._ending.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _troubled(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        body = await request.read()
        self.calls.append(
            SandboxRequest(request.method, request.path, request.query_string, dict(request.headers), body)
        )
        if not self.is_troubled(request):
            return await handler(request)
        fault = self.faults.popleft() if self.faults else self.fault
        if fault is None:
            return await handler(request)
        return await self._suffer(fault, request, handler)

    async def _suffer(
        self,
        fault: SimulatedFault,
        request: web.Request,
        handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    ) -> web.StreamResponse:
        match fault.trouble:
            case Trouble.STATUS:
                return self.error_of(fault, request)
            case Trouble.HANG:
                await self._hold(request)
            case Trouble.LOSE_REPLY:
                await handler(request)
            case Trouble.HANG_AFTER:
                await handler(request)
                await self._hold(request)
            case Trouble.GARBAGE:
                await handler(request)
                return web.Response(text="<html>oops")
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _hold(self, request: web.Request) -> None:
        """Answer nothing until we end or the caller has gone."""
        while not self._ending.is_set() and request.transport is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), HELD_LOOK_S)
