"""`wayguard serve`, `worker`, `migrate`, `balancer` and `outside`: the single processes."""

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from realtime.cli.environment import fail, plain_errors, settings_here, settings_of_process
from realtime.protocol import shown
from realtime.runtime import raise_open_files_limit

_SERVER = re.compile(r"[a-z][a-z0-9-]{0,31}=[A-Za-z0-9.:\[\]_-]+:[0-9]{1,5}", re.ASCII)


def serve() -> None:
    """Run one web instance: the sockets, the HTTP API and the pages.

    It listens on `BIND_HOST`:`PORT` and is called `INSTANCE_NAME` at the balancer, a name that no other
    instance may have. SIGTERM drains it: clients move, what was accepted is committed, then it ends.
    """
    from realtime.processes.run import run_web

    run_web(settings_of_process())


def worker() -> None:
    """Run one worker: alerts are escalated and delivered, SOS and providers' callbacks are taken by HTTP,
    partitions are made and dropped, presence is kept true.

    Run at least two, so that none is a single point; they take turns. It listens on `BIND_HOST`:`PORT` and is
    called `INSTANCE_NAME` at the balancer.
    """
    from realtime.processes.run import run_worker

    run_worker(settings_of_process())


def migrate() -> None:
    """Bring the database to this release's schema. Safe to start many times at once."""
    import asyncpg

    from realtime.store.db.migration import MigrationError
    from realtime.store.migrate import migrate as run_migrations

    settings = settings_here()
    if not settings.direct_url:
        raise fail("DATABASE_URL is not set")
    try:
        done = asyncio.run(run_migrations(settings))
    except (MigrationError, asyncpg.PostgresError) as problem:
        raise fail(f"migrate: {problem}") from None
    except asyncpg.InterfaceError:  # its text may quote a part of the URL
        raise fail("DATABASE_DIRECT_URL or DATABASE_URL cannot be used: the driver refuses it") from None
    except (OSError, TimeoutError) as problem:
        raise fail(f"database cannot be reached: {problem or type(problem).__name__}") from None
    typer.echo(f"migrated: {', '.join(done)}" if done else "nothing to migrate")


def outside() -> None:
    """Run stand-ins for Twilio, Firebase and a mail server, and the page of what they took; for trying out.

    They listen where `TWILIO_BASE_URL`, `FCM_BASE_URL`, `FIREBASE_DATABASE_URL` and `SMTP_PORT` say, all on
    127.0.0.1, the page on `PORT`; the credentials that they take are those of the environment. `wayguard up
    --outside demo` starts it with all of that set.
    """
    from realtime.outside.main import run

    run(settings_of_process())


def balancer(
    server: Annotated[list[str], typer.Option(help="An instance as NAME=HOST:PORT; once for each.")],
    bind: Annotated[list[str], typer.Option(help="Where to listen, with HAProxy's own options.")],
    worker: Annotated[
        list[str], typer.Option(help="A worker as NAME=HOST:PORT; once for each.", default_factory=list)
    ],
    safety_bind: Annotated[
        list[str],
        typer.Option(
            help="Where SOS, answers and callbacks have connections of their own.", default_factory=list
        ),
    ],
    metrics_bind: Annotated[
        str, typer.Option(help="Where Prometheus finds HAProxy's metrics.")
    ] = "127.0.0.1:8404",
    admin_socket: Annotated[Path, typer.Option(help="HAProxy's admin socket.")] = Path("haproxy.sock"),
    threads: Annotated[int, typer.Option(min=1, help="HAProxy's threads.")] = 1,
    connections_per_address: Annotated[
        int, typer.Option(min=0, help="Of one address at most; 0 = half of all.")
    ] = 0,
    only_print: Annotated[bool, typer.Option("--print", help="Print the configuration and end.")] = False,
) -> None:
    """Run HAProxy from `deploy/haproxy.cfg` in front of the given instances and workers.

    Example: `wayguard balancer --bind ':443 ssl crt /certs/site.pem' --server w1=10.0.0.11:8000
    --server w2=10.0.0.12:8000 --worker worker1=10.0.0.21:8000 --worker worker2=10.0.0.22:8000`
    """
    from realtime.engines import haproxy

    servers, workers = _addresses("--server", server), _addresses("--worker", worker)
    raise_open_files_limit()
    config = haproxy.Balancer(
        bind,
        servers,
        admin_socket,
        metrics_bind,
        threads,
        workers=workers,
        safety_binds=safety_bind,
        connections_per_address=connections_per_address,
    )
    if only_print:
        typer.echo(config.render(), nl=False)
        return
    with plain_errors():
        file = Path(tempfile.mkdtemp(prefix="wayguard-haproxy-")) / "haproxy.cfg"
        config.write(file)
        argv = list(config.command(file).argv)
        sys.stdout.flush()
        os.execv(argv[0], argv)  # noqa: S606  the argv is ours


def _addresses(option: str, entries: list[str]) -> dict[str, str]:
    for entry in entries:
        if not _SERVER.fullmatch(entry):
            raise typer.BadParameter(f"{option} is not NAME=HOST:PORT: {shown(entry)}")
    return dict(entry.split("=") for entry in entries)
