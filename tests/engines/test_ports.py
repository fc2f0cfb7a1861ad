"""Ports that several processes choose at once."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from realtime.engines import ports
from realtime.engines.embedded import free_port

CHOOSE = """
import sys
from realtime.engines import ports

after = int(sys.argv[1])
print(ports.claim(after), *ports.inner_ports(after, 5), flush=True)
sys.stdin.read()
"""


def chosen_elsewhere(after: int) -> tuple["subprocess.Popen[str]", list[str]]:
    """Start another process that claims ``after`` and chooses ports above it; what it says."""
    command = [sys.executable, "-c", CHOOSE, str(after)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()


def test_a_port_is_given_to_one_process_until_that_ends() -> None:
    first = free_port()
    ours = ports.inner_ports(first, 5)
    process, said = chosen_elsewhere(first)
    with process:
        claimed, *theirs = said
        assert claimed == "False", "another process claims a port that this one was given"
        assert not set(ours) & set(map(int, theirs))
        assert not ports.claim(int(theirs[0]))
        process.communicate("", timeout=30)
    # Another process of this user may choose some of them before this one asks.
    ended = [port for port in map(int, theirs) if ports.claim(port)]
    assert ended, "its claims end with it"
    assert not any(map(ports.claim, ended)), "a claim is given once"


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(50)] + ports.inner_ports(20_000, 50)
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_without_record_locks_ports_are_claimed_in_this_process(
    monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    given = ports.inner_ports(free_port(), 5)
    assert len(set(given)) == 5
    assert not any(map(ports.claim, given))


def test_a_port_that_was_asked_for_is_claimed() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        wanted = probe.getsockname()[1]
    assert ports.public_port("127.0.0.1", wanted) == wanted
    assert not ports.claim(wanted)
    assert ports.public_port("127.0.0.1", wanted) == wanted, "an explicit port is had all the same"


def test_a_file_of_claims_of_another_user_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = ports._claims.__wrapped__()
    assert ours is not None
    os.close(ours)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert ports._claims.__wrapped__() is None
    assert len(list(tmp_path.iterdir())) == 2, "it could be opened, and was not ours"
