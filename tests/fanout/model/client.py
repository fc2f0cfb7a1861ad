"""A viewer made of raw packets: polls, upgrades, stops reading, and remembers what each feed told it."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

NAMESPACE = "/x"
PATIENCE_S = 10.0
RECEIVE_BUFFER_BYTES = 4_096
"""Little, so that who stops reading is soon behind."""


@dataclass
class Membership:
    """What one stay in a feed brought. ``since`` is None for a conflated feed."""

    since: int | None
    entries: list[int] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=dict)

    def take(self, fragment: list[Any]) -> None:
        """One entry ``[number, padding]`` of a log, or one spot ``[key, order, padding]`` of a board."""
        if isinstance(fragment[0], str):
            key, order = fragment[:2]
            assert order >= self.newest.get(key, 0), f"{key} went back to {order}"
            self.newest[key] = order
            return
        number = fragment[0]
        expected = self.entries[-1] + 1 if self.entries else None
        if expected is not None:
            assert number == expected, f"entry {number} came where {expected} was due"
        elif self.since is not None:
            assert number == self.since + 1, f"entry {number} came first after {self.since}"
        self.entries.append(number)


class Viewer:
    """One client. ``open`` or ``fail``; every fault of the server is kept in ``faults``."""

    def __init__(self, port: int, *, polling: bool) -> None:
        self.memberships: dict[str, Membership] = {}
        self.faults: list[str] = []
        self.polling = polling
        self.stalled = False
        self.closed = False
        self.joining: list[asyncio.Task[None]] = []
        self._url = f"http://127.0.0.1:{port}/socket.io/?EIO=4"
        self._reading = asyncio.Event()
        self._reading.set()
        self._acks: dict[int, asyncio.Future[Any]] = {}
        self._next_ack = 0
        self._sid = ""
        self._websocket: aiohttp.ClientWebSocketResponse | None = None
        self._joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connector = aiohttp.TCPConnector(force_close=True, limit=0, socket_factory=_small_socket)
        self._http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self._reader: asyncio.Task[None] | None = None

    # --- coming and going

    async def open(self) -> None:
        """Connect and join the namespace."""
        if self.polling:
            async with self._http.get(f"{self._url}&transport=polling") as response:
                self._sid = json.loads((await response.text())[1:])["sid"]
            self._reader = asyncio.ensure_future(self._guarded(self._poll))
        else:
            self._websocket = await self._http.ws_connect(f"{self._url}&transport=websocket", max_msg_size=0)
            self._reader = asyncio.ensure_future(self._guarded(self._read, self._websocket))
        await self._send(f"40{NAMESPACE},")
        async with asyncio.timeout(PATIENCE_S):
            await self._joined

    async def upgrade(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """From polling to a websocket, in the protocol's three steps; ``meanwhile`` before the last."""
        if not self.polling or self.stalled or self.closed:
            return
        websocket = await self._http.ws_connect(
            f"{self._url}&transport=websocket&sid={self._sid}", max_msg_size=0
        )
        await websocket.send_str("2probe")
        answer = await websocket.receive_str(timeout=PATIENCE_S)
        assert answer == "3probe", answer
        self.polling = False  # the poll that is pending ends with a noop, and none follows
        assert self._reader is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._reader
        await meanwhile()
        await websocket.send_str("5")
        self._websocket = websocket
        self._reader = asyncio.ensure_future(self._guarded(self._read, websocket))

    async def close(self, *, politely: bool) -> None:
        """Go: with a goodbye, or by vanishing. Who polls says goodbye: its ping would be long in coming."""
        self.closed = True
        if self.polling or (politely and not self.stalled):
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._send("1")
        tasks = [task for task in (self._reader, *self.joining) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._websocket is not None and politely and not self.stalled:
            await self._websocket.close()
        await self._http.close()

    # --- asking

    def join(self, label: str, since: int | None) -> None:
        """Begin to watch; the answer is waited for by ``settled``."""
        self.joining.append(asyncio.ensure_future(self._guarded(self._join, label, since)))

    async def _join(self, label: str, since: int | None) -> None:
        answer = await self._ask("join", label, since)
        assert answer == "ok", answer

    async def leave(self, label: str) -> None:
        """Stop watching; nothing of the feed may come after the answer."""
        await self.settled()
        if label in self.memberships:
            await self._ask("leave", label, None)
            del self.memberships[label]

    async def settled(self) -> None:
        """Wait for every answer that is due."""
        joining, self.joining = self.joining, []
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*joining)

    async def _ask(self, *args: Any) -> Any:
        number = self._next_ack
        self._next_ack += 1
        self._acks[number] = asyncio.get_running_loop().create_future()
        await self._send(f"42{NAMESPACE},{number}{json.dumps(args)}")
        async with asyncio.timeout(PATIENCE_S):
            return await self._acks[number]

    async def _send(self, packet: str) -> None:
        if self._websocket is not None:
            await self._websocket.send_str(packet)
            return
        async with self._http.post(f"{self._url}&transport=polling&sid={self._sid}", data=packet) as response:
            assert response.status == 200, await response.text()

    # --- reading

    def stall(self) -> None:
        """Read no more for now."""
        self.stalled = True
        self._reading.clear()
        if (transport := self._transport) is not None:
            transport.pause_reading()

    def resume(self) -> None:
        """Go on reading."""
        self.stalled = False
        self._reading.set()
        if (transport := self._transport) is not None:
            transport.resume_reading()

    @property
    def _transport(self) -> asyncio.ReadTransport | None:
        """What takes a websocket's bytes from the kernel: aiohttp would go on reading for a while."""
        connection = self._websocket._conn if self._websocket is not None else None
        return connection.transport if connection is not None else None  # type: ignore[return-value]

    async def _guarded(self, work: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await work(*args)
        except (AssertionError, aiohttp.ClientError, OSError, TimeoutError) as fault:
            if not self.closed:
                self.faults.append(f"{type(fault).__name__}: {fault}")

    async def _poll(self) -> None:
        while self.polling and not self.closed:
            await self._reading.wait()
            async with self._http.get(f"{self._url}&transport=polling&sid={self._sid}") as response:
                assert response.status == 200, await response.text()
                for packet in (await response.text()).split("\x1e"):
                    await self._take(packet)

    async def _read(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        while not self.closed:
            await self._reading.wait()
            message = await websocket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, f"{message.type.name} {message.data}"
            await self._take(message.data)

    async def _take(self, packet: str) -> None:
        head, body = packet[:2], packet[2:].removeprefix(f"{NAMESPACE},")
        if head[:1] == "2":
            await self._send("3")
        elif head == "40":
            self._joined.set_result(None)
        elif head == "42":
            _, label, fragments = json.loads(body)
            membership = self.memberships.get(label)
            assert membership is not None, f"told of {label} and not in it"
            for fragment in fragments:
                membership.take(fragment)
        elif head == "43":
            number, _, rest = body.partition("[")
            self._answered(int(number), json.loads("[" + rest)[0])
        else:
            assert head[:1] in "06", f"packet {packet[:40]}"

    def _answered(self, number: int, answer: Any) -> None:
        if isinstance(answer, dict):
            membership = self.memberships[answer["feed"]] = Membership(answer["since"])
            for fragment in answer["snapshot"]:
                membership.take(fragment)
            answer = "ok"
        future = self._acks.pop(number)
        if not future.done():
            future.set_result(answer)


def _small_socket(address: Any) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    made.setblocking(False)
    return made
