"""Drivers that send ready-made positions and check every ack."""

import re
import time
from typing import Final, Protocol
from uuid import uuid4

import msgspec

from loadtests.bench.load.client import Client, Loop

NAMESPACE: Final = b"/driver"
REMEMBERED: Final = 64
"""Of how many of its last points a driver knows when it sent them."""
IN_FLIGHT: Final = 16
"""Batches without an ack at most; then a point that falls due is not sent, and counted."""
_ACKED: Final = re.compile(rb'43/driver,(\d+)\[\{"ok":true\b[^}]*?"through":(\d+)')
_SHAPES: Final = 8
_TEXT: Final = 0x81


class Dispatch(Protocol):
    """Who hears of acks."""

    def acked(self, driver: "Driver", latency_s: float, now_s: float) -> None:
        """A batch is acknowledged."""

    def refused(self, driver: "Driver", payload: bytes) -> None:
        """Something else came than the ack that was due."""


class Driver(Client):
    """One driver with one journey; ``in_flight``: ack id → (when it was due, its last seq)."""

    __slots__ = (
        "_batch",
        "_dispatch",
        "_templates",
        "in_flight",
        "last_s",
        "name",
        "sent_s",
        "seq",
        "through",
    )

    def __init__(
        self, loop: Loop, dispatch: Dispatch, address: tuple[str, int], token: str, name: str, batch: int
    ) -> None:
        super().__init__(loop, address, NAMESPACE, token)
        self._dispatch = dispatch
        self._batch = batch
        self._templates: list[bytes] = []
        self.name = name
        self.seq = self.through = 0
        self.last_s = 0.0
        self.in_flight: dict[int, tuple[float, int]] = {}
        self.sent_s = [0.0] * REMEMBERED

    def joined(self) -> None:
        """Let in: start the journey; its ack has id 0."""
        start = {"client_journey_id": str(uuid4()), "started_at": time.time_ns() // 1_000_000}
        self.say(b"42/driver,0" + msgspec.json.encode(["journey:start", start]))

    def readable(self) -> None:
        """Acks come alone and whole nearly always."""
        data = self.received()
        size = len(data)
        if size > 2 and not self._buffer and data[0] == _TEXT and data[1] < 126 and size == data[1] + 2:
            payload = bytes(data[2:])
            if payload.startswith(b"43"):
                self.told(payload)
                return
        if size:
            self.take(bytes(data))

    def told(self, payload: bytes) -> None:
        """An ack, or an event, which a driver under load ignores."""
        if not payload.startswith(b"43"):
            return
        found = _ACKED.match(payload)
        if found is None:
            self._answered(payload)
            return
        now_s = time.perf_counter()
        through = int(found[2])
        sent_s, last_seq = self.in_flight.pop(int(found[1]), (now_s, -1))
        if through != last_seq:
            self._dispatch.refused(self, payload)
            return
        self.through = through
        self._dispatch.acked(self, now_s - sent_s, now_s)

    def _answered(self, payload: bytes) -> None:
        if not payload.startswith(b"43/driver,0["):
            self._dispatch.refused(self, payload)
            return
        answer = msgspec.json.decode(payload[12:-1])
        if not answer.get("ok"):
            self.lost(f"no journey: {answer}")
            return
        self._templates = [_template(answer["journey_id"], self._batch, shape) for shape in range(_SHAPES)]
        self.done()

    def send(self, now_s: float) -> None:
        """Send the next batch, as due at ``now_s``."""
        batch, first = self._batch, self.seq + 1
        self.last_s = now_s
        self.seq = last = self.seq + batch
        t_ms = time.time_ns() // 1_000_000
        template = self._templates[last // batch % _SHAPES]
        if batch == 1:
            self.sent_s[last % REMEMBERED] = now_s
            payload = template % (last, last, t_ms)
        else:
            numbers = [last]
            for seq in range(first, last + 1):
                self.sent_s[seq % REMEMBERED] = now_s
                numbers += seq, t_ms
            payload = template % tuple(numbers)
        self.in_flight[last] = (now_s, last)
        self.say(payload)


def _template(journey_id: str, batch: int, shape: int) -> bytes:
    """A ``positions`` event with gaps for its ack id and each point's seq and time."""
    lats = [53.406541 + shape * 3.1e-3 + n * 3.1e-5 for n in range(batch)]
    points = ",".join(f"[%d,%d,{lat:.6f},-2.969213,8.3,{31 + shape}.5,4.8,31.5,87]" for lat in lats)
    return f'42/driver,%d["positions",{{"journey_id":"{journey_id}","points":[{points}]}}]'.encode()
