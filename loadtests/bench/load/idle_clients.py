"""The load process of ``idle``: thousands of clients that connect, keep the heartbeat, and leave.

Reads a `CrowdSpec`, a line of JSON, from standard input; says when the first ones are in, when all are, when
they were held, and when they have left, and goes on each time a line comes back.
"""

import resource
import select
import sys
import time

import msgspec

from loadtests.bench.load.client import Client, Loop

SOURCE_PORTS = 20_000
"""Clients from one source address to one target."""


class CrowdSpec(msgspec.Struct):
    """``tokens``: one a client; the first ``first`` are let in before the clock starts."""

    address: tuple[str, int]
    tokens: list[str]
    first: int
    hold_s: float


def raise_open_files_limit() -> None:
    """As many descriptors as we may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Run the spec on standard input."""
    raise_open_files_limit()
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=CrowdSpec)
    loop = Loop()
    host, port = spec.address
    clients = [Client(loop, (host, port), b"/watch", token) for token in spec.tokens]
    sources: list[str | None] = [f"127.0.0.{2 + n}" for n in range(1 + len(clients) // SOURCE_PORTS)]
    loop.connect(clients[: spec.first], sources)
    _say(loop, {"first": spec.first})
    took_s = loop.connect(clients[spec.first :], sources)
    _say(loop, {"connect_s": took_s})
    loop.run(time.perf_counter() + spec.hold_s, lambda _: 0.5)
    _say(loop, {"errors": dict(loop.errors), "left": sum(client.sock is None for client in clients)})
    for client in clients:
        client.close()
    _say(loop, {"closed": len(clients)})


def _say(loop: Loop, what: dict[str, object]) -> None:
    """Tell the bench, and keep the heartbeat until it has looked."""
    print(msgspec.json.encode(what).decode(), flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        loop.turn(0.02)
    sys.stdin.buffer.readline()


if __name__ == "__main__":
    main()
