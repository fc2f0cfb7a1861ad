"""A client that means harm, in a process of its own: sockets that try credentials, connections that are slow.

Started by `attacking` as ``python -m loadtests.bench.load.attacker``, it keeps ``count`` connections open
from one address, opens each again when it is closed, and says every half second how it is doing.
"""

import asyncio
import json
import resource
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, cast

import msgspec
import uvloop

Kind = Literal["link", "token", "slow"]
"""``link``: sockets that repeat a connect with a made-up share link; ``token``: with a bad token; ``slow``:
a POST to an answer link, one byte of its body every 8 s.
"""
BYTE_EVERY_S: Final = 8.0
OPENING_PER_S: Final = 1_500.0
AGAIN_S: Final = 0.5
REPORT_S: Final = 0.5
STEADY_S: Final = 3.0
"""The attack is under way when no more connections have come for so long."""
PATIENCE_S: Final = 120.0
DESCRIPTORS_BESIDE: Final = 100


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """Who attacks what. ``source``: the address of the attacker."""

    kind: Kind
    port: int
    count: int
    source: str
    host: str = "127.0.0.1"


class Report(msgspec.Struct, kw_only=True):
    """``open``: connections that are open now; the others count since the start."""

    open: int = 0
    opened: int = 0
    failed: int = 0
    refused: int = 0
    """Credentials that were tried and refused."""


class NotEnoughDescriptors(Exception):
    """The limit on open files is too low for what was asked."""


def needs_descriptors(count: int) -> None:
    """Raise the limit on open files for ``count`` connections. Raises NotEnoughDescriptors, by name."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + DESCRIPTORS_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise NotEnoughDescriptors(f"RLIMIT_NOFILE is {hard:,}, {wanted:,} are needed: ulimit -Hn {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def attacking(attack: Attack) -> Iterator["Attacker"]:
    """``attack`` from a process of its own, until the block ends. Raises NotEnoughDescriptors."""
    needs_descriptors(attack.count)
    argv = [sys.executable, "-m", "loadtests.bench.load.attacker", msgspec.json.encode(attack).decode()]
    root = Path(__file__).parents[3]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=root) as process:
        try:
            yield Attacker(process)
        finally:
            process.terminate()
            process.wait(timeout=20)


class Attacker:
    """The process, as its parent sees it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def report(self) -> Report:
        """What it says next; waits for that. Raises RuntimeError when it has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the attacker has ended")
        return msgspec.json.decode(line, type=Report)

    def until_steady(self, count: int) -> Report:
        """Wait until ``count`` connections are open, or no more have come for `STEADY_S`."""
        begun_s = most_s = time.monotonic()
        most = 0
        while True:
            found = self.report()
            now_s = time.monotonic()
            if found.open > most:
                most, most_s = found.open, now_s
            if found.open >= count or now_s - most_s > STEADY_S or now_s - begun_s > PATIENCE_S:
                return found

    def follow(self) -> None:
        """Read what it says, so that it is not held up by a full pipe, until it ends."""
        try:
            while True:
                self.report()
        except (RuntimeError, ValueError):
            return


# --- the attacker


class _Connection(asyncio.Protocol):
    """One connection of the attack."""

    def __init__(self, attack: Attack, report: Report, ended: asyncio.Event) -> None:
        self._attack = attack
        self._report = report
        self._ended = ended
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._read = bytearray()
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no such class
        self._report.open += 1
        self._report.opened += 1
        if self._attack.kind == "slow":
            lines = ("POST /answers/view HTTP/1.1", "Host: x", "Content-Type: application/json")
            self._transport.write("\r\n".join([*lines, "Content-Length: 4000", "", ""]).encode())
            self._drip()
            return
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        lines = ("GET /socket.io/?EIO=4&transport=websocket HTTP/1.1", "Host: x", "Upgrade: websocket")
        more = ("Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}")
        self._transport.write("\r\n".join([*lines, *more, "", ""]).encode())

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"x")
            self._timer = asyncio.get_running_loop().call_later(BYTE_EVERY_S, self._drip)

    def data_received(self, data: bytes) -> None:
        if self._attack.kind == "slow":
            return
        self._read += data
        if not self._is_open:
            head, found, rest = bytes(self._read).partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head.partition(b"\r\n")[0]:
                self._transport.abort()
                return
            self._is_open, self._read = True, bytearray(rest)
        for packet in self._packets():
            if packet.startswith(b"44/watch"):
                self._report.refused += 1
                self._try()
            elif packet.startswith(b"0"):
                self._try()
            elif packet == b"2":
                self._say(b"3")

    def _packets(self) -> Iterator[bytes]:
        """The text frames that have come."""
        read = self._read
        while len(read) >= 2:
            length, at = read[1] & 0x7F, 2
            if length == 126:
                if len(read) < 4:
                    return
                length, at = int.from_bytes(read[2:4]), 4
            if len(read) < at + length:
                return
            opcode, packet = read[0] & 0x0F, bytes(read[at : at + length])
            del read[: at + length]
            if opcode == 1:
                yield packet

    def _try(self) -> None:
        made_up = secrets.token_urlsafe(12)
        kind, value = ("share", f"{made_up}.{made_up}") if self._attack.kind == "link" else ("token", made_up)
        self._say(f"40/watch,{json.dumps({kind: value})}".encode())

    def _say(self, packet: bytes) -> None:
        self._transport.write(bytes([0x81, 0x80 | len(packet), 0, 0, 0, 0]) + packet)  # masked with zeros

    def connection_lost(self, exc: Exception | None) -> None:
        self._report.open -= 1
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()


async def _keep_open(attack: Attack, number: int, report: Report) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(number / OPENING_PER_S)
    while True:
        ended = asyncio.Event()

        def made(ended: asyncio.Event = ended) -> _Connection:
            return _Connection(attack, report, ended)

        try:
            await loop.create_connection(made, attack.host, attack.port, local_addr=(attack.source, 0))
        except OSError:
            report.failed += 1
        else:
            await ended.wait()
        await asyncio.sleep(AGAIN_S)


async def _attack(attack: Attack) -> None:
    report = Report()
    tasks = [asyncio.ensure_future(_keep_open(attack, number, report)) for number in range(attack.count)]
    while tasks:
        print(msgspec.json.encode(report).decode(), flush=True)
        await asyncio.sleep(REPORT_S)


def main(argv: Sequence[str]) -> None:
    """Attack until ended."""
    attack = msgspec.json.decode(argv[0], type=Attack)
    needs_descriptors(attack.count)
    uvloop.run(_attack(attack))


if __name__ == "__main__":
    main(sys.argv[1:])
