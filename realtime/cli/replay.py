"""``wayguard replay``: recorded vehicles through the driver protocol."""

from pathlib import Path
from typing import Annotated

import typer


def replay(
    file: Annotated[
        Path, typer.Argument(help="CSV with vehicle_id, trip_id, timestamp, latitude, longitude, bearing")
    ],
    speed: Annotated[float, typer.Option(min=0.01, help="how many recorded seconds pass in one")] = 1.0,
    url: Annotated[str, typer.Option(help="where the server is; default PUBLIC_URL")] = "",
    tenant: Annotated[str, typer.Option(help="tenant to drive for")] = "demo",
    vendor: Annotated[str, typer.Option(help="vendor to drive for")] = "north",
    token: Annotated[
        str, typer.Option(envvar="WAYGUARD_TOKEN", help="a driver's token, instead of minting one a vehicle")
    ] = "",
    flush_s: Annotated[float, typer.Option(min=0, help="how long to wait for the last acks")] = 60.0,
    seed: Annotated[int, typer.Option(help="for the jitter of retries; 0 = another one each time")] = 0,
) -> None:
    """Replay a CSV of recorded fixes: one vehicle a driver, one trip a journey, times rebased to now.

    Each fix is sent at the moment it falls due, with that moment as its time, and again until it is
    acknowledged. The closing line counts journeys, points, acknowledged, voided and resent; the exit code
    is 1 when a point was not acknowledged.

    Example: wayguard replay tests/data/liverpool_route14.csv --speed 300
    """
    # Imported here so that `--help` is quick.
    from realtime.cli._play import CommandError, play_recording

    try:
        complete = play_recording(file, speed, url, tenant, vendor, token, flush_s, seed)
    except CommandError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if not complete:
        raise typer.Exit(1)
