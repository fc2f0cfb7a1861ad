"""`wayguard up`: everything on one machine."""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from realtime.cli.environment import plain_errors, settings_of_process
from realtime.engines import demo, local
from realtime.engines.console import Console, console
from realtime.engines.layout import DataDir
from realtime.engines.plan import Options, SystemPlan, make_plan
from realtime.engines.supervisor import Announce, Supervisor, end_leftovers
from realtime.runtime import raise_open_files_limit


class Outside(StrEnum):
    """What stands in for the outside."""

    DEMO = "demo"


def up(
    instances: Annotated[int, typer.Option(min=1, max=64, help="Web instances behind the balancer.")] = 2,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
    demo: Annotated[bool, typer.Option(help="Play a small fleet.")] = True,
    outside: Annotated[
        Outside | None,
        typer.Option(help="Stand-ins for Twilio, Firebase and mail, a page of what they got, and an SOS."),
    ] = None,
) -> None:
    """Run Postgres, Redis, HAProxy, instances and workers on this machine, and keep them running.

    Prints `ready: http://127.0.0.1:8000` when everything is healthy. Ctrl-C stops it all in order. Data is
    kept in `DATA_DIR` (`.wayguard`). `DATABASE_URL` and `REDIS_URL`, when set, replace the embedded engines.
    `PORT` and `BIND_HOST` say where to listen.
    """
    if code := run(Options(instances, workers, demo, outside is not None), announce):
        raise typer.Exit(code)


def run(options: Options, announce: Announce) -> int:
    """Run until told to stop; the exit code. Exits at once when the machine or the settings will not do."""
    settings = settings_of_process()
    log = console(settings.log_format)
    data = DataDir(settings.data_dir)
    with plain_errors():
        raise_open_files_limit()
        data.prepare()
        data.lock()
        end_leftovers(data, log)
        plan = make_plan(settings, options)
    return asyncio.run(Supervisor(plan, log, announce).run())


async def announce(plan: SystemPlan, log: Console) -> None:
    """Print the links, with the addresses and the secret that the processes have."""
    decided = plan.webs[0].command.env
    complete = local.completed(plan.settings)
    await demo.announce(plan, log, complete.model_copy(update={"public_url": decided["PUBLIC_URL"]}))
