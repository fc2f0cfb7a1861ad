"""A FanoutServer as an application would have it, and raw clients of both transports to talk to it."""

import asyncio
import base64
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import WSMsgType, web

from realtime.fanout.socketio.server import FanoutServer

PATIENCE_S = 20.0
BOTH = ("websocket", "polling")


class Ended(Exception):
    """The server has closed the session."""


class Raw(ABC):
    """A client that speaks Socket.IO by hand. ``send`` and ``recv`` are whole messages: text without the
    Engine.IO digit, or bytes. Pings are answered.
    """

    def __init__(self, here: "Here") -> None:
        self.here = here
        self.sid = ""

    @abstractmethod
    async def send(self, *messages: str | bytes) -> None:
        """Say these, in order."""

    @abstractmethod
    async def recv(self) -> str | bytes:
        """The next message. Raises Ended."""

    @abstractmethod
    async def close(self) -> None:
        """Go."""

    async def texts(self, count: int) -> list[str | bytes]:
        """The next ``count`` messages."""
        return [await self.recv() for _ in range(count)]

    async def join(self, namespace: str = "/", auth: str = "") -> str:
        """Enter a namespace; the sid there."""
        prefix = "0" if namespace == "/" else f"0{namespace},"
        await self.send(prefix + auth)
        answer = await self.recv()
        assert isinstance(answer, str)
        assert answer.startswith(prefix + '{"sid":'), answer
        sid: str = json.loads(answer[len(prefix) :])["sid"]
        return sid

    async def ended(self) -> list[str | bytes]:
        """Read to the session's end; what came before it."""
        said: list[str | bytes] = []
        with contextlib.suppress(Ended):
            while True:
                said.append(await self.recv())
        return said


class RawWebSocket(Raw):
    socket: aiohttp.ClientWebSocketResponse

    async def open(self) -> "RawWebSocket":
        url = f"{self.here.url}/socket.io/?EIO=4&transport=websocket"
        self.socket = await self.here.http.ws_connect(url, max_msg_size=0)
        self.sid = json.loads((await self.socket.receive_str(timeout=PATIENCE_S))[1:])["sid"]
        return self

    async def send(self, *messages: str | bytes) -> None:
        for message in messages:
            if isinstance(message, str):
                await self.socket.send_str("4" + message)
            else:
                await self.socket.send_bytes(message)

    async def recv(self) -> str | bytes:
        while True:
            message = await self.socket.receive(timeout=PATIENCE_S)
            if message.type is WSMsgType.BINARY:
                return bytes(message.data)
            if message.type is not WSMsgType.TEXT or message.data == "1":
                raise Ended
            if message.data == "2":
                await self.socket.send_str("3")
            elif message.data != "6":
                assert message.data[0] == "4", message.data
                return str(message.data[1:])

    async def close(self) -> None:
        await self.socket.close()


class RawPolling(Raw):
    def __init__(self, here: "Here") -> None:
        super().__init__(here)
        self._read: list[str] = []

    @property
    def url(self) -> str:
        return f"{self.here.url}/socket.io/?EIO=4&transport=polling&sid={self.sid}"

    async def open(self) -> "RawPolling":
        async with self.here.http.get(f"{self.here.url}/socket.io/?EIO=4&transport=polling") as response:
            opening, *self._read = (await response.text()).split("\x1e")
        self.sid = json.loads(opening[1:])["sid"]
        return self

    async def send(self, *messages: str | bytes) -> None:
        body = "\x1e".join(
            "4" + m if isinstance(m, str) else "b" + base64.b64encode(m).decode() for m in messages
        )
        await self._post(body)

    async def _post(self, body: str) -> None:
        async with self.here.http.post(self.url, data=body.encode()) as response:
            if response.status != 200:
                raise Ended

    async def recv(self) -> str | bytes:
        while True:
            while not self._read:
                async with self.here.http.get(self.url) as response:
                    if response.status != 200:
                        raise Ended
                    self._read = (await response.text()).split("\x1e")
            packet = self._read.pop(0)
            if packet == "1":
                raise Ended
            if packet == "2":
                await self._post("3")
            elif packet[:1] == "b":
                return base64.b64decode(packet[1:])
            elif packet[:1] == "4":
                return packet[1:]

    async def close(self) -> None:
        await self._post("1")


@dataclass
class Here:
    """A running server."""

    server: FanoutServer
    port: int
    http: aiohttp.ClientSession
    clients: list[Raw] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self, transport: str = "websocket") -> Raw:
        """A session that is in no namespace yet."""
        made = await (RawWebSocket(self) if transport == "websocket" else RawPolling(self)).open()
        self.clients.append(made)
        return made

    async def joined(self, transport: str = "websocket", namespace: str = "/") -> tuple[Raw, str]:
        """A client in a namespace, and its sid there. What its connect handler says is still to be read."""
        client = await self.client(transport)
        return client, await client.join(namespace)


@contextlib.asynccontextmanager
async def serving(server: FanoutServer) -> AsyncIterator[Here]:
    """Serve on a free port; every session is ended at the end."""
    app = web.Application()
    server.attach(app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as http:
        try:
            yield Here(server, runner.addresses[0][1], http)
        finally:
            for session in list(server.eio.sockets.values()):
                await session.close(wait=False, abort=True)
            await runner.cleanup()


def plain(**options: Any) -> FanoutServer:
    """A server without handlers."""
    return FanoutServer(cors_allowed_origins="*", **options)


def reference(**options: Any) -> FanoutServer:
    """The application of the official test-suite: tells what it was authenticated with, echoes messages."""
    server = plain(**options)
    for namespace in ("/", "/custom"):
        _echo_in(server, namespace)
    return server


def _echo_in(server: FanoutServer, namespace: str) -> None:
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("auth", auth or {}, to=sid, namespace=namespace)

    async def message(sid: str, *args: Any) -> None:
        await server.emit("message-back", args, to=sid, namespace=namespace)

    async def with_ack(sid: str, *args: Any) -> tuple[Any, ...]:
        return args

    server.on("connect", connect, namespace=namespace)
    server.on("message", message, namespace=namespace)
    server.on("message-with-ack", with_ack, namespace=namespace)


async def settled(server: FanoutServer) -> None:
    """Wait until every session has ended and what it started too."""
    async with asyncio.timeout(PATIENCE_S):
        while server.eio.sockets or server.eio._tasks or server.environ or server.manager.rooms:
            await asyncio.sleep(0.005)
