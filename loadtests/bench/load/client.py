"""Raw Socket.IO clients on one epoll loop: so lean that a server is what limits, thousands in one process.

No task, no future, no library a client: a readable socket is one call of a bound method. Frames of clients
are masked with a key that is not zero, as those of browsers are: a server may take a shortcut for zeros.
"""

import errno
import os
import select
import socket
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable
from typing import Final

BUFFER_BYTES: Final = 512 * 1024
CONNECTING_AT_ONCE: Final = 128
CONNECT_TIMEOUT_S: Final = 90.0
_MASK: Final = 0x5A
_KEY: Final = bytes((_MASK,)) * 4
_MASKED: Final = bytes(byte ^ _MASK for byte in range(256))
_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT
_ENDED: Final = select.EPOLLHUP | select.EPOLLERR
_TEXT: Final = 0x81
_CLOSE: Final = 0x88


def masked(payload: bytes) -> bytes:
    """``payload`` as one final text frame of a client (RFC 6455 §5.3)."""
    size = len(payload)
    body = payload.translate(_MASKED)
    if size < 126:
        return b"%c%c%b%b" % (_TEXT, 0x80 | size, _KEY, body)
    if size < 65_536:
        return b"\x81\xfe" + size.to_bytes(2, "big") + _KEY + body
    return b"\x81\xff" + size.to_bytes(8, "big") + _KEY + body


def frame_at(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at ``at`` begins and ends; (0, 0) while its header is not there.

    The end may lie behind the end of ``data``.
    """
    have = len(data) - at
    if have < 2:
        return 0, 0
    size = data[at + 1]
    if size < 126:
        return at + 2, at + 2 + size
    if size == 126:
        if have < 4:
            return 0, 0
        return at + 4, at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
    if have < 10:
        return 0, 0
    return at + 10, at + 10 + int.from_bytes(data[at + 2 : at + 10], "big")


class Client:
    """One connection to one namespace. A subclass overrides ``joined`` and ``told``; a busy one ``readable``.

    ``ready`` is true once it takes part; until then the loop lets only so many connect at once.
    """

    __slots__ = ("_buffer", "_connect", "_joined", "_loop", "address", "fd", "ready", "sock", "unsent")

    def __init__(self, loop: "Loop", address: tuple[str, int], namespace: bytes, token: str) -> None:
        self._loop = loop
        self._connect = b'40%b,{"token":"%b"}' % (namespace, token.encode())
        self._joined = b"40" + namespace + b","
        self._buffer = b""
        self.address = address
        self.ready = False
        self.unsent = b""
        self.fd = -1
        self.sock: socket.socket | None = None

    # --- for a subclass

    def joined(self) -> None:
        """The server let us in. Sets ``ready`` at once or later, through ``done``."""
        self.done()

    def told(self, payload: bytes) -> None:
        """One Engine.IO message, its leading ``4`` included."""

    # --- what it can do

    def done(self) -> None:
        """It takes part now."""
        if not self.ready:
            self.ready = True
            self._loop.became_ready()

    def say(self, payload: bytes) -> None:
        """Send one Engine.IO packet."""
        self.write(masked(payload))

    def write(self, data: bytes) -> None:
        """Send ready frames; what the kernel does not take now follows when it does."""
        if self.sock is None:
            return
        if self.unsent:
            self.unsent += data
            return
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.lost(errno.errorcode.get(error.errno or 0, "OSError"))
            return
        if sent < len(data):
            self.unsent = data[sent:]
            self._loop.modify(self, _READ | _WRITE)

    def close(self) -> None:
        """Hang up, without ceremony."""
        if self.sock is not None:
            self._loop.forget(self)
            self.sock.close()
            self.sock = None

    def lost(self, reason: str) -> None:
        """It was cut off: an error, since a client that came back would hide it."""
        self.close()
        self._loop.errors[f"lost: {reason}"] += 1

    # --- the loop's side

    def open(self, source: str | None, receive_bytes: int | None) -> None:
        """Begin to connect. ``source``: the address to come from; ``receive_bytes``: the kernel's buffer."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if source is not None:
            sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: a port for each target
            sock.bind((source, 0))
        found = sock.connect_ex(self.address)
        if found not in (0, errno.EINPROGRESS):
            raise OSError(found, os.strerror(found))
        self.sock, self.fd = sock, sock.fileno()
        host, port = self.address
        self.unsent = (
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {b64encode(os.urandom(16)).decode()}\r\n\r\n"
        ).encode()
        self._loop.add(self, _READ | _WRITE)

    def writable(self) -> None:
        """The kernel takes more."""
        data, self.unsent = self.unsent, b""
        self._loop.modify(self, _READ)
        self.write(data)

    def readable(self) -> None:
        """Something came."""
        data = self.received()
        if data:
            self.take(bytes(data))

    def received(self) -> memoryview:
        """What the kernel has, in the loop's own buffer; empty when there is nothing or all is over."""
        assert self.sock is not None
        try:
            size = self.sock.recv_into(self._loop.buffer)
        except BlockingIOError:
            return self._loop.view[:0]
        except OSError as error:
            self.lost(errno.errorcode.get(error.errno or 0, "OSError"))
            return self._loop.view[:0]
        if size == 0:
            self.lost("connection closed")
        return self._loop.view[:size]

    def take(self, data: bytes) -> None:
        """Take what came apart into messages."""
        data = self._buffer + data
        at = 0
        if data[:5] == b"HTTP/":
            at = data.find(b"\r\n\r\n") + 4
            if at == 3:
                self._buffer = data
                return
            if not data.startswith(b"HTTP/1.1 101"):
                self.lost(data.split(b"\r\n", 1)[0].decode(errors="replace"))
                return
        while True:
            begin, end = frame_at(data, at)
            if begin == 0 or end > len(data):
                break
            self._frame(data[at], data[begin:end])
            if self.sock is None:
                return
            at = end
        self._buffer = data[at:]

    def _frame(self, kind: int, payload: bytes) -> None:
        first = payload[:1]
        if kind == _TEXT and first == b"4":
            if payload.startswith(self._joined):
                self.joined()
            elif payload[:2] == b"44":
                self.lost("refused: " + payload[2:120].decode(errors="replace"))
            else:
                self.told(payload)
        elif kind == _TEXT and first == b"2":
            self.say(b"3")
        elif kind == _TEXT and first == b"0":
            self.say(self._connect)
        elif kind == _CLOSE or (kind == _TEXT and first == b"1"):
            self.lost("server closed the session")


class Loop:
    """Epoll, the clients on it, and the time. ``errors`` counts whatever must not happen."""

    def __init__(self) -> None:
        self.buffer = bytearray(BUFFER_BYTES)
        self.view = memoryview(self.buffer)
        self.errors: Counter[str] = Counter()
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self._ready = 0

    def add(self, client: Client, events: int) -> None:
        """Watch ``client``'s socket."""
        self._clients[client.fd] = client
        self._epoll.register(client.fd, events)

    def modify(self, client: Client, events: int) -> None:
        """Wait for other ``events``; 0 = only for its end."""
        if client.sock is not None:
            self._epoll.modify(client.fd, events)

    def forget(self, client: Client) -> None:
        """Do not watch it any more."""
        if self._clients.pop(client.fd, None) is not None:
            self._epoll.unregister(client.fd)

    def became_ready(self) -> None:
        """One more client takes part."""
        self._ready += 1

    def connect(
        self,
        clients: list[Client],
        sources: list[str | None],
        at_once: int = CONNECTING_AT_ONCE,
        receive_bytes: int | None = None,
    ) -> float:
        """Connect all ``clients``, ``at_once`` at a time; returns how many seconds it took.

        Raises TimeoutError when they are not all in after 90 s, ConnectionError when one was refused.
        """
        begun_s = time.perf_counter()
        target, opened = self._ready + len(clients), 0
        first = self._ready
        while self._ready < target:
            while opened < len(clients) and opened - (self._ready - first) < at_once:
                clients[opened].open(sources[opened % len(sources)], receive_bytes)
                opened += 1
            self.turn(0.5)
            if self.errors:
                raise ConnectionError(f"not let in: {dict(self.errors)}")
            if time.perf_counter() - begun_s > CONNECT_TIMEOUT_S:
                raise TimeoutError(f"{self._ready - first} of {len(clients)} clients came in")
        return time.perf_counter() - begun_s

    def turn(self, timeout_s: float) -> int:
        """Wait at most ``timeout_s``, let the clients deal with what happened; how much it was."""
        clients = self._clients
        happened = self._epoll.poll(timeout_s)
        for fd, events in happened:
            client = clients.get(fd)
            if client is None:
                continue
            if events & _WRITE:
                client.writable()
            if client.sock is None:
                continue
            if events & _READ:
                client.readable()
            elif events & _ENDED:
                client.lost("hung up")
        return len(happened)

    def run(self, until_s: float, pause_s: Callable[[float], float]) -> None:
        """Turn until ``until_s``. ``pause_s(now)`` does what is due and says for how long nothing will be."""
        while (now_s := time.perf_counter()) < until_s:
            self.turn(min(pause_s(now_s), until_s - now_s))
