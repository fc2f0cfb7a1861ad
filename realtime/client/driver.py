"""A driver's app without the phone: an outbox on a link."""

import asyncio
from collections.abc import Callable, Mapping
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from realtime.client.link import ClientConnection, OnEvent, TokenSource, auth_of
from realtime.client.outbox import AckOutcome, Outbox
from realtime.client.sos import cancel_sos, raise_sos


class DriverClient:
    """Sends what its outbox holds, for as long as it takes.

    ``async with DriverClient(url, token) as driver:`` then ``start``, ``add``, ``end``, and ``await
    flush()`` before leaving. ``token`` may be an async function that gives a fresh one. Leaving does not
    flush.
    """

    def __init__(
        self,
        url: str,
        token: TokenSource,
        *,
        outbox: Outbox | None = None,
        rng: Random | None = None,
        http: aiohttp.ClientSession | None = None,
        on_event: OnEvent | None = None,
        on_progress: Callable[[], None] | None = None,
        **link_options: Any,
    ) -> None:
        rng = rng or Random()  # noqa: S311  jitter is no secret
        self.outbox = outbox or Outbox(rng)
        self.link = ClientConnection(
            url,
            "/driver",
            auth_of(token, None),
            on_event=on_event or _ignore,
            rng=rng,
            http=http,
            renews=not isinstance(token, str),
            **link_options,
        )
        self._on_progress = on_progress or _nothing
        self._progress = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def open(self) -> None:
        """Start connecting, in a task of its own."""
        self.link.open(self._talk, self._progress.set)

    async def close(self) -> None:
        """Hang up; what is kept stays in the outbox. Idempotent."""
        await self.link.close()

    def start(self, client_journey_id: str, started_ms: int, **details: Any) -> None:
        """As `Outbox.start`, and sent."""
        self.outbox.start(client_journey_id, started_ms, **details)
        self.link.wake()

    def add(self, t_ms: int, lat: float, lon: float, *more: float | None) -> int:
        """As `Outbox.add`, and sent."""
        seq = self.outbox.add(t_ms, lat, lon, *more)
        self.link.wake()
        return seq

    def end(self, ended_ms: int) -> None:
        """As `Outbox.end`, and sent."""
        self.outbox.end(ended_ms)
        self.link.wake()

    async def sos(self, sos_id: str, pressed_ms: int, **details: Any) -> Mapping[str, Any]:
        """Press until it is kept, as `raise_sos`; the answer. ``details`` are the other fields of ``sos``;
        the journey under way goes with them. The same ``sos_id`` again is the same alert. Raises Stopped.
        """
        press = {"sos_id": sos_id, "pressed_at": pressed_ms}
        if (journey_id := self.outbox.journey_id) is not None:
            press["journey_id"] = journey_id
        return await raise_sos(self.link, press | details)

    async def cancel(self, sos_id: str, pin: str = "") -> Mapping[str, Any]:
        """Take an SOS back, as `cancel_sos`; the answer. Raises Stopped: ``forbidden`` for a wrong PIN."""
        return await cancel_sos(self.link, sos_id, pin)

    async def flush(self, timeout_s: float) -> bool:
        """Wait until the server has everything; False when it has not by ``timeout_s``. Raises Stopped."""
        try:
            async with asyncio.timeout(timeout_s):
                while not self.outbox.is_done:
                    self.link.check()
                    await self._progress.wait()
                    self._progress.clear()
        except TimeoutError:
            return False
        return True

    async def _talk(self) -> None:
        loop = asyncio.get_running_loop()
        self.outbox.connected()
        while self.link.is_up:
            now_s = loop.time()
            request = self.outbox.next(now_s)
            if request is None:
                # One look at the clock for both: between two the pause may end, and nothing would wake it.
                waiting = now_s < self.outbox.not_before_s
                await self.link.wait(self.outbox.not_before_s if waiting else None)
                continue
            answer = await self.link.ask(request.event, request.payload)
            verdict = self.outbox.answered(request, answer, loop.time())
            self._progress.set()
            self._on_progress()
            if verdict is AckOutcome.RECONNECT:
                return


def _ignore(event: str, args: tuple[Any, ...]) -> None:
    """Commands of the server that this app does not carry out."""


def _nothing() -> None:
    """Nobody looks on."""
