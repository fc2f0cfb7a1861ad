"""One soak: start the system, let everybody in, sample, restart Redis halfway, send everybody home, judge."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from loadtests.bench.measure import audit, measure_fleet
from loadtests.bench.servers import system
from loadtests.bench.servers.system import Engines, Target
from loadtests.soak import flat
from loadtests.soak.crowd import Driver, Manners, Scene, Viewer
from loadtests.soak.flat import Trend
from loadtests.soak.sample import Sample, take

INSTANCES: Final = 2
BATCH: Final = 10
GONE_TIMEOUT_S: Final = 60.0
FLUSH_TIMEOUT_S: Final = 60.0
IDLE_S: Final = 3.0
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The command line. ``warm_s`` is not judged; ``stalled`` viewers stop reading, again and again."""

    seconds: float
    warm_s: float
    drivers: int
    viewers: int
    stalled: int
    every_s: float
    seed: int = 1
    manners: Manners = field(default_factory=Manners)


@dataclass
class Outcome:
    """``samples`` by process, the whole time; ``faults`` is empty when all is flat and nothing was lost."""

    samples: dict[str, list[Sample]]
    trends: list[Trend] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    troubles: dict[str, int] = field(default_factory=dict)
    acknowledged: int = 0
    lost: int = 0


def run(options: Options, say: Say) -> Outcome:
    """All of it. What goes on is told to ``say``."""
    with system.engines() as on:
        system.migrate(on)
        with system.wayguard(on, INSTANCES, balancer=True) as target:
            soak = _Soak(options, on, target, say)
            asyncio.run(soak.live())
            _audit(soak, target)
            return soak.outcome


class _Soak:
    def __init__(self, options: Options, on: Engines, target: Target, say: Say) -> None:
        self._options, self._on, self._say = options, on, say
        ports = target.metrics_ports
        instances = zip(target.pids["instances"], ports, strict=True)
        self._watched: dict[str, tuple[int, int | None]] = {
            f"instance {n}": (pid, port) for n, (pid, port) in enumerate(instances, 1)
        }
        self._watched["worker"] = (target.pids["worker"][0], None)
        self._begun_s = time.monotonic()
        self.outcome = Outcome({name: [] for name in self._watched})
        self.scene = Scene(
            addresses=target.addresses,
            direct=[("127.0.0.1", port) for port in ports],
            vendor=measure_fleet.VENDOR,
            manners=options.manners,
            rng=Random(options.seed),
        )

    async def live(self) -> None:
        """From the idle system to the idle system."""
        await asyncio.sleep(IDLE_S)
        before = await self._look()
        people = self._people()
        tasks = [asyncio.ensure_future(person) for person in people]
        self._say(f"{len(tasks)} people come; {self._options.warm_s:.0f} s of warm-up")
        restart = asyncio.ensure_future(self._restart_redis(self._options.seconds / 2))
        try:
            await self._sample_until(self._options.seconds)
            await restart
            await self._send_home(tasks)
        finally:
            for task in (restart, *tasks):
                task.cancel()
            await asyncio.gather(*tasks, restart, return_exceptions=True)
        await self._until_gone(before)
        self._judge()

    def _people(self) -> list[Any]:
        options, scene = self._options, self.scene
        drivers = {
            f"d{n:04d}": measure_fleet.token(self._on, "driver", f"d{n:04d}") for n in range(options.drivers)
        }
        people: list[Any] = [
            Driver(scene, name, token, 1 if n % 2 else BATCH).drive()
            for n, (name, token) in enumerate(drivers.items())
        ]
        for n in range(options.viewers + options.stalled):
            token = measure_fleet.token(self._on, "dispatcher", f"v{n:04d}")
            people.append(Viewer(scene, token, list(drivers), stalls=n >= options.viewers).look())
        return people

    async def _sample_until(self, seconds: float) -> None:
        begun_s = time.monotonic()
        while (passed_s := time.monotonic() - begun_s) < seconds:
            taken = await self._look()
            if passed_s >= self._options.warm_s:
                for name, one in taken.items():
                    self.outcome.samples[name].append(one)
            self._say(
                f"{passed_s:6.0f} s: " + ", ".join(f"{name} {_told(one)}" for name, one in taken.items())
            )
            await asyncio.sleep(min(self._options.every_s, max(0.0, begun_s + seconds - time.monotonic())))

    async def _look(self) -> dict[str, Sample]:
        at_s = time.monotonic() - self._begun_s
        return {
            name: await asyncio.to_thread(take, at_s, pid, port)
            for name, (pid, port) in self._watched.items()
        }

    async def _restart_redis(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await asyncio.to_thread(self._on.redis.stop)
        await asyncio.to_thread(self._on.redis.start)
        self._say("Redis was restarted")

    async def _send_home(self, tasks: list["asyncio.Future[None]"]) -> None:
        self.scene.over = True
        done, waiting = await asyncio.wait(tasks, timeout=FLUSH_TIMEOUT_S)
        if waiting:
            self.outcome.faults.append(f"{len(waiting)} people could not finish in {FLUSH_TIMEOUT_S:.0f} s")
        for task in done:
            task.result()  # a fault of the load process is no result

    async def _until_gone(self, before: dict[str, Sample]) -> None:
        deadline_s = time.monotonic() + GONE_TIMEOUT_S
        while True:
            await asyncio.sleep(1.0)
            after = await self._look()
            left = [
                fault
                for name, one in after.items()
                for fault in flat.leftovers(name, before[name], self.outcome.samples[name], one)
            ]
            if not left or time.monotonic() > deadline_s:
                break
        for name, one in after.items():
            self._say(f"{name} before: {_told(before[name])}; after everybody: {_told(one)}")
        self.outcome.faults += left

    def _judge(self) -> None:
        outcome = self.outcome
        outcome.trends = flat.by_process({name: taken for name, taken in outcome.samples.items() if taken})
        outcome.faults += flat.faults_of(outcome.trends)
        outcome.counts, outcome.troubles = dict(self.scene.counts), dict(self.scene.troubles)
        outcome.faults += [
            f"nothing of this happened: {what}"
            for what in ("connects", "journeys", "event positions")
            if not outcome.counts.get(what)
        ]


def _told(one: Sample) -> str:
    stalled = f", {one.stalled:.0f} stalled closed" if one.stalled else ""
    return (
        f"{one.rss_kib / 1024:.1f} MiB, {one.descriptors:.0f} descriptors, {one.threads:.0f} threads, "
        f"{one.tasks:.0f} tasks{stalled}"
    )


def _audit(soak: _Soak, target: Target) -> None:
    through, outcome = soak.scene.through, soak.outcome
    missing = audit.missing(through, audit.stored_seqs(target.database_url, through))
    outcome.acknowledged = sum(through.values())
    outcome.lost = sum(map(len, missing.values()))
    if outcome.lost:
        outcome.faults.append(f"{outcome.lost} acknowledged points are missing in {len(missing)} journeys")
    if not outcome.acknowledged:
        outcome.faults.append("nothing was acknowledged")
