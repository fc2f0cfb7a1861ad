"""Engine.IO sessions that write ready frames straight to their transport and hear straight from it.

python-engineio gives every client a queue without a bound, a reader and a writer task; here a websocket
client has none of them. Bytes not yet taken by the kernel are the only backlog, so they can be measured and
bounded.
"""

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from engineio import exceptions, packet

from realtime.fanout.engineio import frames
from realtime.fanout.engineio.backlog import Backlog
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.polling import PollQueue, unbase64
from realtime.fanout.engineio.websocket import NORMAL, PROTOCOL_ERROR, WebSocket, Wire, put

if TYPE_CHECKING:
    from realtime.fanout.engineio.server import EngineServer
    from realtime.fanout.engineio.upgrade import Probe

log = logging.getLogger(__name__)

HARD_LIMIT_FACTOR: Final = 16
"""A client that leaves this many times its soft limit unread while it asks for more is cut off. Room enough
for the answers to several journeys watched at once over a slow line."""
UPGRADE_POLL_S: Final = 0.1
"""A poll that comes while a probe is under way is ended this soon: the client upgrades between its polls."""
LATER_S: Final = 0.01
"""How much later than what precedes it `EngineSocket.write_later` writes: long enough for two reads."""


class EngineSocket:
    """One client: what python-engineio's servers ask of their ``AsyncSocket``, and ``write``.

    ``wire`` is None while the client polls. ``buffered_bytes`` says how far behind it is.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_late",
        "_session",
        "_websocket",
        "closed",
        "closing",
        "connected",
        "is_posting",
        "outbox",
        "probe",
        "server",
        "sid",
        "upgraded",
        "wire",
    )

    def __init__(self, server: "EngineServer", sid: str) -> None:
        self.server = server
        self.sid = sid
        self.wire: Wire | None = None
        self.outbox: PollQueue | None = PollQueue()
        self.probe: Probe | None = None
        self.connected = False
        self.upgraded = False
        self.closing = False
        self.closed = False
        self.is_posting = False
        self._websocket: WebSocket | None = None
        self._backlog: Backlog | None = None
        self._late = b""
        self._session: dict[str, Any] | None = None

    @property
    def session(self) -> dict[str, Any]:
        """What an application keeps with the client."""
        if self._session is None:
            self._session = {}
        return self._session

    @session.setter
    def session(self, kept: dict[str, Any]) -> None:
        self._session = kept

    @property
    def is_leaving(self) -> bool:
        """Whether the session has ended or begun to."""
        return self.closing

    # --- out

    @property
    def buffered_bytes(self) -> int:
        """Bytes accepted for this client that its kernel socket or its next poll has not taken."""
        if self.wire is not None:
            return self.wire.get_write_buffer_size()
        return 0 if self.outbox is None else self.outbox.queued_bytes

    def write(self, frame: Frame) -> None:
        """Send ``frame`` now, in order. A client far beyond its limit is cut off instead."""
        wire = self.wire
        if self._late:
            self._write_late()
        if wire is None:
            self._queue(frame)
        elif wire.get_write_buffer_size() > self.server.hard_limit_bytes:
            self.abort()
        else:
            put(wire, frame.wire)

    def write_together(self, several: Sequence[Frame]) -> None:
        """Send these frames with nothing between them, in one write: a packet and its binary attachments."""
        wire = self.wire
        if self._late:
            self._write_late()
        if wire is None:
            for frame in several:
                self._queue(frame)
        elif wire.get_write_buffer_size() > self.server.hard_limit_bytes:
            self.abort()
        else:
            put(wire, b"".join([frame.wire for frame in several]))

    def write_later(self, several: Sequence[Frame]) -> None:
        """Send these frames by a later write than what was sent before them, and before what is sent next.

        A websocket client that attaches a listener for each message misses the second message of one read.
        """
        if self.wire is None:
            self.write_together(several)
            return
        if not self._late:
            asyncio.get_running_loop().call_later(LATER_S, self._write_late)
        self._late += b"".join([frame.wire for frame in several])

    def _write_late(self) -> None:
        late, self._late = self._late, b""
        if late and self.wire is not None:
            put(self.wire, late)

    def _queue(self, frame: Frame) -> None:
        outbox = self.outbox
        if outbox is None:
            return
        if outbox.queued_bytes > self.server.hard_limit_bytes:
            self.abort()
        else:
            outbox.put(frame)

    async def send(self, pkt: packet.Packet) -> None:
        """python-engineio's own way out."""
        if self.closed:
            raise exceptions.SocketIsClosedError()
        encoded = pkt.encode()
        self.write(Frame(encoded.encode()) if isinstance(encoded, str) else Frame.binary(bytes(encoded)))

    # --- heartbeat: two lines of the server, no timer and no task a client

    def schedule_ping(self) -> None:
        """The client is alive: ask again in a ping interval."""
        self.server.unanswered.discard(self)
        self.server.quiet.add(self)

    def ping(self) -> None:
        """Ask whether the client is there."""
        self.server.unanswered.add(self)
        self.write(_PING)

    def no_pong(self) -> None:
        """No pong came in time. While it is we who do not read, that says nothing."""
        if self._backlog is not None and self._backlog.is_full:
            self.server.unanswered.add(self)
        else:
            self.end(self.server.reason.PING_TIMEOUT)

    # --- in, by either transport

    def heard(self, data: str | bytes) -> None:
        """One packet by websocket. What no client sends ends it."""
        if not self.closing and not self.received(data):
            self.end(self.server.reason.TRANSPORT_ERROR, abort=False, code=PROTOCOL_ERROR)

    def lost(self) -> None:
        """The websocket has ended, or has said its last."""
        self._websocket = None
        self.wire = GONE
        self.end(self.server.reason.TRANSPORT_CLOSE)

    def received(self, data: str | bytes) -> bool:
        """Take one packet. False for what no client sends."""
        if isinstance(data, bytes):
            self._hear(data)
            return True
        kind = data[:1]
        if kind == "4":
            self._hear(data[1:])
        elif data == "3":
            self.schedule_ping()
        elif kind == "b":
            self._hear(unbase64(data[1:]))
        elif data == "1":
            self.end(self.server.reason.CLIENT_DISCONNECT)
        else:
            return False
        return True

    def _hear(self, message: str | bytes) -> None:
        if self._backlog is not None:
            self._backlog.add(message)
            if self.wire is not None and self._backlog.is_full:
                self.wire.pause_reading()
            return
        pending = self.server.deliver(self, message)
        if pending is not None:
            self._backlog = Backlog()
            self.server.background(self._work(pending, self._backlog))

    async def _work(self, pending: Awaitable[None] | None, backlog: Backlog) -> None:
        """Await what the receiver returned, then hand it what came meanwhile."""
        while True:
            try:
                if pending is not None:
                    await pending
            except Exception:
                log.exception("a message handler failed")
            if self.closing or not backlog:
                break
            was_full = backlog.is_full
            message = backlog.next()
            if was_full and not backlog.is_full and self.wire is not None:
                self.wire.resume_reading()
            pending = self.server.deliver(self, message)
        backlog.clear()
        self._backlog = None

    async def room(self) -> None:
        """Wait until more messages may be taken."""
        if self._backlog is not None:
            await self._backlog.room()

    # --- websocket

    @property
    def may_upgrade(self) -> bool:
        """Whether it is a polling session that goes on."""
        return self.connected and not self.upgraded and not self.closing

    def begin_upgrade(self, probe: "Probe") -> None:
        """``probe`` is the one that may complete; the pending poll ends."""
        self.probe = probe
        if self.outbox is not None:
            self.outbox.wake()

    def go_direct(self, websocket: WebSocket) -> None:
        """From now on by websocket: what waited for a poll first, and no ``await`` in between."""
        self.connected = True
        self.upgraded = True
        left = self._take_queued()
        self._websocket = websocket
        websocket.listener = self
        self.wire = websocket.transport
        if left:
            put(self.wire, left)

    def _take_queued(self) -> bytes:
        outbox, self.outbox = self.outbox, None
        if outbox is None:
            return b""
        outbox.wake()
        return b"".join([frame.wire for frame in outbox.take()])

    # --- the end

    def abort(self, reason: str | None = None) -> None:
        """Cut the client off without waiting for it to read what is pending."""
        if self._websocket is not None:
            self._websocket.abort()
            self._websocket = None
            self.wire = GONE
        self.end(reason or self.server.reason.TRANSPORT_ERROR)

    def end(self, reason: str, *, abort: bool = True, code: int = NORMAL) -> None:
        """Begin to end the session, once."""
        if not self.closing:
            self.closing = True
            self.server.background(self._end(reason, abort=abort, code=code))

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the session. Idempotent. ``disconnect`` handlers run first, then the transport goes."""
        if not self.closing:
            self.closing = True
            await self._end(reason or self.server.reason.SERVER_DISCONNECT, abort=abort)

    async def _end(self, reason: str, *, abort: bool, code: int = NORMAL) -> None:
        if abort and self.outbox is not None:
            self.outbox.wake()
            self.outbox = None
        try:
            await self.server._trigger_event("disconnect", self.sid, reason, run_async=False)
        finally:
            self._end_transport(abort, code)

    def _end_transport(self, abort: bool, code: int) -> None:
        if self.outbox is not None:
            self.outbox.put(_CLOSE)
            self.server.farewells.add(self)  # what was said last waits for one more poll
            return
        if self._websocket is not None:
            if abort:
                self._websocket.abort()
            else:
                self._write_late()
                self._websocket.close(code, _CLOSE.wire if code == NORMAL else b"")
        self.finish()

    def finish(self) -> None:
        """Nothing refers to the session any more, and it to nothing of its connection."""
        self.closed = True
        server = self.server
        for line in (server.quiet, server.unanswered, server.farewells):
            line.discard(self)
        server.sockets.pop(self.sid, None)
        if self.probe is not None:
            self.probe.fail()
        if self._backlog is not None:
            self._backlog.clear()
        if self.outbox is not None:
            self.outbox.wake()
            self.outbox = None
        self._websocket = None
        self._late = b""
        self.wire = GONE


def broadcast(frame: Frame, sockets: Iterable[EngineSocket], limit_bytes: int) -> list[EngineSocket]:
    """Write ``frame`` to each of ``sockets`` that has at most ``limit_bytes`` unread; returns the others."""
    data = frame.wire
    behind: list[EngineSocket] = []
    for socket in sockets:
        wire = socket.wire
        if wire is None:
            if socket.buffered_bytes > limit_bytes:
                behind.append(socket)
            else:
                socket.write(frame)
        elif wire.get_write_buffer_size() > limit_bytes:
            behind.append(socket)
        else:
            try:
                wire.write(data)
            except RuntimeError:  # uvloop's word for a connection that has just gone
                continue
    return behind


class _Gone:
    """The wire of a session that has ended."""

    def write(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0


GONE: Final = _Gone()
_PING: Final = Frame(frames.PING)
_CLOSE: Final = Frame(frames.CLOSE)
