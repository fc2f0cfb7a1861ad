"""``wayguard simulate``: a made-up fleet through the driver protocol."""

from typing import Annotated

import typer


def simulate(
    drivers: Annotated[int, typer.Option(min=1, max=50_000, help="how many drive")] = 200,
    rate: Annotated[float, typer.Option(min=0.001, max=100, help="fixes a second of each")] = 1.0,
    duration: Annotated[float, typer.Option(min=0, help="seconds; 0 = until stopped")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, max=500, help="fixes gathered before they are sent")] = 1,
    seed: Annotated[int, typer.Option(help="the city and who drives where; 0 = another one each time")] = 1,
    url: Annotated[str, typer.Option(help="where the server is; default PUBLIC_URL")] = "",
    tenant: Annotated[str, typer.Option(help="tenant to drive for")] = "demo",
    vendor: Annotated[str, typer.Option(help="vendor to drive for")] = "north",
    centre: Annotated[str, typer.Option(help="LAT,LON of the city; default central Liverpool")] = "",
    journey_s: Annotated[
        float, typer.Option(min=1, help="a journey ends at the first destination after so many seconds")
    ] = 3600.0,
    sos_after: Annotated[
        float, typer.Option(min=0, help="the first driver raises an SOS after so many seconds; 0 = none")
    ] = 0.0,
    flush_s: Annotated[float, typer.Option(min=0, help="how long to wait for the last acks")] = 4.0,
) -> None:
    """Drive a fleet along the streets of a made-up city and report it, until Ctrl-C or for --duration
    seconds.

    The city, the routes, speeds, stops and the receivers' noise come from --seed. At the end the journeys are
    ended and the closing line counts what became of the points; the exit code is 1 when one was not
    acknowledged.

    Example: wayguard simulate --drivers 200 --rate 1
    """
    # Imported here so that `--help` is quick.
    from realtime.cli._play import CommandError, play_crowd

    try:
        complete = play_crowd(
            drivers,
            rate,
            duration or None,
            batch,
            seed,
            url,
            tenant,
            vendor,
            centre,
            journey_s,
            flush_s,
            sos_after or None,
        )
    except CommandError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    if not complete:
        raise typer.Exit(1)
