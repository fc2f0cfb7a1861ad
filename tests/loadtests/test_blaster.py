"""The ceiling is measured in every round: the blaster outlives the viewers of the one before."""

import socket
import struct

from loadtests.bench.load.frame_generator import Blaster, Watcher

ASK = b"GET /socket.io/ HTTP/1.1\r\nSec-WebSocket-Key: a2V5\r\n\r\n"


def let_in(blaster: Blaster) -> tuple[Watcher, socket.socket]:
    """A viewer on a real connection that has asked for a websocket."""
    client = socket.create_connection(blaster._server.getsockname())
    while not blaster._watchers:
        blaster._selector.select(1.0)
        blaster._let_in()
    client.sendall(ASK)
    return next(iter(blaster._watchers.values())), client


def vanish(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def test_a_viewer_that_was_dropped_a_moment_ago_is_shown_nothing() -> None:
    blaster = Blaster(0)
    watcher, client = let_in(blaster)
    vanish(client)
    blaster._hear(watcher)
    blaster._hear(watcher)
    assert blaster._watchers == {}
    blaster._show(watcher, b"x")


def test_a_viewer_that_vanishes_in_the_middle_of_a_shower_ends_only_itself() -> None:
    blaster = Blaster(0)
    watcher, client = let_in(blaster)
    vanish(client)
    for _ in range(3):
        blaster._show(watcher, b"x" * 1_000_000)
    assert blaster._watchers == {}
