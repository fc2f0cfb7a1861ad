"""A FanoutServer without anything behind it: `echo` answers with what it got, `pour` writes many frames."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web
from msgspec import Raw

from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio.server import FanoutServer, Reply

PATIENCE_S = 20.0
NS = "/x"


async def until(condition: Callable[[], Any], what: str = "condition") -> None:
    """Wait for ``condition`` to hold."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"never came: {what}"
        await asyncio.sleep(0.002)


@dataclass
class Echo:
    """The router. ``seen`` are the first arguments of every event, in order."""

    seen: list[Any] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def on_event(
        self, socket: EngineSocket, namespace: str, name: str, args: list[Raw], reply: Reply
    ) -> None:
        self.seen.append(json.loads(bytes(args[0])) if args else None)
        if name == "pour":  # answer with as many bytes as asked for
            reply(frames.json_bytes("x" * self.seen[-1]))
        else:
            reply(bytes(args[0]) if args else b"null")

    def on_fault(
        self, socket: EngineSocket, namespace: str, fault: str, reply: Reply, body: str = ""
    ) -> None:
        self.faults.append(fault)
        reply(frames.json_bytes(fault))


@dataclass
class Engine:
    """A server on a free port, its router, and a session to talk to it."""

    server: FanoutServer
    router: Echo
    port: int
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/socket.io/?EIO=4"

    @property
    def sockets(self) -> dict[str, EngineSocket]:
        found: dict[str, EngineSocket] = self.server.eio.sockets
        return found

    async def poll(self, sid: str) -> list[str]:
        """One GET; the packets."""
        async with self.http.get(f"{self.url}&transport=polling&sid={sid}") as response:
            assert response.status == 200, await response.text()
            text = await response.text()
        return text.split("\x1e") if text else []

    async def post(self, sid: str, body: bytes | str) -> int:
        """One POST; the status."""
        async with self.http.post(f"{self.url}&transport=polling&sid={sid}", data=body) as response:
            await response.read()
            return response.status

    async def polling(self) -> str:
        """A polling session that has joined the namespace; its sid."""
        async with self.http.get(f"{self.url}&transport=polling") as response:
            opening = (await response.text()).split("\x1e")[0]
        sid: str = json.loads(opening[1:])["sid"]
        assert await self.post(sid, f"40{NS},") == 200
        answer = (await self.poll(sid))[0]
        assert answer.startswith(f"40{NS},"), answer
        return sid

    async def websocket(self, sid: str = "") -> aiohttp.ClientWebSocketResponse:
        """A websocket; without ``sid`` a new session that has joined the namespace."""
        tail = f"&sid={sid}" if sid else ""
        socket = await self.http.ws_connect(f"{self.url}&transport=websocket{tail}", max_msg_size=0)
        if not sid:
            assert (await socket.receive_str(timeout=PATIENCE_S)).startswith("0")
            await socket.send_str(f"40{NS},")
            assert (await socket.receive_str(timeout=PATIENCE_S)).startswith(f"40{NS},")
        return socket


@contextlib.asynccontextmanager
async def engine(**options: Any) -> AsyncIterator[Engine]:
    """A server with these options."""
    router = Echo()
    server = FanoutServer(
        router=router, cors_allowed_origins="*", logger=False, engineio_logger=False, **options
    )

    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        eio_sid = server.manager.eio_sid_from_sid(sid, NS)
        assert eio_sid is not None
        server.admitted(eio_sid)

    server.on("connect", connect, namespace=NS)
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        try:
            yield Engine(server, router, runner.addresses[0][1], http)
        finally:
            for session in list(server.eio.sockets.values()):
                await session.close(wait=False, abort=True)
            await runner.cleanup()
