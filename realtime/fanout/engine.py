"""Engine.IO sessions that write ready frames straight to their transport.

python-engineio gives every client a queue without a bound and a writer task; here a websocket client has
neither. Bytes not yet taken by the kernel are the only backlog, so they can be measured and bounded.
Underscore names of python-engineio are used on purpose; tests/fanout/test_contract.py fails when they move.
"""

import asyncio
import base64
import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from aiohttp import ClientError, StreamReader, web
from engineio import exceptions, packet
from engineio.async_socket import AsyncSocket

from realtime.fanout import frames
from realtime.fanout.frames import Frame
from realtime.fanout.websocket import CLOSE_GRACE_S, DirectWebSocket, Wire, put

if TYPE_CHECKING:
    from realtime.fanout.engineserver import EngineServer

HARD_LIMIT_FACTOR: Final = 16
"""A client that leaves this many times its soft limit unread while it asks for more is cut off. Room enough
for the answers to several journeys watched at once over a slow line."""
QUEUED_PACKET_BYTES: Final = 600
"""What python-engineio's packet and queue hold beside the text of one that waits for a poll."""


class EngineSocket(AsyncSocket):
    """One client. ``write`` never waits; ``buffered_bytes`` says how far behind the client is."""

    def __init__(self, server: "EngineServer", sid: str) -> None:
        super().__init__(server, sid)
        self.closing: bool
        self.closed: bool
        self.upgrading: bool
        self.last_ping: float | None
        self.wire: Wire | None = None
        self._probing: Wire | None = None
        self._queued_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # --- out

    @property
    def buffered_bytes(self) -> int:
        """Bytes accepted for this client that its kernel socket or its next poll has not taken."""
        return self._queued_bytes if self.wire is None else self.wire.get_write_buffer_size()

    @property
    def is_leaving(self) -> bool:
        """Whether the session has ended or begun to."""
        return bool(self.closing or self.closed)

    def write(self, frame: Frame) -> None:
        """Send ``frame`` now, in order. A client far beyond its limit is cut off instead."""
        if self.closed:
            return
        if self.buffered_bytes > self.server.buffer_limit_bytes * HARD_LIMIT_FACTOR:
            self.abort()
            return
        if self.wire is not None:
            put(self.wire, frame.wire)
        else:
            self._queued_bytes += len(frame.packet) + QUEUED_PACKET_BYTES
            self.queue.put_nowait(_Queued(frame))

    def write_together(self, several: Sequence[Frame]) -> None:
        """Send these frames with nothing between them, in one write: a packet and its binary attachments."""
        if self.wire is None:
            for frame in several:
                self.write(frame)
        elif len(several) == 1:
            self.write(several[0])
        elif not self.closed:
            if self.buffered_bytes > self.server.buffer_limit_bytes * HARD_LIMIT_FACTOR:
                self.abort()
            else:
                put(self.wire, b"".join([frame.wire for frame in several]))

    async def send(self, pkt: packet.Packet) -> None:
        """python-engineio's own way out (handshake, stock emits)."""
        if self.closed:
            raise exceptions.SocketIsClosedError()
        if self.wire is None:
            encoded = pkt.encode()
            self._queued_bytes += len(encoded) + QUEUED_PACKET_BYTES
            self.queue.put_nowait(pkt)
            return
        self.write(_frame_of(pkt))

    async def poll(self) -> list[packet.Packet]:
        packets = cast(list[packet.Packet], await super().poll())
        self._queued_bytes = 0
        if self.closing:
            self._loop.call_soon(self._finish)
        return packets

    # --- heartbeat: one timer a client, no task

    def schedule_ping(self) -> None:
        self.last_ping = None
        self._arm(self.server.ping_interval, self._ping)

    def _ping(self) -> None:
        if self.closed or self.closing:
            return
        self.last_ping = time.time()
        self.write(_PING)
        self._arm(self.server.ping_timeout, self._gone)

    def _gone(self) -> None:
        self._spawn_close(self.server.reason.PING_TIMEOUT)

    def _arm(self, delay_s: float, action: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay_s, action)

    async def check_ping_timeout(self) -> bool:
        if self.closed:
            raise exceptions.SocketIsClosedError()
        return True

    # --- the end

    def abort(self, reason: str | None = None) -> None:
        """Cut the client off without waiting for it to read what is pending."""
        if self.wire is not None:
            self.wire.abort()
        self._spawn_close(reason or self.server.reason.TRANSPORT_ERROR)

    def _spawn_close(self, reason: str) -> None:
        if not self.closed and not self.closing:
            self.server.background(self.close(wait=False, abort=True, reason=reason))

    async def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        """End the session. Idempotent. ``disconnect`` handlers run first, then the transport goes."""
        if self.closed or self.closing:
            return
        self.closing = True
        await self.server._trigger_event(
            "disconnect", self.sid, reason or self.server.reason.SERVER_DISCONNECT, run_async=False
        )
        if not abort:
            with contextlib.suppress(exceptions.SocketIsClosedError):
                self.write(_CLOSE)
        wire = self.wire
        if wire is None:
            self.queue.put_nowait(None)
            if not abort:  # what was said last waits for one more poll
                self._loop.call_later(CLOSE_GRACE_S, self._finish)
                return
        elif abort:
            wire.abort()
        else:
            put(wire, frames.WS_CLOSE_GOING_AWAY)
            wire.close()
            self._loop.call_later(CLOSE_GRACE_S, wire.abort)
        self._finish()

    def _finish(self) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.server.sockets.pop(self.sid, None)
        if self._probing is not None:
            self._probing.close()

    # --- websocket

    async def _websocket_handler(self, ws: DirectWebSocket) -> None:
        if self.connected and not await self._upgraded_by(ws):
            return
        self._go_direct(ws)
        try:
            await self._read(ws)
        finally:
            await self.close(wait=False, abort=True, reason=self.server.reason.TRANSPORT_CLOSE)

    async def _upgraded_by(self, ws: DirectWebSocket) -> bool:
        """The probe of a client that comes from polling. False leaves it on polling."""
        if self.upgrading or self.is_leaving:
            return False
        self.upgrading = True
        self._probing = ws.transport
        try:
            async with asyncio.timeout(self.server.ping_timeout):
                if await ws.wait() != "2probe":
                    return False
                await ws.send("3probe")
                self.queue.put_nowait(packet.Packet(packet.NOOP))  # ends the pending poll
                if await ws.wait() != "5":
                    return False
        except (OSError, TimeoutError):
            return False
        finally:
            self.upgrading = False
            self._probing = None
        return not self.is_leaving

    def _go_direct(self, ws: DirectWebSocket) -> None:
        """Flush what polling left and switch, with no ``await`` in between, so that no order is lost."""
        self.connected = True
        self.upgraded = True
        left: list[packet.Packet] = []
        while not self.queue.empty():
            pending = self.queue.get_nowait()
            if pending is not None and pending.packet_type != packet.NOOP:
                left.append(pending)
        self._queued_bytes = 0
        self.wire = ws.transport
        for pending in left:
            put(self.wire, _frame_of(pending).wire)

    async def _read(self, ws: DirectWebSocket) -> None:
        while not self.closed:
            try:
                data = await ws.wait()
            except OSError:
                return
            try:
                await self._received(data)
            except exceptions.EngineIOError:
                return

    # --- in, by either transport

    async def _received(self, data: str | bytes) -> None:
        """One packet of the client, a message as raw text. Raises EngineIOError for what no client sends."""
        if isinstance(data, bytes):
            await self._heard(data)
        elif data[:1] == "b":
            await self._heard(_unbase64(data[1:]))
        elif data[:1] == "4":
            await self._heard(data[1:])
        elif data == "3":
            if not self.is_leaving:
                self.schedule_ping()
        elif data == "1":
            await self.close(wait=False, abort=True, reason=self.server.reason.CLIENT_DISCONNECT)
        else:
            raise exceptions.UnknownPacketError()

    async def _heard(self, message: str | bytes) -> None:
        receiver = self.server.receiver
        if receiver is None:
            await self.server._trigger_event(
                "message", self.sid, message, run_async=self.server.async_handlers
            )
        elif (pending := receiver(self, message)) is not None:
            await pending

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Packets of a polling client. A body that ends early, is too long or is no text ends the session."""
        body = await self._body(environ["wsgi.input"])
        for encoded in body.split("\x1e") if body else ():
            if self.closed:
                return
            await self._received(encoded)

    async def _body(self, stream: StreamReader) -> str:
        body = bytearray()
        try:
            async with asyncio.timeout(self.server.ping_timeout):
                while part := await stream.readany():
                    body += part
                    if len(body) > self.server.max_http_buffer_size:
                        raise exceptions.ContentTooLongError()
            return body.decode()
        except (OSError, TimeoutError, UnicodeDecodeError, ClientError, web.RequestPayloadError) as error:
            if self.closed:
                return ""
            raise exceptions.EngineIOError() from error


def _unbase64(text: str) -> bytes:
    """As lenient as Node's parser: what is no base64 is skipped, padding may be missing."""
    try:
        return base64.b64decode(text + "==")
    except ValueError:
        return b""


class _Queued(packet.Packet):
    """A frame that waits for a poll."""

    def __init__(self, frame: Frame) -> None:
        super().__init__(packet.MESSAGE)
        self.frame = frame

    def encode(self, b64: bool = False) -> str:
        return self.frame.polled.decode()


def _frame_of(pkt: packet.Packet) -> Frame:
    if isinstance(pkt, _Queued):
        return pkt.frame
    encoded = pkt.encode()
    return Frame(encoded.encode()) if isinstance(encoded, str) else Frame.binary(encoded)


_PING: Final = Frame(frames.PING)
_CLOSE: Final = Frame(frames.CLOSE)
