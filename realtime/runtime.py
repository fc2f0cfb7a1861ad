"""What a process asks of Python and of the kernel before it serves: each value with its reason."""

import asyncio
import gc
import resource
import socket
from typing import Final

OPEN_FILES: Final = 262_144
BACKLOG: Final = 4_096
"""Connections that may wait to be accepted: a whole fleet comes back at once after a balancer was restarted.
The kernel lowers it to ``net.core.somaxconn``, which is 4,096 too."""
UNSENT_BYTES: Final = 128 * 1024
"""Bytes a client's kernel socket holds that have not been sent yet. Linux would take up to 4 MB for one that
stops reading (4.9 MB were taken before anything told us, 0.4 MB with this): memory that nobody counts, and
seconds of old positions ahead of the newest. What is on its way is not limited, so long lines stay fast."""


def raise_open_files_limit() -> None:
    """Lift our soft limit on open files, which children inherit, to the hard one (at most `OPEN_FILES`)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


COLLECT_EVERY_S: Final = 0.1
MIDDLE_EVERY: Final = 10
"""Of the collections of new objects every tenth examines also those that survived one."""


def tune_garbage_collector() -> None:
    """Collect less often. Reference counting frees what the hot paths make; collections at the default rate
    took a quarter of the time at hundreds of viewers, and found next to nothing.

    The thresholds are for what makes 50,000 objects between two collections of a `Collector`.
    """
    gc.set_threshold(50_000, 1_000, 10_000)


class Collector:
    """Collects new objects every `COLLECT_EVERY_S`. ``start``, then ``stop``, on one event loop.

    A collection takes 0.6 µs for each object that is new since the last one, and no client is served
    meanwhile. Python counts new objects less freed ones: while sockets come and others go it hardly counts,
    and then examines tens of thousands at once (35 ms for 1,500 new sockets). A collection of everything is
    left to the thresholds: it would examine each connection.
    """

    def __init__(self, every_s: float = COLLECT_EVERY_S, middle_every: int = MIDDLE_EVERY) -> None:
        self._every_s = every_s
        self._middle_every = middle_every
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to collect."""
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._collect)

    def stop(self) -> None:
        """Collect no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _collect(self) -> None:
        self._number += 1
        gc.collect(1 if self._number % self._middle_every == 0 else 0)
        self.start()


def settle_memory() -> None:
    """Once everything is made: what is there now will stay, and need not be looked at again."""
    gc.collect()
    gc.freeze()


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket whose connections take at most `UNSENT_BYTES` unsent bytes.

    Raises OSError when ``host`` is unknown or the port is taken.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made
