"""What is measured, started for it: engines in a temporary folder, instances, a balancer, a peer."""

import asyncio
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

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


@dataclass
class Target:
    """A system under load: where its drivers connect, whose processes are its own, where its rows are."""

    name: str
    addresses: list[tuple[str, int]]
    pids: dict[str, list[int]]
    database_url: str
    metrics_ports: list[int] = field(default_factory=list)


class Engines:
    """A Postgres and a Redis with their defaults, as ``./run`` starts them, and what runs on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder, max_connections=200)
        self.redis = EmbeddedRedis(folder)
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


@contextmanager
def engines() -> Iterator[Engines]:
    """Started engines in a folder that goes with them."""
    folder = Path(tempfile.mkdtemp(prefix="wayguard-bench-"))
    folder.chmod(0o711)
    made = Engines(folder)
    try:
        made.postgres.start()
        made.redis.start()
        yield made
    finally:
        made.redis.stop()
        made.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def wayguard(on: Engines, instances: int, *, balancer: bool, profile: Path | None) -> Iterator[Target]:
    """This project: ``instances`` web processes and a worker; ``profile``: where samples go."""
    with ExitStack() as stack:
        migrate = processes.Command(
            [sys.executable, "-m", "realtime.cli", "migrate"], on.environment(0, "w0")
        )
        log = stack.enter_context((on.folder / "wayguard.log").open("wb"))
        if processes.start(migrate, log).wait(120) != 0:
            raise RuntimeError(f"migrate failed: {(on.folder / 'wayguard.log').read_text()[-500:]}")
        program = ["-m", "realtime.cli", "serve"]
        if profile is not None:
            program = ["-m", "loadtests.bench.profiled", str(profile)]
        ports = [free_port() for _ in range(instances)]
        pids = [
            _run(stack, [sys.executable, *program], on.environment(port, f"w{n}"), log)
            for n, port in enumerate(ports, 1)
        ]
        worker_port = free_port()
        worker = _run(
            stack,
            [sys.executable, "-m", "realtime.cli", "worker"],
            on.environment(worker_port, "worker1"),
            log,
        )
        _until_ready([*ports, worker_port], on.folder / "wayguard.log")
        target = Target(
            f"wayguard, {instances} instance{'s' if instances > 1 else ''}",
            [("127.0.0.1", port) for port in ports],
            {"instances": pids, "worker": [worker], "redis": _pids(on.redis.pid)},
            on.postgres.admin_url.replace("/postgres?", f"/{OWNER}?"),
            ports,
        )
        if balancer:
            _put_balancer(stack, on, target, log)
        yield target


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


def _put_balancer(stack: ExitStack, on: Engines, target: Target, log: IO[bytes]) -> None:
    port = free_port()
    servers = {f"w{n}": f"{host}:{at}" for n, (host, at) in enumerate(target.addresses, 1)}
    config = Balancer([f"127.0.0.1:{port}"], servers, on.folder / "admin.sock", f"127.0.0.1:{free_port()}")
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
