"""The button: pressed again and again, under one id, until the server says it is kept; and taken back."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from realtime.client.link import ClientConnection, Stopped

AGAIN_S: Final = 1.0


async def raise_sos(link: ClientConnection, press: Mapping[str, Any]) -> Mapping[str, Any]:
    """Press on ``link`` (of `/driver`) until it is kept; the answer. ``press`` is ``sos`` of the protocol.

    Raises Stopped when the server refuses it for good, or the link is over.
    """
    return await _until_answered(link, "sos", press)


async def cancel_sos(link: ClientConnection, sos_id: str, pin: str = "") -> Mapping[str, Any]:
    """Take an SOS back, asked until it is answered; the answer. A wrong PIN counts each time it is asked.

    Raises Stopped when the server refuses it (``forbidden``: the PIN is wrong), or the link is over.
    """
    return await _until_answered(link, "sos:cancel", {"sos_id": sos_id, "pin": pin})


async def _until_answered(
    link: ClientConnection, event: str, payload: Mapping[str, Any]
) -> Mapping[str, Any]:
    while True:
        link.check()
        answer = await link.ask(event, dict(payload))
        if isinstance(answer, Mapping):
            if answer.get("ok") is True:
                return answer
            error = answer.get("error")
            told = error if isinstance(error, Mapping) else answer
            if not told.get("retryable"):
                raise Stopped(str(told.get("code")), str(told.get("message")))
        await asyncio.sleep(AGAIN_S)
