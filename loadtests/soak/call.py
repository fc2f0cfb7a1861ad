"""One connection of somebody who takes part in a soak: asks, hears, hangs up."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from loadtests.wire import RawSocket, client_frame

JOIN_TIMEOUT_S: Final = 15.0
ANSWER_TIMEOUT_S: Final = 15.0
OnEvent = Callable[[str], None]
"""Gets an event's name."""


class Call(RawSocket):
    """Asks with acks; `ask` and `joined` raise ConnectionError when the line is dead or refused."""

    def __init__(self, host: str, namespace: str, token: str, on_event: OnEvent) -> None:
        super().__init__(host, namespace.encode(), msgspec.json.encode({"token": token}))
        self._namespace = namespace.encode()
        self._on_event = on_event
        self._next_id = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._joining: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: str | None = None

    async def joined(self) -> None:
        """Returns once the server has let us in."""
        await self._in_time(self._joining, JOIN_TIMEOUT_S)

    async def ask(self, event: str, payload: Any) -> Any:
        """The answer to ``event``."""
        if self.lost is not None:
            raise ConnectionError(self.lost)
        self._next_id += 1
        ack_id = self._next_id
        future = self._asked[ack_id] = asyncio.get_running_loop().create_future()
        self.say(b"2%b,%d%b" % (self._namespace, ack_id, msgspec.json.encode([event, payload])))
        try:
            return await self._in_time(future, ANSWER_TIMEOUT_S)
        finally:
            self._asked.pop(ack_id, None)

    def stop_reading(self) -> None:
        """Take nothing more from the kernel: a phone in a tunnel, a tab that hangs."""
        if self.transport is not None:
            self.transport.pause_reading()

    def leave(self, politely: bool) -> None:
        """Hang up: with Engine.IO's goodbye, or by a reset as a lost network does."""
        transport = self.transport
        if politely and transport is not None:
            transport.write(client_frame(b"1"))
            self.transport, self._closed = None, True
            transport.close()
        else:
            self.close()

    # --- what the socket tells

    def on_joined(self) -> None:
        """The server let us in."""
        if not self._joining.done():
            self._joining.set_result(None)

    def on_message(self, message: bytes) -> None:
        """An answer, an event, or a refusal."""
        kind, body = message[:1], message[len(self._namespace) + 2 :]
        if kind == b"3":
            ack_id, _, answer = body.partition(b"[")
            future = self._asked.get(int(ack_id))
            if future is not None and not future.done():
                future.set_result(msgspec.json.decode(b"[" + answer)[0])
        elif kind == b"2":
            self._on_event(msgspec.json.decode(body)[0])
        else:
            self.close()
            self.on_lost("refused: " + body[:120].decode(errors="replace"))

    def on_lost(self, reason: str) -> None:
        """Wake whoever waits."""
        self.lost = reason
        for future in (self._joining, *self._asked.values()):
            if not future.done():
                future.set_exception(ConnectionError(reason))
        if not self._asked and self._joining.done():
            self._joining.exception()  # retrieved: nobody may be waiting for it any more

    async def _in_time(self, future: "asyncio.Future[Any]", timeout_s: float) -> Any:
        done, _ = await asyncio.wait({future}, timeout=timeout_s)
        if not done:
            raise ConnectionError("no answer")
        return future.result()


@asynccontextmanager
async def call(
    address: tuple[str, int],
    namespace: str,
    token: str,
    on_event: OnEvent,
    *,
    receive_bytes: int | None = None,
) -> AsyncIterator[Call]:
    """A connection that was let in, cut off when the block ends. Raises OSError, ConnectionError included.

    ``receive_bytes``: the kernel's buffer for what was not read.
    """
    loop = asyncio.get_running_loop()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    made: Call | None = None
    try:
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await asyncio.wait_for(loop.sock_connect(sock, address), JOIN_TIMEOUT_S)
        host = f"{address[0]}:{address[1]}"
        _, made = await loop.create_connection(lambda: Call(host, namespace, token, on_event), sock=sock)
        await made.joined()
        yield made
    finally:
        if made is None:
            sock.close()
        else:
            made.close()
