"""Announces to every process which scopes were changed, by Redis: the names of tenants, vendors and drivers,
nothing else. Each process re-reads those from Postgres into its local copy
(`realtime.alerting.failover.contact_cache`).

A message that is lost delays a change until everything is read, every 30 s; so nothing waits for Redis.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Final

from realtime.aio import end
from realtime.bus.bus import REDIS_FAULTS, BusItem, Message, RedisBus
from realtime.store.db.changes import EVERYTHING, MAX_SCOPES, Changed, Pending, parts_of

log = logging.getLogger(__name__)

CHANNEL: Final = "circumstances"
KIND: Final = "scopes"
GATHER_S: Final = 0.05
"""Between two messages: a burst of changes is a few of them."""
RETRY_S: Final = 0.5
GIVE_UP: Final = 60
"""Tries; by then every process has read everything."""
_NOTHING: Final = b"null"


def items_of(scopes: Collection[str]) -> list[BusItem]:
    """Scopes as they travel between processes."""
    return [BusItem(scope, 0, _NOTHING) for scope in scopes]


def scopes_of(items: Sequence[BusItem]) -> list[str]:
    """The scopes of `items_of`; what is none is left out, and too many are `EVERYTHING`."""
    if len(items) > MAX_SCOPES:
        return [EVERYTHING]
    return [item.key for item in items if item.key == EVERYTHING or parts_of(item.key) is not None]


class ScopeChangePublisher:
    """Publishes what `changed` is given; ``here`` is told of it at once, as of what others publish.

    ``gather_s``: seconds between two messages. ``max_scopes``: waiting ones beyond it become `EVERYTHING`.
    """

    def __init__(
        self,
        bus: RedisBus,
        now_ms: Callable[[], int],
        here: Changed | None = None,
        *,
        gather_s: float = GATHER_S,
        retry_s: float = RETRY_S,
        max_scopes: int = MAX_SCOPES,
    ) -> None:
        self._bus: Final = bus
        self._now_ms: Final = now_ms
        self._here: Final = here
        self._gather_s: Final = gather_s
        self._retry_s: Final = retry_s
        self._waiting: Final = Pending(max_scopes)
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many scopes Redis has not taken yet."""
        return len(self._waiting)

    def changed(self, scopes: Collection[str]) -> None:
        """A write of this process has changed these, and is committed. Needs a running event loop."""
        if self._here is not None:
            self._here(scopes)
        self._waiting.add(scopes)
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._send())

    def on_items(self, items: Sequence[BusItem]) -> None:
        """What another process has published."""
        if self._here is not None and (scopes := scopes_of(items)):
            self._here(scopes)

    def on_doubt(self) -> None:
        """Messages of others may have been lost."""
        if self._here is not None:
            self._here((EVERYTHING,))

    async def flush(self, within_s: float | None = None) -> None:
        """Wait until all is published, or given up; for ``within_s`` at most."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within_s)

    async def stop(self) -> None:
        """Publish no more."""
        if self._task is not None:
            await end([self._task])

    async def _send(self) -> None:
        failed = 0
        while len(self._waiting) and failed < GIVE_UP:
            scopes = self._waiting.take()
            try:
                await self._bus.publish([Message(CHANNEL, KIND, items_of(scopes), self._now_ms())])
            except REDIS_FAULTS as error:
                log.debug("changed scopes are not announced: %s", type(error).__name__)
                self._waiting.add(scopes)
                failed += 1
                await asyncio.sleep(self._retry_s)
            else:
                failed = 0
                await asyncio.sleep(self._gather_s)
        self._waiting.take()
