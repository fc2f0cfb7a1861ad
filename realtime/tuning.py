"""What a process asks of Python and of the kernel before it serves: each value with its reason."""

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


def tune_garbage_collector() -> None:
    """Collect less often. Reference counting frees what the hot paths make; collections at the default rate
    took a quarter of the time at hundreds of viewers, and found next to nothing.
    """
    gc.set_threshold(50_000, 20, 100)


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
