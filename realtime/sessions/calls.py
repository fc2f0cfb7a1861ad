"""Calls of Redis that end in time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from realtime.bus.bus import REDIS_FAULTS
from realtime.protocol import Code, Refused


async def bounded(call: Callable[[], Awaitable[Any]], timeout_s: float) -> Any:
    """What ``call`` answers. Raises Refused(unavailable)."""
    try:
        async with asyncio.timeout(timeout_s):
            return await call()
    except REDIS_FAULTS as error:
        raise Refused(Code.UNAVAILABLE, "the sessions are unavailable, try again", retry_after_s=1) from error
