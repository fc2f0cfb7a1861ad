"""The load process: drivers and viewers on one epoll loop, and the account of what was sent and shown.

Reads a `FleetSpec`, a line of JSON, from standard input; writes ``measuring`` and ``measured`` as they
happen, then a `FleetResult`. Without a rate each driver sends its next batch when every viewer has its last
one, or when that was acknowledged where nobody watches: as fast as the server can, and never with a backlog
that its buffers would hide. With a rate positions fall due evenly, whatever the server does. Latencies are
the viewers' own: from the moment a position was due until the frame with it had been read.
"""

import gc
import sys
import time
from array import array
from typing import Final, TypeVar

import msgspec

from loadtests.bench.load.client import Client, Loop
from loadtests.bench.load.drivers import IN_FLIGHT, REMEMBERED, Driver
from loadtests.bench.load.positions import quantiles
from loadtests.bench.load.viewers import Shown, Staller, Viewer

SAMPLED: Final = 8
"""Of so many viewers one notes latencies."""
SAME_S: Final = 0.002
QUIET_S: Final = 0.4
QUIET_TIMEOUT_S: Final = 30.0
STALLED_RECEIVE_BYTES: Final = 4096

V = TypeVar("V", bound=Viewer)


class FleetSpec(msgspec.Struct):
    """Who connects where: one token a client, drivers by name. ``rate_per_s``: of each driver; 0 = as it can.

    The last ``stalled`` of the viewers stop reading when the measurement begins. In the end acks are
    waited for ``stuck_s`` and what viewers are still to see for ``final_s``.
    """

    driver_addresses: list[tuple[str, int]]
    viewer_addresses: list[tuple[str, int]]
    drivers: dict[str, str]
    viewers: list[str]
    vendor: str
    batch: int
    warm_s: float
    seconds: float
    rate_per_s: float = 0.0
    stalled: int = 0
    stuck_s: float = 5.0
    final_s: float = 10.0


class FleetResult(msgspec.Struct, kw_only=True):
    """What was seen in ``seconds``, and what must not have happened at any time.

    ``lost``: deliveries that were due and never came. ``skipped``: frames that a viewer was spared because
    it was behind; it must have been told the newest later, or that is ``lost``.
    """

    seconds: float
    points: int
    positions: int
    frames: int
    ack_s: dict[str, float]
    view_s: dict[str, float]
    conflated: int
    skipped: int
    not_sent: int
    lost: int
    duplicates: int
    errors: dict[str, int]
    connect_s: dict[str, float]


class Fleet:
    """Runs one `FleetSpec`."""

    def __init__(self, spec: FleetSpec) -> None:
        self.spec = spec
        self.loop = Loop()
        self.known: dict[bytes, Shown] = {}
        self.duplicates = 0
        self.members = len(spec.viewers) - spec.stalled
        self.drivers = {
            name: Driver(self.loop, self, self._of(spec.driver_addresses, n), token, name, spec.batch)
            for n, (name, token) in enumerate(spec.drivers.items())
        }
        self.viewers = [self._viewer(Viewer, n) for n in range(self.members)]
        self.stallers = [self._viewer(Staller, n) for n in range(self.members, len(spec.viewers))]
        self._turns = list(self.drivers.values())
        self._ack_s, self._view_s = array("d"), array("d")
        self.counting = False
        self.positions = self.frames = self._points = self._not_sent = 0
        self._going = False
        self._due = self._last_frames_from = 0
        self._begun_s = 0.0
        self._soon: list[Driver] = []

    @staticmethod
    def _of(addresses: list[tuple[str, int]], n: int) -> tuple[str, int]:
        host, port = addresses[n % len(addresses)]
        return host, port

    def _viewer(self, kind: type[V], n: int) -> V:
        spec = self.spec
        address = self._of(spec.viewer_addresses, n)
        return kind(self.loop, self, address, spec.viewers[n], spec.vendor, n % SAMPLED == 0)

    # --- what viewers and drivers say

    def first_seen(self, key: bytes) -> Shown:
        """A frame nobody has had yet."""
        shown = self.known[key] = Shown(len(self.known))
        return shown

    def read(self, shown: Shown, who: list[tuple[str, int]]) -> None:
        """A frame was decoded; those who had it before that are counted now."""
        shown.who, shown.size = who, len(who)
        drivers = self.drivers
        shown.sent_s = [
            drivers[name].sent_s[seq % REMEMBERED] if name in drivers else 0.0 for name, seq in who
        ]
        if self.counting:
            self.positions += shown.size * shown.receipts
            for now_s in shown.early_s:
                self.sample(shown, now_s)

    def sample(self, shown: Shown, now_s: float) -> None:
        """Note the latency of one position of a frame: over many receipts as even a sample as all of them."""
        if shown.size:
            self._view_s.append(now_s - shown.sent_s[shown.receipts * 7919 % shown.size])
        else:
            shown.early_s.append(now_s)

    def complete(self, shown: Shown, now_s: float) -> None:
        """Everybody has this frame: without a rate, its drivers go on."""
        if not self.spec.rate_per_s:
            for name, seq in shown.who:
                driver = self.drivers.get(name)
                if driver is not None and seq == driver.seq:
                    self._next(driver, now_s)

    def acked(self, driver: Driver, latency_s: float, now_s: float) -> None:
        """A batch is acknowledged."""
        if self.counting:
            self._points += self.spec.batch
            self._ack_s.append(latency_s)
        if not self.viewers and not self.spec.rate_per_s:
            self._next(driver, now_s)

    def refused(self, driver: Driver, payload: bytes) -> None:
        """An answer that is no ack, or the wrong one."""
        self.loop.errors[payload[:160].decode(errors="replace")] += 1

    def _next(self, driver: Driver, now_s: float) -> None:
        """Send again; with viewers not in the same millisecond, as of two such positions one is enough."""
        if not self._going or driver.sock is None:
            return
        if self.viewers and now_s - driver.last_s < SAME_S:
            self._soon.append(driver)
        else:
            driver.send(now_s)

    # --- its course

    def run(self) -> FleetResult:
        """Connect, warm up, measure, let it settle, and see that everybody knows the newest."""
        connect_s = self._connect()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._begin()
        self._go_on(self.spec.warm_s)
        said_s = _say("measuring")
        for staller in self.stallers:
            staller.stall()
        self.counting = True
        self._go_on(self.spec.seconds)
        self.counting = False
        ended_s = _say("measured")
        sys.stdin.buffer.read()  # until the bench has seen who used what, and closes it
        lost = self._settle()
        skipped = sum(
            len(self.viewers) - shown.receipts
            for shown in self.known.values()
            if 2 * shown.receipts >= len(self.viewers) > shown.receipts
        )
        for client in (*self._turns, *self.viewers, *self.stallers):
            client.close()
        return self._result(ended_s - said_s, connect_s, lost, skipped)

    def _result(self, seconds: float, connect_s: dict[str, float], lost: int, skipped: int) -> FleetResult:
        shown = sum(len(one.who) for one in self.known.values())
        sent = sum(driver.seq for driver in self._turns)
        return FleetResult(
            seconds=seconds,
            points=self._points,
            positions=self.positions,
            frames=self.frames,
            ack_s=quantiles(self._ack_s),
            view_s=quantiles(self._view_s) if self.drivers else {},
            conflated=max(0, sent - shown) if self.viewers else 0,
            skipped=skipped,
            not_sent=self._not_sent,
            lost=lost + (skipped if self.drivers and not self.spec.rate_per_s else 0),
            duplicates=self.duplicates,
            errors=dict(self.loop.errors),
            connect_s=connect_s,
        )

    def _connect(self) -> dict[str, float]:
        took_s = {}
        groups: dict[str, list[Client]] = {"drivers": [*self._turns], "viewers": [*self.viewers]}
        for name, clients in groups.items():
            if clients:
                took_s[name] = self.loop.connect(clients, [None])
        if self.stallers:
            self.loop.connect([*self.stallers], [None], receive_bytes=STALLED_RECEIVE_BYTES)
        return took_s

    def _begin(self) -> None:
        self._going = True
        self._begun_s = time.perf_counter()
        if not self.spec.rate_per_s:
            for driver in self._turns:
                self._next(driver, self._begun_s)

    def _go_on(self, seconds: float) -> None:
        self.loop.run(time.perf_counter() + seconds, self._pace)

    def _pace(self, now_s: float) -> float:
        """Send what is due; for how long nothing will be."""
        if self._soon:
            soon, self._soon = self._soon, []
            for driver in soon:
                self._next(driver, now_s)
            return SAME_S
        if not self.spec.rate_per_s or not self._turns or not self._going:
            return SAME_S if self.viewers else 0.1
        step_s = 1 / (self.spec.rate_per_s * len(self._turns))
        while (due_s := self._begun_s + self._due * step_s) <= now_s:
            driver = self._turns[self._due % len(self._turns)]
            self._due += 1
            if len(driver.in_flight) >= IN_FLIGHT:
                self._not_sent += 1
            elif driver.sock is not None:
                driver.send(due_s)
        return due_s - now_s

    def _settle(self) -> int:
        """Stop, wait until it is quiet, send everybody's last point; what deliveries or acks never came."""
        self._going = False
        now_s = heard_s = time.perf_counter()
        deadline_s = now_s + QUIET_TIMEOUT_S
        quiet_s = QUIET_S if self.viewers else 0.0
        while now_s < deadline_s and now_s - heard_s < (self.spec.stuck_s if self._unanswered() else quiet_s):
            happened = self.loop.turn(0.05)
            now_s = time.perf_counter()
            heard_s = now_s if happened else heard_s
        lost = self._unanswered()
        self._last_frames_from = len(self.known)
        for driver in self._turns:
            if driver.sock is not None:
                driver.send(time.perf_counter())
        deadline_s = time.perf_counter() + self.spec.final_s
        while (missing := self._missing()) and time.perf_counter() < deadline_s:
            self.loop.turn(0.05)
        return lost + missing

    def _unanswered(self) -> int:
        return sum(len(driver.in_flight) for driver in self._turns)

    def _missing(self) -> int:
        """How many (viewer, driver) still do not have the driver's last point, and acks that are due."""
        if not self.viewers:
            return self._unanswered()
        has = dict.fromkeys(self.drivers, 0)
        for shown in list(self.known.values())[self._last_frames_from :]:
            for name, seq in shown.who:
                driver = self.drivers.get(name)
                if driver is not None and seq == driver.seq:
                    has[name] = max(has[name], shown.receipts)
        return self._unanswered() + sum(len(self.viewers) - receipts for receipts in has.values())


def _say(word: str) -> float:
    print(word, flush=True)
    return time.perf_counter()


def main() -> None:
    """Run the spec on standard input."""
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=FleetSpec)
    sys.stdout.buffer.write(msgspec.json.encode(Fleet(spec).run()) + b"\n")


if __name__ == "__main__":
    main()
