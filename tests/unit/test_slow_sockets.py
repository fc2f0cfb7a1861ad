"""What is kept for a client that reads slowly: bounded by websocket and by long-polling alike."""

from typing import Any, cast

import pytest

from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.polling import QUEUED_FRAME_BYTES
from realtime.fanout.engineio.server import EngineServer
from realtime.fanout.engineio.session import EngineSocket, broadcast

LIMIT, HARD_LIMIT = 10_000, 40_000
FRAME = Frame(b'2/watch,["positions",1]')


class FakeServer:
    """Remembers who was cut off."""

    hard_limit_bytes = HARD_LIMIT

    class reason:  # noqa: N801  as python-engineio calls it
        TRANSPORT_ERROR = "transport error"

    def __init__(self) -> None:
        self.ending: list[Any] = []

    def background(self, work: Any) -> None:
        work.close()
        self.ending.append(work)


class FakeWire:
    """A websocket's transport with ``unread_bytes`` in its buffer."""

    def __init__(self, unread_bytes: int) -> None:
        self.unread_bytes = unread_bytes
        self.written: list[bytes] = []

    def get_write_buffer_size(self) -> int:
        return self.unread_bytes

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


def by_websocket(unread_bytes: int) -> EngineSocket:
    made = EngineSocket(cast(EngineServer, FakeServer()), "s1")
    made.outbox = None
    made.wire = cast(Any, FakeWire(unread_bytes))
    return made


def by_polling(unread_bytes: int) -> EngineSocket:
    made = EngineSocket(cast(EngineServer, FakeServer()), "s1")
    assert made.outbox is not None
    made.outbox.put(Frame(b"x" * (unread_bytes - QUEUED_FRAME_BYTES)))
    return made


def written(socket: EngineSocket) -> int:
    """How many frames of these tests it was given."""
    if socket.wire is not None:
        return len(cast(FakeWire, socket.wire).written)
    return 0 if socket.outbox is None else len(socket.outbox.take()) - 1


@pytest.mark.parametrize("by", [by_websocket, by_polling])
def test_a_broadcast_skips_who_has_more_than_the_limit_unread(by: Any) -> None:
    slow, fine = by(LIMIT + 1), by(LIMIT)
    assert broadcast(FRAME, [slow, fine], LIMIT) == [slow]
    assert (written(slow), written(fine)) == (0, 1)


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("by", [by_websocket, by_polling])
def test_beyond_the_hard_limit_a_client_is_cut_off_and_given_nothing(by: Any, together: bool) -> None:
    stuck, slow = by(HARD_LIMIT + 1), by(HARD_LIMIT)
    for socket in (stuck, slow):
        if together:
            socket.write_together([FRAME])
        else:
            socket.write(FRAME)
    assert (stuck.closing, slow.closing) == (True, False)
    assert (written(stuck), written(slow)) == (0, 1)
