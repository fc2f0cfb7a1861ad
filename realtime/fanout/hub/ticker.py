"""A period that is kept: a tick that comes late does not move the next one."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


def ignore_lateness(late_s: float) -> None:
    """What a `Ticker` reports to when nobody wants to know."""


class Ticker:
    """Calls ``action`` every ``period_s`` until it is cancelled.

    A tick is due at a multiple of the period after the start. One that comes a whole period late or more
    leaves out those it has missed, since what they had gathered went out with it. ``on_late`` is told how
    late each tick was, in seconds.
    """

    def __init__(
        self,
        period_s: float,
        action: Callable[[], None],
        on_late: Callable[[float], None] = ignore_lateness,
    ) -> None:
        self._period_s = period_s
        self._action = action
        self._on_late = on_late

    async def run(self) -> None:
        """Never returns. A fault of ``action`` is logged, and the next tick comes as ever."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s += self._period_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            late_s = max(0.0, loop.time() - due_s)
            due_s += late_s // self._period_s * self._period_s
            self._on_late(late_s)
            try:
                self._action()
            except Exception:
                log.exception("a tick failed")


async def every(pause_s: Callable[[], float], action: Callable[[], Awaitable[None]]) -> None:
    """Call ``action`` with ``pause_s()`` seconds between two calls; what it raises is logged."""
    while True:
        await asyncio.sleep(pause_s())
        try:
            await action()
        except Exception:
            log.exception("fan-out upkeep failed")
