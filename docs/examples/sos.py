"""The button: one sos_id, by socket and by HTTP at once, again and again, until one of them says it is kept.

WAYGUARD_URL, WAYGUARD_TOKEN (a driver's)
"""

# ruff: noqa: S112, T201

import asyncio
import os
import time
import uuid
from typing import Any

import aiohttp
import socketio

URL = os.environ.get("WAYGUARD_URL", "http://127.0.0.1:8000")
TOKEN = os.environ["WAYGUARD_TOKEN"]
PRESS = {"sos_id": str(uuid.uuid4()), "kind": "sos", "pressed_at": time.time_ns() // 1_000_000}


async def by_socket() -> dict[str, Any]:
    """Connect, press, disconnect; a phone stays and listens to ``sos:update``."""
    async with socketio.AsyncSimpleClient() as client:
        await client.connect(
            URL, namespace="/driver", auth={"token": TOKEN, "sos": True}, transports=["websocket"]
        )
        return dict(await client.call("sos", PRESS, timeout=5))


async def by_http() -> dict[str, Any]:
    """POST it."""
    timeout = aiohttp.ClientTimeout(total=5)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.post(f"{URL}/api/v1/sos", json=PRESS) as response,
    ):
        return dict(await response.json())


async def raise_sos() -> dict[str, Any]:
    """Until it is kept, however long that takes."""
    while True:
        tries = [asyncio.ensure_future(way()) for way in (by_socket, by_http)]
        for attempt in asyncio.as_completed(tries):
            try:
                answer = await attempt
            except Exception:  # no network: the other way may have one
                continue
            if answer["ok"]:
                await asyncio.gather(*tries, return_exceptions=True)
                return answer
        await asyncio.sleep(1)


kept = asyncio.run(raise_sos())
print(f"alert={kept['alert_id']} durability={kept['durability']}")
