"""Which ports one machine's processes listen on."""

import errno
import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

from realtime.engines.errors import EngineError

_SEARCHED = 500
# Below the kernel's range for outgoing connections (32,768 and up by default): a port there could be taken
# by one of our own connections while its process restarts.
_LOWEST, _HIGHEST = 20_000, 32_000

_claimed: set[int] = set()


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
    claim(wanted)  # others that choose a port avoid it; the wish counts even if one was given it before
    return wanted


def inner_ports(after: int, count: int) -> list[int]:
    """``count`` free ports of 127.0.0.1, the first ones above ``after``."""
    return _free("127.0.0.1", after + 1, count)


def claim(port: int) -> bool:
    """Claim ``port`` until this process ends; False when this or another process of this user has it.

    A server binds its port seconds after the port was chosen: two that are started at once would choose the
    same one. A claim is a lock on one byte of a file that all processes of the user share; the kernel
    releases it. Where that file cannot be made or has no locks, only this process's own claims are known.
    """
    if port in _claimed:
        return False
    claims = _claims()
    if claims is not None:
        try:
            fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # the two errors that mean "locked by another process"
            return False
        except OSError:
            pass  # the file system has no record locks
    _claimed.add(port)
    return True


@cache
def _claims() -> int | None:
    """The file of the claims, open until this process ends: closing it would release them."""
    path = Path(tempfile.gettempdir()) / f"wayguard-ports-{os.getuid()}"
    try:
        claims = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    # The name can be predicted: another user may have made the file, and could lock every port in it.
    if os.fstat(claims).st_uid == os.getuid():
        return claims
    os.close(claims)
    return None


def _free(host: str, first: int, count: int) -> list[int]:
    found: list[int] = []
    for port in range(first, min(first + _SEARCHED, 65_536)):
        try:
            _bind(host, port)
        except OSError:
            continue
        if claim(port):
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
