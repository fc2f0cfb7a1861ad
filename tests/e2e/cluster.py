"""A whole cluster as processes of this machine, and the means to break it.

Built of what `wayguard up` is built of: the same plan, the same services, the same balancer template. Engines
listen on ports of their own, so that tests can look into them.
"""

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import redis.asyncio as redis

from realtime.engines import haproxy, processes
from realtime.engines.console import Console
from realtime.engines.embedded import Embedded
from realtime.engines.errors import EngineError
from realtime.engines.plan import Options, Part, SystemPlan, make_plan
from realtime.engines.postgres import OWNER, EmbeddedPostgres
from realtime.engines.probe import answers_200
from realtime.engines.redis import EmbeddedRedis
from realtime.engines.service import Service
from realtime.settings import Settings
from tests.e2e.launcher import trap
from tests.e2e.postgres_template import copy_template
from tests.engines_fixtures import at_database
from tests.rediscluster import RedisCluster

ROOT = Path(__file__).parents[2]
READY_S = 60.0
WHOLE_S = 5.0
"""What is promised: everything is whole so soon after Redis is back, or a commit went unpublished."""
MARGIN_S = 1.5
"""For noticing: clients and tests look now and then, on a machine that has other work."""
KNOBS = {
    # Shorter than in production, so that what waits for them is tested in seconds.
    "VIEWER_STALL_S": "4",
    "PING_INTERVAL_S": "5",
    "PING_TIMEOUT_S": "5",
    "DRAIN_S": "2",
}


async def until(
    condition: Callable[[], Any], what: str, timeout_s: float = 30.0, pause_s: float = 0.03
) -> float:
    """Wait until ``condition``, which may be async, holds; the seconds it took. Fails naming ``what``."""
    begun = time.monotonic()
    while True:
        held = condition()
        if isinstance(held, Awaitable):
            held = await held
        if held:
            return time.monotonic() - begun
        assert time.monotonic() - begun < timeout_s, f"not in {timeout_s:g} s: {what}"
        await asyncio.sleep(pause_s)


class Engine:
    """Postgres or Redis that can be stopped, and started again where it was."""

    def __init__(self, embedded: Embedded, console: Console) -> None:
        self.embedded = embedded
        self._console = console
        self._service: Service | None = None

    @property
    def runs(self) -> bool:
        return self._service is not None

    async def start(self) -> None:
        """Start and wait until it answers. Does nothing when it runs."""
        if self._service is None:
            self._service = self._make()
            await self._service.start()
            await self._service.until_ready(READY_S)

    async def stop(self) -> None:
        """Stop it politely; its clients are cut off."""
        service, self._service = self._service, None
        if service is not None:
            await service.stop(asyncio.Event())

    def _make(self) -> Service:
        def prepare() -> processes.Command:
            self.embedded.prepare()
            return self.embedded.command()

        async def ready() -> bool:
            return await asyncio.to_thread(self.embedded.is_ready)

        return Service(self.embedded.name, prepare, ready, self._console)


class Cluster:
    """Instances, workers, Postgres, Redis and HAProxy. ``async with Cluster(folder) as cluster``.

    With ``nodes``, which are started and stopped by whoever made them, a Redis Cluster takes Redis' place.
    ``knobs``: further settings of its processes, by their environment variables. ``prepare`` is called when
    the tables are there and no process runs yet.
    """

    def __init__(
        self,
        folder: Path,
        instances: int = 2,
        workers: int = 2,
        nodes: RedisCluster | None = None,
        knobs: Mapping[str, str] | None = None,
        prepare: "Callable[[Cluster], Awaitable[None]] | None" = None,
    ) -> None:
        self.folder = folder
        self.nodes = nodes
        self._prepare = prepare
        self._knobs = KNOBS | dict(knobs or {})
        copy_template(folder)
        self.log = folder / "cluster.log"
        self._console = Console(self.log.open("w", encoding="utf-8"), "text", colour=False)
        self.postgres = Engine(EmbeddedPostgres(folder, port=0), self._console)
        self.redis = Engine(EmbeddedRedis(folder, port=0), self._console)
        self._engines = [self.postgres] if nodes else [self.postgres, self.redis]
        urls = {
            "DATABASE_URL": self.postgres.embedded.url,
            "REDIS_URL": nodes.url if nodes else self.redis.embedded.url,
        }
        self.plan = self._planned(urls, instances, workers)
        self.settings = Settings(
            **{name.lower(): value for name, value in (urls | self._knobs).items()},  # type: ignore[arg-type]
            auth_secret=self.plan.webs[0].command.env["AUTH_SECRET"],  # type: ignore[arg-type]
            public_url=self.url,
            data_dir=folder,
        )
        self._services = {part.name: self._service(part) for part in (*self.plan.webs, *self.plan.workers)}
        self._balancer = self._balancer_service()

    def _planned(self, urls: dict[str, str], instances: int, workers: int) -> SystemPlan:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        given = {name.lower(): value for name, value in urls.items()}
        settings = Settings(data_dir=self.folder, port=0, **given)  # type: ignore[arg-type]
        program = (sys.executable, "-m", "tests.e2e.launcher")
        options = Options(instances=instances, workers=workers, demo=False, program=program)
        return make_plan(settings, options, {**kept, **urls, **self._knobs, "PYTHONPATH": str(ROOT)})

    # --- its parts

    @property
    def url(self) -> str:
        """The balancer."""
        return f"http://127.0.0.1:{self.plan.port}"

    @property
    def instances(self) -> list[str]:
        return [web.name for web in self.plan.webs]

    @property
    def workers(self) -> list[str]:
        return [worker.name for worker in self.plan.workers]

    def url_of(self, name: str) -> str:
        """One instance or worker, past the balancer."""
        (part,) = (part for part in (*self.plan.webs, *self.plan.workers) if part.name == name)
        return f"http://127.0.0.1:{part.port}"

    def pid(self, name: str) -> int | None:
        return self._services[name].pid

    @property
    def redis_url(self) -> str:
        return self.redis.embedded.url

    def redis_client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.redis_url, socket_timeout=5)

    async def look(self) -> "asyncpg.Connection[Any]":
        """A connection that sees every tenant's rows: the truth. To be closed by the caller."""
        assert isinstance(self.postgres.embedded, EmbeddedPostgres)
        return await asyncpg.connect(at_database(self.postgres.embedded.admin_url, OWNER), timeout=20)

    async def metric(self, name: str, metric: str, **labels: str) -> float:
        """A metric of one process, summed over the series that have ``labels``."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url_of(name)}/metrics") as answer:
            text = await answer.text()
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        series = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return sum(
            float(value)
            for key, value in series
            if key.partition("{")[0] == metric and all(label in key for label in wanted)
        )

    def said_since(self, offset: int = 0) -> str:
        """What the processes logged after so many characters."""
        return self.log.read_text(encoding="utf-8", errors="replace")[offset:]

    # --- start and stop

    async def __aenter__(self) -> "Cluster":
        await asyncio.gather(*(engine.start() for engine in self._engines))
        if self._prepare is not None:
            await self._prepare(self)
        await asyncio.gather(*(service.start() for service in (*self._services.values(), self._balancer)))
        await self.whole()
        return self

    async def __aexit__(self, *_: object) -> None:
        hurry = asyncio.Event()
        hurry.set()
        services = (self._balancer, *self._services.values())
        # Everything is stopped, also after one of them failed to.
        stopped = [
            *await asyncio.gather(*(service.stop(hurry) for service in services), return_exceptions=True),
            *await asyncio.gather(*(engine.stop() for engine in self._engines), return_exceptions=True),
        ]
        for outcome in stopped:
            if isinstance(outcome, BaseException):
                raise outcome

    async def whole(self) -> None:
        """Bring back what a test took away, and wait until every part is there."""
        for name in self.instances:
            trap(self.folder / "run", name).unlink(missing_ok=True)
        await asyncio.gather(*(engine.start() for engine in self._engines))
        if self.nodes is not None:
            await asyncio.to_thread(self.nodes.start_again)
        await asyncio.gather(*(self.until_up(name) for name in self._services))

    async def until_up(self, name: str) -> None:
        """Wait until a process takes traffic, from the balancer too."""
        service = self._services[name]
        await until(lambda: service.pid is not None, f"{name} runs", READY_S)
        await service.until_ready(READY_S, patience=10)
        if name in self.instances:
            await until(lambda: name in self.balanced(), f"the balancer sends to {name}", READY_S)

    def balanced(self) -> list[str]:
        """The instances that the balancer sends new sessions to."""
        rows = haproxy.ask(self.plan.balancer.admin_socket, "show stat").splitlines()
        header = rows[0].removeprefix("# ").split(",")
        stats = [dict(zip(header, row.split(","), strict=False)) for row in rows[1:]]
        return [s["svname"] for s in stats if s["pxname"] == "web" and s["status"] == "UP"]

    # --- faults

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a process a signal and wait until it has ended; its supervisor starts it again."""
        pid = self.pid(name)
        assert pid is not None
        begun = processes.started_at(pid)
        os.kill(pid, number)
        await until(lambda: processes.started_at(pid) != begun, f"{name} ends")

    async def kill_balancer(self) -> None:
        """Kill the balancer with -9 and wait until its supervisor has another one up."""
        pid = self._balancer.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until(lambda: self._balancer.pid not in (None, pid), "another balancer", READY_S)

        def sends_to_all() -> bool:
            try:
                return set(self.instances) <= set(self.balanced())
            except EngineError:  # it does not listen yet
                return False

        await until(sends_to_all, "it sends to all", READY_S)

    def arm(self, name: str) -> None:
        """Let an instance die between its next commit and the publish of it."""
        trap(self.folder / "run", name).touch()

    def is_armed(self, name: str) -> bool:
        return trap(self.folder / "run", name).exists()

    async def empty_redis(self) -> None:
        """Restart Redis with nothing of what it held."""
        await self.redis.stop()
        for entry in self.redis.embedded.folder.iterdir():  # type: ignore[attr-defined]
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        await self.redis.start()

    # --- how

    def _service(self, part: Part) -> Service:
        ready = answers_200("127.0.0.1", part.port, "/readyz")
        return Service(part.name, lambda: part.command, ready, self._console)

    def _balancer_service(self) -> Service:
        def prepare() -> processes.Command:
            self.plan.balancer.write(self.plan.configuration)
            return self.plan.balancer.command(self.plan.configuration)

        return Service("haproxy", prepare, answers_200("127.0.0.1", self.plan.port, "/readyz"), self._console)
