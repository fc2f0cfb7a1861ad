"""Ports that several processes choose at once."""

import subprocess
import sys

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
    assert ports.claim(int(theirs[0])), "its claims end with it"
    assert not ports.claim(int(theirs[0])), "a claim is given once"


def test_no_port_is_given_twice() -> None:
    given = [free_port() for _ in range(50)] + ports.inner_ports(20_000, 50)
    assert len(set(given)) == len(given)
