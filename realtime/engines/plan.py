"""What `wayguard up` runs: each process's command line and environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from realtime.engines import processes
from realtime.engines.errors import EngineError
from realtime.engines.haproxy import Balancer
from realtime.engines.layout import DataDir
from realtime.engines.ports import inner_ports, public_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings
from realtime.store.db.pools import GUESTS, PRESSES

MARK = "WAYGUARD_SUPERVISED"
"""The environment variable that tells whose child a process is: the data directory of its supervisor."""

_POOLS_PER_PROCESS = 2
_LANES_PER_PROCESS = GUESTS.connections + PRESSES.connections
_CONNECTIONS_BESIDE_POOLS = 30


@dataclass(frozen=True)
class Options:
    """What the command line of `wayguard up` says."""

    instances: int = 2
    workers: int = 2
    demo: bool = True
    outside: bool = False
    program: tuple[str, ...] = (sys.executable, "-m", "realtime.cli")
    """What a child's arguments are appended to."""


@dataclass(frozen=True)
class Part:
    """A process of ours: its name, where it listens, its command."""

    name: str
    port: int
    command: processes.Command


@dataclass(frozen=True)
class SystemPlan:
    """Everything that is to run. ``postgres`` and ``redis`` are None when external ones are used.

    ``outside``: the stand-ins of the outside services, if they are wanted.
    """

    data: DataDir
    settings: Settings
    host: str
    port: int
    postgres: EmbeddedPostgres | None
    redis: EmbeddedRedis | None
    balancer: Balancer
    release: processes.Command
    webs: tuple[Part, ...]
    workers: tuple[Part, ...]
    outside: Part | None
    demo: processes.Command | None

    @property
    def configuration(self) -> Path:
        """Where the balancer's configuration is written."""
        return self.data.run / "haproxy.cfg"


def make_plan(settings: Settings, options: Options, environ: Mapping[str, str] = os.environ) -> SystemPlan:
    """Decide ports, engines and environments. The data directory must be prepared. Raises EngineError."""
    data = DataDir(settings.data_dir)
    host = settings.bind_host
    port = public_port(host, settings.port)
    metrics_port, *ports = inner_ports(port, 1 + options.instances + options.workers)
    postgres = None if settings.database_url.get_secret_value() else _postgres(settings, options)
    redis = None if settings.redis_url.get_secret_value() else EmbeddedRedis(settings.data_dir)
    shared = _shared_environment(settings, data, port, environ)
    outside = None
    if options.outside:
        outside_port, stand_ins = _stand_ins(max(metrics_port, *ports), environ)
        shared |= stand_ins
        outside = _part("outside", 0, shared, outside_port, options)
    if postgres:
        shared |= {"DATABASE_URL": postgres.url}
    if redis:
        shared |= {"REDIS_URL": redis.url}
    parts = [
        _part(kind, number, shared, ports.pop(0), options)
        for kind, count in (("web", options.instances), ("worker", options.workers))
        for number in range(1, count + 1)
    ]
    webs, workers = tuple(parts[: options.instances]), tuple(parts[options.instances :])
    return SystemPlan(
        data=data,
        settings=settings,
        host=host,
        port=port,
        postgres=postgres,
        redis=redis,
        balancer=Balancer(
            [f"{_bracketed(host)}:{port}"],
            {web.name: f"127.0.0.1:{web.port}" for web in webs},
            data.socket_folder("haproxy") / "admin.sock",
            f"127.0.0.1:{metrics_port}",
            workers={worker.name: f"127.0.0.1:{worker.port}" for worker in workers},
            safety_binds=[settings.safety_bind] if settings.safety_bind else [],
            connections_per_address=settings.connections_per_address,
        ),
        release=processes.Command([*options.program, "migrate"], shared),
        webs=webs,
        workers=workers,
        outside=outside,
        demo=_demo(shared, options, f"http://{local_host(host)}:{port}"),
    )


def local_host(host: str) -> str:
    """The address under which this machine reaches a listener on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}.get(host, _bracketed(host))  # noqa: S104


def _postgres(settings: Settings, options: Options) -> EmbeddedPostgres:
    processes_count = options.instances + options.workers
    each = settings.db_pool_size * _POOLS_PER_PROCESS + _LANES_PER_PROCESS
    wanted = processes_count * each + _CONNECTIONS_BESIDE_POOLS
    return EmbeddedPostgres(settings.data_dir, max_connections=max(100, wanted))


def _shared_environment(
    settings: Settings, data: DataDir, port: int, environ: Mapping[str, str]
) -> dict[str, str]:
    """What every process of ours gets: our own environment, and what we decide for them."""
    decided = {
        MARK: str(data.path),
        "DATA_DIR": str(data.path),
        "PYTHONUNBUFFERED": "1",
        "BIND_HOST": "127.0.0.1",
        "AUTH_SECRET": settings.auth_secret.get_secret_value() or data.secret("auth"),
    }
    given = settings.public_url if "PUBLIC_URL" in environ else None
    decided["PUBLIC_URL"] = given or f"http://{local_host(settings.bind_host)}:{port}"
    if settings.safety_bind and "SAFETY_URL" not in environ:
        address, *options = settings.safety_bind.split()
        host, _, safety_port = address.rpartition(":")
        scheme = "https" if "ssl" in options else "http"
        local = local_host(host.strip("[]*"))
        decided["SAFETY_URL"] = f"{scheme}://{local}:{safety_port}"
    return {**environ, **decided}


def _part(kind: str, number: int, shared: Mapping[str, str], port: int, options: Options) -> Part:
    # w1, w2 … is what sids begin with and what the balancer calls the servers.
    name, verb = {"web": (f"w{number}", "serve"), "worker": (f"worker{number}", "worker")}.get(
        kind, (kind, kind)
    )
    env = {**shared, "INSTANCE_NAME": name, "PORT": str(port)}
    return Part(name, port, processes.Command([*options.program, verb], env, stop_timeout_s=20.0))


def _stand_ins(after: int, environ: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """The port of the stand-ins' page, and what turns everybody's ways out to them. Raises EngineError."""
    from realtime.outside import accounts  # their keys need an import that nobody else should wait for

    if real := accounts.set_for_real(environ):
        raise EngineError(f"{real[0]} is set: unset it, or start without --outside demo")
    port, *ports = inner_ports(after, 1 + accounts.PORTS)
    past = environ.get("no_proxy") or environ.get("NO_PROXY")
    here = f"{past},{accounts.HOST}" if past else accounts.HOST
    # Firebase's clients would ask a proxy of the environment for what is on this machine.
    return port, {**accounts.made_up(ports), "no_proxy": here, "NO_PROXY": here}


INLAND = "53.4794,-2.2453"
"""Manchester: the built-in basemap knows no rivers, so the streets of a port would lie in the water."""
SOS_AFTER_S = 8
"""Into the demo: time to open the page first."""


def _demo(shared: Mapping[str, str], options: Options, url: str) -> processes.Command | None:
    if not options.demo:
        return None
    arguments = ["simulate", "--drivers", "12", "--rate", "1", "--url", url]
    arguments += ["--tenant", "demo", "--vendor", "north", "--centre", INLAND]
    if options.outside:
        arguments += ["--sos-after", str(SOS_AFTER_S)]
    return processes.Command([*options.program, *arguments], shared, stop_timeout_s=5.0)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
