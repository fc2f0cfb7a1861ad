"""A phone with an SOS button, as docs/PROTOCOL.md tells apps to be: by socket and by HTTP at once, the same
``sos_id``, again and again until one of the two is acknowledged.
"""

import asyncio
import json
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp

from tests.matrix.ledger import Sos

TRY_S = 6.0
PAUSE_S = (0.2, 2.0)
GIVE_UP_S = 120.0


class Phone:
    """One driver's phone. ``urls`` are balancers or single processes; ``on_ack`` hears of the first ack."""

    def __init__(self, http: aiohttp.ClientSession, token: str, socket_url: str, http_url: str) -> None:
        self._http = http
        self._token = token
        self._socket_url = socket_url
        self._http_url = http_url

    async def press(
        self,
        sos: Sos,
        ways: tuple[str, ...] = ("socket", "http"),
        on_ack: Callable[[Sos], None] | None = None,
    ) -> None:
        """Press once and keep at it until it is acknowledged, or GIVE_UP_S are over."""
        ask = {"socket": self._by_socket, "http": self._by_http}
        trying = [asyncio.ensure_future(self._until_acked(ask[way], sos, way)) for way in ways]
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await asyncio.wait(trying, return_when=asyncio.FIRST_COMPLETED)
                if on_ack is not None:
                    on_ack(sos)
                # The other way had set off too: what it is answered counts.
                await asyncio.wait(trying, timeout=TRY_S)
        except TimeoutError:
            sos.answers["gave up"] += 1
        finally:
            for task in trying:
                task.cancel()
            await asyncio.gather(*trying, return_exceptions=True)

    async def _until_acked(self, ask: Callable[[Sos], Any], sos: Sos, way: str) -> None:
        pause_s = PAUSE_S[0]
        while True:
            try:
                async with asyncio.timeout(TRY_S):
                    answer = await ask(sos)
            except (aiohttp.ClientError, aiohttp.WSMessageTypeError, OSError, ValueError) as error:
                answer = {"ok": False, "error": {"code": type(error).__name__}}
            if answer.get("ok"):
                sos.answers[f"{way} ok"] += 1
                if sos.acked_s is None:
                    sos.acked_s, sos.durability = time.monotonic(), answer["durability"]
                sos.alert_ids.add(answer["alert_id"])
                return
            sos.answers[f"{way} {answer['error']['code']}"] += 1
            await asyncio.sleep(pause_s * random.uniform(0.5, 1))
            pause_s = min(pause_s * 2, PAUSE_S[1])

    def _payload(self, sos: Sos) -> dict[str, Any]:
        return {"sos_id": sos.sos_id, "kind": "sos", "pressed_at": int(time.time() * 1000)}

    async def _by_http(self, sos: Sos) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        url = f"{self._http_url}/api/v1/sos"
        async with self._http.post(url, json=self._payload(sos), headers=headers) as response:
            return await response.json(content_type=None)

    async def _by_socket(self, sos: Sos) -> Any:
        url = f"{self._socket_url}/socket.io/?EIO=4&transport=websocket"
        async with self._http.ws_connect(url, heartbeat=None, max_msg_size=1 << 20) as ws:
            await ws.receive_str()  # the handshake
            await ws.send_str("40/driver," + json.dumps({"token": self._token}))
            while not (text := await ws.receive_str()).startswith(("40/driver,", "44/driver,")):
                await self._pong(ws, text)
            if text.startswith("44"):
                return {
                    "ok": False,
                    "error": json.loads(text.partition(",")[2]).get("data") or {"code": "refused"},
                }
            await ws.send_str("42/driver,7" + json.dumps(["sos", self._payload(sos)]))
            while not (text := await ws.receive_str()).startswith("43/driver,7"):
                await self._pong(ws, text)
            with suppress(OSError):
                await ws.send_str("41/driver,")
            return json.loads(text[len("43/driver,7") :])[0]

    async def _pong(self, ws: aiohttp.ClientWebSocketResponse, text: str) -> None:
        if text == "2":
            await ws.send_str("3")
