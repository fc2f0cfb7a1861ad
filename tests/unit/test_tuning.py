"""What a process asks of the kernel holds for the connections it accepts."""

import asyncio
import gc
import resource
import socket
import weakref
from collections.abc import Iterator

import pytest
import uvloop

from realtime import runtime

FRAME = b"x" * 64_000
RECEIVE_BUFFER_BYTES = 128 * 1024
"""Fixed, so that only our own end's bound is measured."""
KERNELS_TAKE_AT_MOST_BYTES = 1_500_000
"""Both ends of a loopback connection whose sender's window has grown; 4 MB without the bound."""


class Accepted(asyncio.Protocol):
    """Keeps the transport of the newest connection."""

    def __init__(self, made: list[asyncio.Transport]) -> None:
        self._made = made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "get_write_buffer_size")
        self._made.append(transport)  # type: ignore[arg-type]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=request.param)


def test_a_connection_is_sent_at_once_and_its_unsent_bytes_are_bounded(runner: asyncio.Runner) -> None:
    async def accept() -> tuple[int, int, int]:
        made: list[asyncio.Transport] = []
        listener = runtime.listening_socket("127.0.0.1", 0)
        server = await asyncio.get_running_loop().create_server(lambda: Accepted(made), sock=listener)
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        client.connect(listener.getsockname())
        reader, writer = await asyncio.open_connection(sock=client)
        while not made:
            await asyncio.sleep(0)
        for _ in range(200):  # windows grow with what is read
            made[0].write(FRAME)
            await reader.readexactly(len(FRAME))
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        taken = 0
        while made[0].get_write_buffer_size() == 0 and taken < 50_000_000:
            made[0].write(FRAME)
            taken += len(FRAME)
            await asyncio.sleep(0.005)
        peer = made[0].get_extra_info("socket")
        options = [
            peer.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_NODELAY, socket.TCP_NOTSENT_LOWAT)
        ]
        writer.close()
        made[0].abort()
        server.close()
        return options[0], options[1], taken

    with runner:
        no_delay, unsent_bytes, taken = runner.run(accept())
    assert no_delay == 1
    assert unsent_bytes == runtime.UNSENT_BYTES
    assert taken < KERNELS_TAKE_AT_MOST_BYTES


def test_a_port_that_is_taken_is_said() -> None:
    with runtime.listening_socket("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(OSError, match="in use"):
            runtime.listening_socket("127.0.0.1", first.getsockname()[1])


@pytest.fixture
def low_limit() -> Iterator[int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_on_open_files_is_lifted_to_what_the_machine_allows(low_limit: int) -> None:
    runtime.raise_open_files_limit()
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    allowed = (
        runtime.OPEN_FILES if low_limit == resource.RLIM_INFINITY else min(low_limit, runtime.OPEN_FILES)
    )
    assert soft == allowed


class Cycle:
    """An object that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


def test_new_cycles_are_freed_in_short_collections(runner: asyncio.Runner) -> None:
    """The automatic ones examine what has gathered, and have not come when few objects were made."""
    generations: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            generations.append(info["generation"])

    async def collect() -> None:
        made = weakref.ref(Cycle())
        collector = runtime.Collector(every_s=0.001, middle_every=3)
        collector.start()
        while made() is not None or 1 not in generations:
            await asyncio.sleep(0.001)
        collector.stop()
        seen = len(generations)
        await asyncio.sleep(0.01)
        assert len(generations) == seen

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    try:
        runtime.tune_garbage_collector()
        with runner:
            runner.run(asyncio.wait_for(collect(), 20))
    finally:
        gc.callbacks.remove(note)
        gc.set_threshold(*thresholds)
    assert set(generations) == {0, 1}, "none examines every connection"
    assert generations[:3] == [0, 0, 1]
