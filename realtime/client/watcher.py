"""A viewer of ``/watch``: keeps its feeds through reconnects and resets, and judges what it is told."""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from types import TracebackType
from typing import Any, Self

import aiohttp

from realtime.client.backoff import Backoff
from realtime.client.link import ClientConnection, Stopped, TokenSource, auth_of
from realtime.client.views import JourneyView, LatestView, View, view_of


class Watcher:
    """Watches feeds; ``views`` has what is known of each by its name.

    ``async with Watcher(url, token=…) as watcher:`` or ``share="{id}.{secret}"``, then ``await
    watcher.watch(feed)`` and ``await watcher.until(condition, timeout_s)``. Events of feeds nobody watches
    are in ``strays``.
    """

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource | None = None,
        share: str | None = None,
        rng: Random | None = None,
        http: aiohttp.ClientSession | None = None,
        keeps_points: bool = True,
        live_only: bool = False,
        on_positions: Callable[[str, Any], None] | None = None,
        **link_options: Any,
    ) -> None:
        if (token is None) == (share is None):
            raise ValueError("give either a token or a share")
        rng = rng or Random()  # noqa: S311  jitter is no secret
        renews = token is not None and not isinstance(token, str)
        auth = auth_of(token, share)
        self.link = ClientConnection(
            url, "/watch", auth, on_event=self._event, rng=rng, http=http, renews=renews, **link_options
        )
        self.views: dict[str, View] = {}
        self.strays: list[tuple[str, str]] = []
        self.refused: dict[str, str] = {}
        self._wanted: dict[int, View] = {}
        self._current: set[int] = set()
        self._resetting: set[int] = set()
        self._failed: dict[int, Mapping[str, Any]] = {}
        self._backoff = Backoff(rng)
        self._not_before_s = 0.0
        self._keeps_points = keeps_points
        self._live_only = live_only
        self._on_positions = on_positions
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def open(self) -> None:
        """Start connecting, in a task of its own."""
        self.link.open(self._session, self._changed.set)

    async def close(self) -> None:
        """Hang up; what was learnt stays in ``views``. Idempotent."""
        await self.link.close()

    async def watch(self, feed: Mapping[str, Any], timeout_s: float = 30.0) -> View:
        """Watch ``feed`` from now on; returns its view once the first snapshot is in.

        Raises Stopped when the server refuses for good, TimeoutError.
        """
        view = view_of(feed, keeps=self._keeps_points, live_only=self._live_only)
        self._wanted[id(view)] = view
        self.link.wake()
        await self.until(lambda: id(view) in self._failed or view.snapshots > 0, timeout_s)
        if (error := self._failed.pop(id(view), None)) is not None:
            raise Stopped(str(error.get("code")), str(error.get("message")))
        return view

    async def watch_journey(
        self, journey_id: str, since_seq: int = 0, timeout_s: float = 30.0
    ) -> JourneyView:
        """`watch` for a journey feed."""
        view = await self.watch({"journey": journey_id, "since_seq": since_seq}, timeout_s)
        assert isinstance(view, JourneyView)
        return view

    async def watch_vendor(self, vendor: str, timeout_s: float = 30.0) -> LatestView:
        """`watch` for a vendor feed."""
        view = await self.watch({"vendor": vendor}, timeout_s)
        assert isinstance(view, LatestView)
        return view

    async def unwatch(self, name: str) -> Any:
        """Stop watching the feed called ``name``; returns the server's answer, None without a connection."""
        view = self.views.pop(name, None)
        if view is not None:
            self._wanted.pop(id(view), None)
        return await self.link.ask("unwatch", {"feed": name})

    async def whoami(self) -> Any:
        """What the server takes this viewer for."""
        await self.until(lambda: self.link.is_up, 30.0)
        return await self.link.ask("whoami")

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``condition`` holds, looking after each arrival. Raises TimeoutError, Stopped."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.link.check()
                self._changed.clear()
                await self._changed.wait()

    # --- the connection

    async def _session(self) -> None:
        loop = asyncio.get_running_loop()
        self._current.clear()
        self._resetting.clear()
        self._changed.set()
        while self.link.is_up:
            view = next((v for key, v in self._wanted.items() if key not in self._current), None)
            if view is None:
                await self.link.wait()
            elif loop.time() < self._not_before_s:
                await self.link.wait(self._not_before_s)
            else:
                await self.link.ask("watch", {"feed": view.watch_request()}, partial(self._watched, view))

    def _watched(self, view: View, answer: Any) -> None:
        if isinstance(answer, Mapping) and answer.get("ok") is True:
            self.views[str(answer["feed"])] = view
            self._current.add(id(view))
            self._resetting.discard(id(view))
            view.take_snapshot(answer)
            self._backoff.succeeded()
        else:
            error = answer.get("error") if isinstance(answer, Mapping) else None
            self._refused(view, error if isinstance(error, Mapping) else {"retryable": True})
        self._changed.set()

    def _refused(self, view: View, error: Mapping[str, Any]) -> None:
        if error.get("retryable"):
            delay_s = self._backoff.failed(error.get("retry_after_s"))
            self._not_before_s = asyncio.get_running_loop().time() + delay_s
        else:
            del self._wanted[id(view)]
            self._failed[id(view)] = error
            names = [name for name, known in self.views.items() if known is view]
            self.refused.update(dict.fromkeys(names, str(error.get("code"))))

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        name = args[0].get("feed") if event == "reset" else args[0] if args else None
        view = self.views.get(str(name))
        if view is None:
            self.strays.append((event, str(name)))
        elif event == "reset":
            view.resets += 1
            self._resetting.add(id(view))
            self._current.discard(id(view))
            self.link.wake()
        elif id(view) not in self._current:
            # Before the answer to `watch` an event belongs to nothing; after a reset the snapshot brings it
            # again.
            view.early += id(view) not in self._resetting
        else:
            self._merge(view, str(name), event, args[1])
        self._changed.set()

    def _merge(self, view: View, name: str, event: str, content: Any) -> None:
        match event:
            case "positions":
                view.take_positions(content)
                if self._on_positions is not None:
                    self._on_positions(name, content)
            case "presence":
                view.presence[str(content["driver"])] = content
            case "journey":
                view.take_journey(content)
            case _:
                self.strays.append((event, name))
