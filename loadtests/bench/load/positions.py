"""The load client, a process of its own: drivers that send positions and wait for their acks.

Reads a `LoadSpec`, a line of JSON, from standard input; writes ``measuring`` and ``measured`` as they happen,
then a `LoadResult`. With ``rate_per_s`` 0 every driver sends its next batch when the last was acknowledged;
with a rate, batches fall due evenly and a latency counts from when its batch was due, whether or not it could
be sent then.
"""

import asyncio
import gc
import resource
import sys
import time
from array import array
from collections import Counter, deque
from random import Random
from typing import Any, Final
from uuid import UUID

import msgspec
import uvloop

from loadtests.wire import RawSocket

NAMESPACE: Final = b"/driver"
CONNECTING_AT_ONCE: Final = 50
START_TIMEOUT_S: Final = 60.0
DRAIN_TIMEOUT_S: Final = 15.0
PACE_S: Final = 0.002
RETRY_S: Final = 0.2


class LoadSpec(msgspec.Struct):
    """What to do. ``addresses`` are (host, port), dealt out to the drivers in turn; one token a driver."""

    addresses: list[tuple[str, int]]
    tokens: list[str]
    batch: int
    warm_s: float
    seconds: float
    rate_per_s: float = 0.0
    seed: int = 1


class LoadResult(msgspec.Struct):
    """What was seen. ``points`` were acknowledged within the ``seconds`` measured, latencies are theirs.

    ``through`` says what was acknowledged of each journey in all.
    """

    points: int
    seconds: float
    latencies_s: dict[str, float]
    through: dict[str, int]
    cpu_s: float
    errors: dict[str, int]
    behind_s: float = 0.0


class Driver(RawSocket):
    """One driver with one journey, moving north-east."""

    def __init__(self, load: "Load", number: int, host: str, token: str) -> None:
        super().__init__(host, NAMESPACE, msgspec.json.encode({"token": token}))
        rng = load.rng
        self._load = load
        self._client_journey_id = str(UUID(int=rng.getrandbits(128), version=4))
        self._lat, self._lon = 53.40 + rng.uniform(-0.1, 0.1), -2.98 + rng.uniform(-0.1, 0.1)
        self._speed_mps, self._heading_deg = round(rng.uniform(0, 20), 1), round(rng.uniform(0, 359), 1)
        self._head = b""
        self._next_ack = 0
        self._due_s: dict[int, tuple[float, int]] = {}
        self.number = number
        self.journey_id = ""
        self.seq = 0
        self.through = 0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def in_flight(self) -> int:
        """Batches that wait for their ack."""
        return len(self._due_s)

    def on_joined(self) -> None:
        """Start the journey; its ack has id 0."""
        start = {"client_journey_id": self._client_journey_id, "started_at": time.time_ns() // 1_000_000}
        self.say(b"2/driver,0" + msgspec.json.encode(["journey:start", start]))

    def on_message(self, message: bytes) -> None:
        """Acks; refusals; events, which a driver under load ignores."""
        if message.startswith(b"3/driver,"):
            ack_id, _, body = message[9:].partition(b"[")
            self._acked(int(ack_id), body[:-1])
        elif message.startswith(b"4"):
            self.on_lost(message.decode(errors="replace")[:200])

    def on_lost(self, reason: str) -> None:
        """A driver that is cut off under load is an error, not a reconnect: it would hide what happened."""
        self._load.errors[f"lost: {reason}"] += 1
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(reason))

    def send(self, due_s: float) -> None:
        """Send the next batch."""
        first, size = self.seq + 1, self._load.spec.batch
        self.seq += size
        self._next_ack += 1
        self._due_s[self._next_ack] = due_s, self.seq
        now_ms = time.time_ns() // 1_000_000
        points = [
            (
                seq,
                now_ms - (self.seq - seq) * 1000,
                round(self._lat + seq * 3.1e-5, 6),
                round(self._lon + seq * 4.7e-5, 6),
                self._speed_mps,
                self._heading_deg,
                4.8,
                31.5,
                87,
            )
            for seq in range(first, self.seq + 1)
        ]
        self.say(b"%s%d%s%s}]" % (b"2/driver,", self._next_ack, self._head, _ENCODE(points)))

    def _acked(self, ack_id: int, body: bytes) -> None:
        now_s = time.perf_counter()
        if ack_id == 0:
            self._started(body)
            return
        due_s, last_seq = self._due_s.pop(ack_id)
        if body.startswith(b'{"ok":true'):
            # Told apart without decoding: what is acknowledged is ours to know.
            self.through = max(self.through, last_seq)
            self._load.acked(self, now_s - due_s, now_s)
        else:
            self._load.refused(self, msgspec.json.decode(body), due_s)

    def _started(self, body: bytes) -> None:
        answer = msgspec.json.decode(body)
        if not answer.get("ok"):
            self.ready.set_exception(ConnectionError(str(answer)))
            return
        self.journey_id = answer["journey_id"]
        self._head = b'["positions",{"journey_id":"%s","points":' % self.journey_id.encode()
        self.ready.set_result(None)

    def rewind(self) -> None:
        """Go on behind what is acknowledged."""
        self.seq = self.through


_ENCODE: Final = msgspec.json.Encoder().encode


class Load:
    """Runs one `LoadSpec`."""

    def __init__(self, spec: LoadSpec) -> None:
        self.spec = spec
        self.rng = Random(spec.seed)
        self.errors: Counter[str] = Counter()
        self.drivers: list[Driver] = []
        self._latencies_s = array("d")
        self._points = 0
        self._from_s = self._to_s = float("inf")
        self._behind_s = 0.0
        self._stopped = False
        self._waiting: deque[float] = deque()

    async def run(self) -> LoadResult:
        """Connect, warm up, measure, wait for the last acks."""
        await self._connect()
        gc.collect()
        gc.freeze()
        gc.disable()
        begin_s = time.perf_counter()
        pacer = asyncio.create_task(self._pace()) if self.spec.rate_per_s else None
        if pacer is None:
            for driver in self.drivers:
                driver.send(begin_s)
        await asyncio.sleep(self.spec.warm_s)
        said = _say("measuring")
        self._from_s, self._to_s = said, said + self.spec.seconds
        cpu_s = _cpu_s()
        await asyncio.sleep(self.spec.seconds)
        cpu_s, seconds = _cpu_s() - cpu_s, _say("measured") - said
        self._to_s = min(self._to_s, said + seconds)
        await told_to_end()
        self._stopped = True
        if pacer is not None:
            pacer.cancel()
        await self._drain()
        for driver in self.drivers:
            driver.close()
        return LoadResult(
            points=self._points,
            seconds=self._to_s - self._from_s,
            latencies_s=quantiles(self._latencies_s),
            through={driver.journey_id: driver.through for driver in self.drivers},
            cpu_s=cpu_s,
            errors=dict(self.errors),
            behind_s=self._behind_s,
        )

    async def _connect(self) -> None:
        gate = asyncio.Semaphore(CONNECTING_AT_ONCE)
        loop = asyncio.get_running_loop()

        async def one(number: int, token: str) -> Driver:
            host, port = self.spec.addresses[number % len(self.spec.addresses)]
            async with gate, asyncio.timeout(START_TIMEOUT_S):
                driver = Driver(self, number, f"{host}:{port}", token)
                await loop.create_connection(lambda: driver, host, port)
                await driver.ready
            return driver

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(n, token)) for n, token in enumerate(self.spec.tokens)]
        self.drivers = [task.result() for task in tasks]

    def acked(self, driver: Driver, latency_s: float, now_s: float) -> None:
        """A batch of ``driver`` is stored."""
        if self._from_s <= now_s < self._to_s:
            self._points += self.spec.batch
            self._latencies_s.append(latency_s)
        self._again(driver, now_s)

    def refused(self, driver: Driver, answer: dict[str, Any], due_s: float) -> None:
        """A batch was not taken: once nothing is in flight it is sent again."""
        error = answer.get("error") or {}
        self.errors[str(error.get("code"))] += 1
        if driver.in_flight == 0 and error.get("retryable"):
            driver.rewind()
            delay_s = error.get("retry_after_s") or RETRY_S
            asyncio.get_running_loop().call_later(delay_s, self._again, driver, due_s)

    def _again(self, driver: Driver, due_s: float) -> None:
        if self._stopped or driver.transport is None:
            return
        if self.spec.rate_per_s:
            if self._waiting:
                driver.send(self._waiting.popleft())
        else:
            driver.send(due_s)

    async def _pace(self) -> None:
        """Each driver has its turn; what falls due while its driver still waits goes to the next free one."""
        start_s, sent, turn = time.perf_counter(), 0, 0
        step_s = self.spec.batch / self.spec.rate_per_s
        while True:
            now_s = time.perf_counter()
            while (due_s := start_s + sent * step_s) <= now_s:
                sent += 1
                driver = self.drivers[turn % len(self.drivers)]
                turn += 1
                if driver.in_flight:
                    self._waiting.append(due_s)
                else:
                    driver.send(due_s)
            if self._waiting:
                self._behind_s = max(self._behind_s, now_s - self._waiting[0])
            await asyncio.sleep(PACE_S)

    async def _drain(self) -> None:
        deadline_s = time.perf_counter() + DRAIN_TIMEOUT_S
        while any(driver.in_flight for driver in self.drivers if driver.transport is not None):
            if time.perf_counter() > deadline_s:
                self.errors["no_answer"] += sum(driver.in_flight for driver in self.drivers)
                return
            await asyncio.sleep(0.01)


async def told_to_end() -> None:
    """Wait until the bench has looked at who used what, and closes our standard input."""
    await asyncio.to_thread(sys.stdin.buffer.read)


def quantiles(values_s: "array[float]") -> dict[str, float]:
    """``p50``, ``p99``, ``p999`` and ``max``; empty without values."""
    ordered = sorted(values_s)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _say(word: str) -> float:
    """Tell the bench; returns when, by the clock that latencies are measured with."""
    print(word, flush=True)
    return time.perf_counter()


def main() -> None:
    """Run the spec on standard input."""
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=LoadSpec)
    result = uvloop.run(Load(spec).run())
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
