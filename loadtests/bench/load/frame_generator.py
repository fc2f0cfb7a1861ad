"""Shows viewers ready frames as fast as the kernel takes them: what the load client can count at most.

It speaks just enough to let viewers in, then writes blocks of many whole frames to each in turn. No server
does less for a frame. PORT by environment; ends on SIGTERM. Every viewer gets every frame: the next waits
until the kernel has taken the whole block.
"""

import os
import selectors
import socket
import time
from base64 import b64encode
from hashlib import sha1
from itertools import count
from typing import Final

from realtime.fanout.engineio.frames import text_frame

FRAMES_A_BLOCK: Final = 64
QUIET_S: Final = 1.0
"""So long after the last viewer came the shower begins."""
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPEN: Final = (
    b'0{"sid":"blaster","upgrades":[],"pingInterval":20000,"pingTimeout":15000,"maxPayload":1000000}'
)


class Watcher:
    """One viewer: let in step by step, then written to."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.steps = 0

    def answer(self, request: bytes) -> bytes:
        """What is said next: the upgrade, the namespace, the watch's ack."""
        self.steps += 1
        if self.steps == 1:
            key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
            accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + text_frame(_OPEN)
        if self.steps == 2:
            return text_frame(b'40/watch,{"sid":"w"}')
        return text_frame(b'43/watch,0[{"ok":true,"feed":"vendor:north"}]')


def block(seq: int) -> bytes:
    """Frames of about 150 bytes, each with a position of its own."""
    frame = (
        '42/watch,["positions","vendor:north",[["b1-0001","0190a000-0000-7000-8000-000000000001",'
        "[{seq},{t_ms},53.406541,-2.969213,8.3,31.5,4.8,31.5,87]]]]"
    )
    t_ms = time.time_ns() // 1_000_000
    return b"".join(
        text_frame(frame.format(seq=n, t_ms=t_ms).encode()) for n in range(seq, seq + FRAMES_A_BLOCK)
    )


class Blaster:
    """The server."""

    def __init__(self, port: int) -> None:
        self._selector = selectors.EpollSelector()
        self._server = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._server.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._watchers: dict[int, Watcher] = {}
        self._last_s = time.monotonic()

    def serve(self) -> None:
        """For ever: let in who comes, and shower everybody once nobody has come for a while."""
        for seq in count(1, FRAMES_A_BLOCK):
            everybody = list(self._watchers.values())
            quiet = everybody and time.monotonic() - self._last_s > QUIET_S
            for key, _ in self._selector.select(0 if quiet else 0.05):
                if key.fileobj is self._server:
                    self._let_in()
                elif (watcher := self._watchers.get(key.fd)) is not None:
                    self._hear(watcher)
            if quiet and all(watcher.steps >= 3 for watcher in everybody):
                shower = block(seq)
                for watcher in everybody:
                    self._show(watcher, shower)

    def _let_in(self) -> None:
        sock, _ = self._server.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._watchers[sock.fileno()] = Watcher(sock)
        self._selector.register(sock, selectors.EVENT_READ)

    def _hear(self, watcher: Watcher) -> None:
        try:
            request = watcher.sock.recv(65536)
        except OSError:
            request = b""
        if not request:
            self._drop(watcher)
            return
        self._last_s = time.monotonic()
        is_over = watcher.steps == 0 and not request.startswith(b"GET /socket.io/")
        try:
            if is_over:
                watcher.sock.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            elif watcher.steps < 3:
                watcher.sock.send(watcher.answer(request))
        except OSError:
            is_over = True
        if is_over:
            self._drop(watcher)

    def _show(self, watcher: Watcher, data: bytes) -> None:
        try:  # one that was dropped a moment ago has a closed socket
            watcher.sock.settimeout(5.0)
            watcher.sock.sendall(data)
            watcher.sock.setblocking(False)
        except OSError:
            self._drop(watcher)

    def _drop(self, watcher: Watcher) -> None:
        if self._watchers.pop(watcher.sock.fileno(), None) is not None:
            self._selector.unregister(watcher.sock)
        watcher.sock.close()


def main() -> None:
    """Serve until SIGTERM."""
    Blaster(int(os.environ["PORT"])).serve()


if __name__ == "__main__":
    main()
