"""Drivers, dispatchers and contacts over Socket.IO; loss counted by sequence number; reconnect storms.

``locust -f loadtests/locustfile.py --headless -u 100 -r 50 -t 60s --storm-every 20`` beside ``./run``.
One process: the accounting is in its memory. Tokens are minted with the secret in DATA_DIR (or AUTH_SECRET).
The exit code is 1 when an acknowledged point is missing in the API's history, or a viewer saw a gap or a
duplicate, or not everything was acknowledged and seen in the end.
"""

import time
from random import Random
from typing import Any

import gevent
from gevent.event import Event
from gevent.lock import Semaphore
from locust import User, constant_pacing, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser

from geo.fleet import Vehicle, build_fleet
from geo.streets import City, build_city
from loadtests import history, users, verdict
from loadtests.verdict import Storm
from realtime.engines import local
from realtime.settings import Settings

STORM_TIMEOUT_S = 60.0
BATCHERS = 0.3
"""The share of drivers that send ten at a time, as phones do to save power."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _arguments(parser: LocustArgumentParser) -> None:
    group = parser.add_argument_group("wayguard")
    group.add_argument("--tenant", default="load", help="tenant of all users")
    group.add_argument("--vendor", default="", help="vendor of all users; default: a new one each run")
    group.add_argument("--rate", type=float, default=1.0, help="fixes a second of each driver")
    group.add_argument("--storm-every", type=float, default=0.0, help="seconds between storms; 0 = none")
    group.add_argument("--reconnect-every", type=float, default=30.0, help="mean s until a driver is cut off")
    group.add_argument("--settle", type=float, default=30.0, help="seconds to flush and be seen at the end")
    group.add_argument("--seed", type=int, default=1, help="who drives where, and when things break")


class Run:
    """One run's world, streets and storms; made at the test's start."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        settings = local.completed(Settings())
        self.rng = Random(options.seed)
        self.name = f"{time.time_ns() // 1_000_000:x}"
        self.rate_hz, self.reconnect_s = float(options.rate), float(options.reconnect_every)
        self.settle_s = float(options.settle)
        url = (environment.host or settings.public_url).rstrip("/")
        vendor = options.vendor or f"load-{self.name}"
        self.world = users.World(settings, url, options.tenant, vendor, self.rng, self._record)
        self.storms: list[Storm] = []
        self._city: City | None = None
        self._streets = Semaphore()
        self._request = environment.events.request
        self._over = Event()
        self._stormer = gevent.spawn(self._storm_every, float(options.storm_every))

    def vehicle(self) -> Vehicle:
        """A vehicle somewhere in the city, which is built when the first one is asked for."""
        with self._streets:
            if self._city is None:
                self._city = build_city(self.rng.getrandbits(32))
            return build_fleet(self._city, 1, self.rng)[0]

    def end(self) -> verdict.Verdict:
        """Flush, look, judge, hang up."""
        self._over.set()
        self._stormer.join()  # a storm that blows is waited for
        late = verdict.settle(self.world, self.settle_s)
        found = verdict.judge(self.world, late, self.storms)
        gevent.joinall([gevent.spawn(line.close) for line in self.world.lines])
        return found

    def _record(self, kind: str, name: str, took_ms: float, trouble: str | None) -> None:
        self._request.fire(  # type: ignore[no-untyped-call]
            request_type=kind,
            name=name,
            response_time=took_ms,
            response_length=0,
            exception=None if trouble is None else RuntimeError(trouble),
            context={},
        )

    def _storm_every(self, every_s: float) -> None:
        while every_s > 0 and not self._over.wait(every_s):
            lines = [line for line in self.world.lines if line.is_up]
            started_s = time.monotonic()
            for line in lines:
                line.drop()
            whole = users.wait_for(self.world.is_whole, STORM_TIMEOUT_S)
            self.storms.append(Storm(len(lines), time.monotonic() - started_s if whole else None))


_runs: dict[Environment, Run] = {}


@events.init.add_listener  # type: ignore[untyped-decorator]
def _look_at_the_clock(**_: Any) -> None:
    """gevent counts from when its loop last ran, before all that was imported: a run time of 6 s would be
    over after 1 s on a busy machine.
    """
    gevent.get_hub().loop.update_now()


@events.test_start.add_listener  # type: ignore[untyped-decorator]
def _begin(environment: Environment, **_: Any) -> None:
    _runs[environment] = Run(environment)


@events.test_stop.add_listener  # type: ignore[untyped-decorator]
def _finish(environment: Environment, **_: Any) -> None:
    found = _runs.pop(environment).end()
    print("\n".join(found.lines), flush=True)
    environment.process_exit_code = 0 if found.is_sound else 1


class DriverUser(User):
    """Streams a plausible journey, some one by one and some in batches, and is cut off now and then."""

    weight = 6

    def on_start(self) -> None:
        """Start the journey."""
        run = self._run = _runs[self.environment]
        gather = 10 if run.rng.random() < BATCHERS else 1
        name = f"d{len(run.world.drivers)}-{run.name}"
        self._driver = users.Driver(run.world, name, run.vehicle(), gather)
        self._dt_s = 1.0 / run.rate_hz

    def wait_time(self) -> float:
        """The pace of the receiver."""
        pace: float = constant_pacing(self._dt_s)(self)
        return pace

    @task
    def drive(self) -> None:
        """One fix."""
        self._driver.fix(self._dt_s)
        every_s = self._run.reconnect_s
        if every_s > 0 and self._run.rng.random() < self._dt_s / every_s:
            self._driver.line.drop()


class DispatcherUser(User):
    """Watches the vendor."""

    weight = 1

    def on_start(self) -> None:
        """Open the map."""
        users.dispatcher(_runs[self.environment].world)

    @task
    def look(self) -> None:
        """Watching is done by the connection."""
        gevent.sleep(1.0)


class ContactUser(User):
    """Opens a share link and watches somebody's journey."""

    weight = 3

    def on_start(self) -> None:
        """Wait for somebody who drives, and watch them."""
        world = _runs[self.environment].world
        while not (driving := [driver for driver in world.drivers if driver.journey_id is not None]):
            gevent.sleep(0.1)
        driver = world.rng.choice(driving)
        try:
            users.contact(world, driver)
        except history.ApiError as error:
            raise StopUser from error

    @task
    def look(self) -> None:
        """Watching is done by the connection."""
        gevent.sleep(1.0)
