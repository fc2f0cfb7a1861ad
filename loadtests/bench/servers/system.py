"""What is measured, started for it: engines in a temporary folder, instances, a balancer, a peer."""

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import asyncpg

from realtime.engines import processes
from realtime.engines.embedded import free_port
from realtime.engines.haproxy import Balancer
from realtime.engines.postgres import OWNER, EmbeddedPostgres
from realtime.engines.probe import http_status
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings

READY_TIMEOUT_S = 60.0
PEER_DATABASE = "peer"
SERVE = ("-m", "realtime.cli", "serve")

_OURS = os.sched_getaffinity(0)
"""Read before anything is put on a core of its own."""


class Cores:
    """Which core serves and which one loads: the last of ours and the one before; one if there is one.

    Processes are put on a core by starting them from there, so that each of their threads is.
    """

    def __init__(self) -> None:
        self.all = _OURS
        *_, self.load, self.server = [*sorted(self.all)[:1], *sorted(self.all)]

    @contextmanager
    def on(self, core: int | None) -> Iterator[None]:
        """What is started in this block runs on ``core``; None = anywhere."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.all if core is None else {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


@dataclass
class Target:
    """A system under load: where its drivers connect, whose processes are its own, where its rows are."""

    name: str
    addresses: list[tuple[str, int]]
    pids: dict[str, list[int]]
    database_url: str
    metrics_ports: list[int] = field(default_factory=list)
    worker_port: int = 0
    safety_port: int = 0
    """Where the balancer has its safety frontend; 0 without one."""


class Engines:
    """A Postgres and a Redis with their defaults, as ``./run`` starts them, and what runs on them."""

    def __init__(self, folder: Path, redis_port: int | None = None) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder, max_connections=200)
        self.redis = EmbeddedRedis(folder, port=redis_port)
        self.secret = secrets.token_urlsafe(32)

    @property
    def settings(self) -> Settings:
        """The settings of our instances."""
        return Settings.model_validate(
            {"database_url": self.postgres.url, "redis_url": self.redis.url, "auth_secret": self.secret}
        )

    def environment(self, port: int, name: str) -> dict[str, str]:
        """The environment of one process."""
        return {
            **os.environ,
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "AUTH_SECRET": self.secret,
            "DATA_DIR": str(self.folder),
            "PORT": str(port),
            "INSTANCE_NAME": name,
            "PYTHONUNBUFFERED": "1",
        }

    def admin(self, *statements: str, database: str = "postgres") -> None:
        """Run each statement by itself as the superuser."""
        url = self.postgres.admin_url.replace("/postgres?", f"/{database}?")

        async def run() -> None:
            connection = await asyncpg.connect(url, timeout=30)
            try:
                for statement in statements:
                    await connection.execute(statement, timeout=120)
            finally:
                await connection.close(timeout=10)

        asyncio.run(run())

    def ask(self, query: str, database: str = "postgres") -> Any:
        """The one value that ``query`` gives the superuser."""
        url = self.postgres.admin_url.replace("/postgres?", f"/{database}?")

        async def run() -> Any:
            connection = await asyncpg.connect(url, timeout=30)
            try:
                return await connection.fetchval(query, timeout=120)
            finally:
                await connection.close(timeout=10)

        return asyncio.run(run())


@contextmanager
def engines(redis_port: int | None = None) -> Iterator[Engines]:
    """Started engines in a folder that goes with them; with a port Redis listens there too (0 = any)."""
    folder = Path(tempfile.mkdtemp(prefix="wayguard-bench-"))
    folder.chmod(0o711)
    made = Engines(folder, redis_port)
    try:
        made.postgres.start()
        made.redis.start()
        yield made
    finally:
        made.redis.stop()
        made.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def migrate(on: Engines) -> None:
    """Make the tables. Raises RuntimeError with what was said."""
    argv = [sys.executable, "-m", "realtime.cli", "migrate"]
    done = subprocess.run(argv, env=on.environment(0, "w0"), capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise RuntimeError(f"migrate failed: {(done.stdout + done.stderr)[-500:]}")


@contextmanager
def wayguard(
    on: Engines,
    instances: int,
    *,
    balancer: bool = False,
    connections_per_address: int = 1_000_000,
    program: Sequence[str] = SERVE,
    settings: Mapping[str, str] | None = None,
    cores: Sequence[int | None] = (None,),
) -> Iterator[Target]:
    """This project: ``instances`` web processes that run ``program`` with ``settings``, and a worker.

    ``cores`` are those of the instances, the last one for all further ones. `migrate` must have run.
    ``balancer``: HAProxy before them, with ``connections_per_address``; 0 = its own default.
    """
    with ExitStack() as stack:
        log = stack.enter_context((on.folder / "wayguard.log").open("ab"))
        ports = [free_port() for _ in range(instances)]
        pids = []
        for n, port in enumerate(ports, 1):
            with Cores().on(cores[min(n, len(cores)) - 1]):
                environment = on.environment(port, f"w{n}") | dict(settings or {})
                pids.append(_run(stack, [sys.executable, *program], environment, log))
        worker_port = free_port()
        worker = _run(
            stack,
            [sys.executable, "-m", "realtime.cli", "worker"],
            on.environment(worker_port, "worker1") | dict(settings or {}),
            log,
        )
        _until_ready([*ports, worker_port], on.folder / "wayguard.log")
        target = Target(
            f"wayguard, {instances} instance{'s' if instances > 1 else ''}",
            [("127.0.0.1", port) for port in ports],
            {"instances": pids, "worker": [worker], "redis": _pids(on.redis.pid)},
            on.postgres.admin_url.replace("/postgres?", f"/{OWNER}?"),
            ports,
            worker_port,
        )
        if balancer:
            _put_balancer(stack, on, target, log, connections_per_address)
        yield target


@contextmanager
def peer(
    on: Engines,
    name: str,
    argv: Sequence[str],
    settings: Mapping[str, str],
    cores: Sequence[int | None] = (None,),
) -> Iterator[Target]:
    """Somebody else's server without a database: as many processes of ``argv`` as there are ``cores``."""
    with ExitStack() as stack:
        file = on.folder / f"{name}.log"
        log = stack.enter_context(file.open("wb"))
        ports, pids = [], []
        for core in cores:
            ports.append(free_port())
            environment = {**os.environ, "AUTH_SECRET": on.secret, **settings, "PORT": str(ports[-1])}
            with Cores().on(core):
                pids.append(_run(stack, argv, environment, log))
        _until_ready(ports, file)
        addresses = [("127.0.0.1", port) for port in ports]
        yield Target(name, addresses, {"instances": pids, "redis": _pids(on.redis.pid)}, "")


@contextmanager
def stock(on: Engines, pool: int) -> Iterator[Target]:
    """What a user might pick instead: see `loadtests.peers.stock`."""
    on.admin(f"CREATE DATABASE {PEER_DATABASE} OWNER {OWNER}")
    with ExitStack() as stack:
        log = stack.enter_context((on.folder / "stock.log").open("wb"))
        port = free_port()
        environment = on.environment(port, "stock") | {
            "DATABASE_URL": on.postgres.url.replace(f"/{OWNER}?", f"/{PEER_DATABASE}?"),
            "POOL": str(pool),
        }
        pid = _run(stack, [sys.executable, "-m", "loadtests.peers.stock"], environment, log)
        _until_ready([port], on.folder / "stock.log")
        admin_url = on.postgres.admin_url.replace("/postgres?", f"/{PEER_DATABASE}?")
        yield Target("stock python-socketio", [("127.0.0.1", port)], {"instances": [pid]}, admin_url)


def _put_balancer(
    stack: ExitStack, on: Engines, target: Target, log: IO[bytes], connections_per_address: int
) -> None:
    port, target.safety_port = free_port(), free_port()
    servers = {f"w{n}": f"{host}:{at}" for n, (host, at) in enumerate(target.addresses, 1)}
    config = Balancer(
        [f"127.0.0.1:{port}"],
        servers,
        on.folder / "admin.sock",
        f"127.0.0.1:{free_port()}",
        workers={"worker1": f"127.0.0.1:{target.worker_port}"},
        safety_binds=[f"127.0.0.1:{target.safety_port}"],
        connections_per_address=connections_per_address,
    )
    file = on.folder / "haproxy.cfg"
    config.write(file)
    command = config.command(file)
    child = processes.start(command, log)
    stack.callback(processes.stop, child, command)
    _until_ready([port], on.folder / "wayguard.log")
    target.addresses = [("127.0.0.1", port)]
    target.pids["balancer"] = [child.pid]
    target.name += " behind HAProxy"


def _run(stack: ExitStack, argv: Sequence[str], environment: dict[str, str], log: IO[bytes]) -> int:
    command = processes.Command(argv, environment, stop_timeout_s=20.0)
    child = processes.start(command, log)
    stack.callback(processes.stop, child, command)
    return child.pid


def _until_ready(ports: Sequence[int], log: Path) -> None:
    async def wait() -> None:
        for port in ports:
            while await http_status("127.0.0.1", port, "/readyz") != 200:
                await asyncio.sleep(0.05)

    begun_s = time.monotonic()
    try:
        asyncio.run(asyncio.wait_for(wait(), READY_TIMEOUT_S))
    except TimeoutError:
        said = log.read_text(errors="replace")[-800:]
        raise RuntimeError(f"not ready after {time.monotonic() - begun_s:.0f} s: {said}") from None


def _pids(pid: int | None) -> list[int]:
    return [] if pid is None else [pid]
