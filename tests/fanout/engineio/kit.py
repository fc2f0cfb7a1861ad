"""An EngineServer alone, whose receiver echoes, and clients of bare HTTP and bare frames."""

import asyncio
import contextlib
import json
import socket as plain_socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.server import EngineServer
from realtime.fanout.engineio.session import EngineSocket
from tests.fanout.kit import PATIENCE_S, until

__all__ = ["PATIENCE_S", "Raw", "Server", "masked", "module_loop", "serving", "until", "upgrade_request"]

module_loop = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Server:
    """What is served, what it heard, and how to reach it."""

    engine: EngineServer
    port: int
    http: aiohttp.ClientSession
    runner: web.AppRunner
    heard: list[str | bytes] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    answer: Callable[[EngineSocket, str | bytes], Awaitable[None] | None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/engine.io/"

    @property
    def sockets(self) -> dict[str, EngineSocket]:
        found: dict[str, EngineSocket] = self.engine.sockets
        return found

    def receive(self, socket: EngineSocket, message: str | bytes) -> Awaitable[None] | None:
        """Keep and echo, or what the test wants."""
        self.heard.append(message)
        if self.answer is not None:
            return self.answer(socket, message)
        socket.write(Frame(b"4" + message.encode()) if isinstance(message, str) else Frame.binary(message))
        return None

    async def ask(self, method: str, query: str, **more: Any) -> tuple[int, str]:
        """One request; status and text."""
        async with self.http.request(method, f"{self.url}?{query}", **more) as response:
            return response.status, await response.text()

    async def open(self) -> str:
        """A polling session; its sid."""
        status, text = await self.ask("GET", "EIO=4&transport=polling")
        assert status == 200
        sid: str = json.loads(text[1:])["sid"]
        return sid

    async def poll(self, sid: str) -> tuple[int, str]:
        return await self.ask("GET", f"EIO=4&transport=polling&sid={sid}")

    async def post(self, sid: str, body: str | bytes) -> tuple[int, str]:
        return await self.ask("POST", f"EIO=4&transport=polling&sid={sid}", data=body)

    async def websocket(self, sid: str = "") -> aiohttp.ClientWebSocketResponse:
        """A websocket, its opening packet read when it begins a session."""
        tail = f"&sid={sid}" if sid else ""
        socket = await self.http.ws_connect(f"{self.url}?EIO=4&transport=websocket{tail}", max_msg_size=0)
        if not sid:
            assert (await socket.receive_str(timeout=PATIENCE_S)).startswith("0")
        return socket

    async def polled(self, sid: str) -> "asyncio.Task[tuple[int, str]]":
        """A poll that waits at the server."""
        pending = asyncio.ensure_future(self.poll(sid))
        outbox = self.sockets[sid].outbox
        assert outbox is not None
        await until(lambda: outbox.is_polled, "the poll")
        return pending


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    """A server with these options on a free port."""
    options = {"cors_allowed_origins": "*", "ping_interval": 25, "ping_timeout": 20, **options}
    engine = EngineServer(async_mode="aiohttp", **options)
    app = web.Application()
    engine.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        here = Server(engine, runner.addresses[0][1], http, runner)
        engine.receiver = here.receive
        engine.on("disconnect", lambda sid, reason: here.ended.append(reason))
        try:
            yield here
        finally:
            await runner.cleanup()


def masked(payload: bytes, first: int = 0x81) -> bytes:
    """A client's websocket frame with a mask of zeros."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65_536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


def upgrade_request(query: str = "EIO=4&transport=websocket", **headers: str) -> bytes:
    """A websocket's opening request."""
    fields = {
        "Host": "x",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"GET /engine.io/?{query} HTTP/1.1", *(f"{n}: {v}" for n, v in fields.items() if v)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Raw:
    """A bare TCP connection whose receive buffer is small when asked for."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, port: int, buffer_bytes: int = 0) -> "Raw":
        sock = plain_socket.socket()
        if buffer_bytes:
            sock.setsockopt(plain_socket.SOL_SOCKET, plain_socket.SO_RCVBUF, buffer_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return cls(*await asyncio.open_connection(sock=sock, limit=2_048 if buffer_bytes else 65_536))

    @classmethod
    async def websocket(cls, here: Server, buffer_bytes: int = 0) -> "Raw":
        """One that has opened a session and read its first packet."""
        raw = await cls.to(here.port, buffer_bytes)
        raw.writer.write(upgrade_request())
        assert (await raw.head()).startswith("HTTP/1.1 101")
        assert (await raw.frame())[1].startswith(b"0{")
        return raw

    async def head(self) -> str:
        """The answer's status line and headers."""
        async with asyncio.timeout(PATIENCE_S):
            return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its first byte and its payload."""
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self.reader.readexactly(2)
            if size == 126:
                size = int.from_bytes(await self.reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self.reader.readexactly(8), "big")
            return first, await self.reader.readexactly(size)

    async def ended(self) -> bytes:
        """What comes until the end of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read(-1)
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()
