"""`wayguard doctor`: looks at everything the system stands on and says what to do."""

import asyncio

import typer

from realtime.cli.environment import settings_here
from realtime.settings import Settings


def doctor() -> None:
    """Check settings, engines, durability, partitions and clocks, and say what to do about each fault.

    Uses the same environment as the system; while `./run` runs, nothing need be set. Exit code 1 on a fault.
    """
    faults = asyncio.run(_report(settings_here()))
    if faults:
        typer.secho(f"{faults} fault{'s' if faults > 1 else ''}", fg="red")
        raise typer.Exit(1)
    typer.secho("all is well", fg="green")


async def _report(settings: Settings) -> int:
    """Print every finding as it is made; how many faults there were."""
    from realtime.cli.findings import CHECKS

    faults = 0
    for check in CHECKS:
        for finding in await check(settings):
            mark = typer.style("FAULT", fg="red") if finding.is_fault else typer.style("ok   ", fg="green")
            typer.echo(f"{mark} {finding.subject:<14} {finding.text}")
            if finding.is_fault:
                typer.echo(f"{'':20} do: {finding.advice}")
            faults += finding.is_fault
    return faults
