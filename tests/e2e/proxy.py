"""A TCP proxy that spoils connections the way networks do. Each fault has a name.

``half_open``: what is connected goes silent both ways and stays open at both ends, as when a phone changes
its network: nobody is told. New connections are fine.
``stall``: bytes stop for now and go on after ``resume``.
``one_byte_writes``: every byte arrives by itself, as a hostile or a very bad network would have it.
``accept_then_lose_reply``: what the client sends arrives, what the server answers from now on does not, and
then the connection breaks: the client cannot know whether it was heard.
``refuse``: connections are aborted and new ones refused, as without a network, until ``accept``.
"""

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field

CHUNK = 65_536


@dataclass(eq=False)
class Pair:
    """One client's connection and the one made for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    silent: bool = False
    loses_replies: bool = False
    server_gone: asyncio.Event = field(default_factory=asyncio.Event)
    """The server has closed its end."""

    def close(self) -> None:
        for writer in (self.client, self.server):
            writer.close()

    def abort(self) -> None:
        """Close both ends at once; what is in between is lost."""
        for writer in (self.client, self.server):
            writer.transport.abort()


class Proxy:
    """``async with Proxy(port) as proxy``; ``proxy.url``. ``target`` is where new connections go."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.one_byte_writes = False
        self.pairs: list[Pair] = []
        self.lingering: list[Pair] = []
        self._open = asyncio.Event()
        self._open.set()
        self._server: asyncio.Server | None = None
        self._refuses = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pair in [*self.pairs, *self.lingering]:
            pair.close()

    # --- faults

    def half_open(self, *, client_knows: bool = False) -> list[Pair]:
        """See above; gives what lingers now. ``client_knows``: the phone has seen its network change."""
        lost, self.pairs = self.pairs, []
        for pair in lost:
            pair.silent = True
            if client_knows:
                pair.client.close()
        self.lingering += lost
        return lost

    def stall(self) -> None:
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    def accept_then_lose_reply(self) -> None:
        for pair in self.pairs:
            pair.loses_replies = True

    def refuse(self) -> None:
        self._refuses = True
        for pair in self.pairs:
            pair.abort()

    def accept(self) -> None:
        self._refuses = False

    # --- how

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        if self._refuses:
            Pair(writer, forth).abort()
            return
        for stream in (writer, forth):
            stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(writer, forth)
        self.pairs.append(pair)
        for source, sink, is_reply in ((reader, forth, False), (back, writer, True)):
            task = asyncio.create_task(self._pump(pair, source, sink, is_reply=is_reply))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, pair: Pair, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await self._open.wait()
                if self._refuses:
                    break
                if pair.silent:
                    continue
                if is_reply and pair.loses_replies:
                    pair.close()  # the request was heard, its answer is not
                    break
                await self._write(sink, data)
        if is_reply:
            pair.server_gone.set()
        if not pair.silent:
            # A silent pair stays open at its other end: nobody is told.
            pair.close()
            if pair in self.pairs:
                self.pairs.remove(pair)

    async def _write(self, sink: asyncio.StreamWriter, data: bytes) -> None:
        if not self.one_byte_writes:
            sink.write(data)
            await sink.drain()
            return
        for at in range(len(data)):
            sink.write(data[at : at + 1])
            await sink.drain()
