"""Which ports one machine's processes listen on."""

import errno
import random
import socket

from realtime.engines.errors import EngineError

_SEARCHED = 500
# Below the kernel's range for outgoing connections (32,768 and up by default): a port there could be taken
# by one of our own connections while its process restarts.
_LOWEST, _HIGHEST = 20_000, 32_000


def public_port(host: str, wanted: int) -> int:
    """``wanted``, or any free port when it is 0. Raises EngineError when it cannot be had."""
    if wanted == 0:
        # Not a secret: only spread, so that two starts at once rarely meet.
        return _free(host, random.randrange(_LOWEST, _HIGHEST), 1)[0]  # noqa: S311
    try:
        _bind(host, wanted)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise EngineError(
                f"port {wanted} is taken: stop what listens there, or choose another with PORT=…"
            ) from None
        raise EngineError(f"cannot listen on {host}:{wanted}: {problem.strerror}") from None
    return wanted


def inner_ports(after: int, count: int) -> list[int]:
    """``count`` free ports of 127.0.0.1, the first ones above ``after``."""
    return _free("127.0.0.1", after + 1, count)


def _free(host: str, first: int, count: int) -> list[int]:
    found: list[int] = []
    for port in range(first, min(first + _SEARCHED, 65_536)):
        try:
            _bind(host, port)
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise EngineError(f"found no {count} free ports above {first}")


def _bind(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        # With SO_REUSEADDR two may bind the same address, but only one may listen.
        probe.listen()
