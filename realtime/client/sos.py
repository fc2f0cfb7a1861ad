"""The button: pressed again and again, under one id, until the server says that it is kept."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from realtime.client.link import Link, Stopped

AGAIN_S: Final = 1.0


async def raise_sos(link: Link, press: Mapping[str, Any]) -> Mapping[str, Any]:
    """Press on ``link`` (of `/driver`) until it is kept; the answer. ``press`` is ``sos`` of the protocol.

    Raises Stopped when the server refuses it for good, or the link is over.
    """
    while True:
        link.check()
        answer = await link.ask("sos", dict(press))
        if isinstance(answer, Mapping):
            if answer.get("ok") is True:
                return answer
            error = answer.get("error")
            told = error if isinstance(error, Mapping) else answer
            if not told.get("retryable"):
                raise Stopped(str(told.get("code")), str(told.get("message")))
        await asyncio.sleep(AGAIN_S)
