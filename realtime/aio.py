"""Ending tasks for good."""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

AGAIN_S: Final = 0.2


async def end(tasks: Iterable["asyncio.Future[Any]"]) -> None:
    """Cancel ``tasks`` and wait until they have ended, whatever they end with.

    A cancellation may be swallowed: redis-py turns one that comes at the wrong moment into an error of its
    own, which a loop that outlives Redis then survives. So it is repeated.
    """
    ending = set(tasks)
    pending = {task for task in ending if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN_S)
    for task in ending:
        if not task.cancelled():
            task.exception()  # seen, so that asyncio does not report it as never retrieved
