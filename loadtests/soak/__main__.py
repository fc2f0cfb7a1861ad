"""``python -m loadtests.soak --minutes 10``: exit code 1 and ``NOT FLAT`` when anything leaks or is lost."""

import time
from pathlib import Path
from typing import Annotated

import typer

from loadtests.bench.load.idle_clients import raise_open_files_limit
from loadtests.bench.measure import tables
from loadtests.soak import flat
from loadtests.soak.crowd import Manners
from loadtests.soak.run import Options, Outcome, run

WARM_S = 60.0


def soak(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long people come and go.")] = 10.0,
    drivers: Annotated[int, typer.Option(min=1, help="Half send each fix, half batches of ten.")] = 200,
    viewers: Annotated[int, typer.Option(min=1, help="Viewers of vendors, drivers, journeys, areas.")] = 100,
    stalled: Annotated[int, typer.Option(min=0, help="Viewers that stop reading, again and again.")] = 10,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two samples.")] = 10.0,
    pace: Annotated[float, typer.Option(min=0.1, help="So many times faster do people come and go.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of all that happens at random.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Keep samples and trends in this file.")] = None,
) -> None:
    """Two instances behind HAProxy, a worker, Postgres and Redis under drivers and viewers who come and go.

    Redis is restarted halfway. The first fifth, but at least a minute where there are five, is warm-up.
    """
    raise_open_files_limit()
    seconds = minutes * 60
    ordinary = Manners()
    options = Options(
        seconds=seconds,
        warm_s=max(seconds / 5, min(WARM_S, seconds / 3)),
        drivers=drivers,
        viewers=viewers,
        stalled=stalled,
        every_s=every,
        seed=seed,
        manners=Manners(
            connected_s=ordinary.connected_s / pace,
            journey_s=ordinary.journey_s / pace,
            look_s=ordinary.look_s / pace,
        ),
    )
    outcome = run(options, lambda line: typer.echo(line))
    if json is not None:
        tables.keep(json, document(options, outcome))
    typer.echo("\n".join(["", *flat.table(outcome.trends), "", *_told(outcome)]))
    raise typer.Exit(1 if outcome.faults else 0)


def document(options: Options, outcome: Outcome) -> dict[str, object]:
    """What ``--json`` keeps."""
    return {
        "benchmark": "soak",
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": tables.machine(),
        "options": options,
        "outcome": outcome,
    }


def _told(outcome: Outcome) -> list[str]:
    counts = ", ".join(f"{name} {count:,}" for name, count in sorted(outcome.counts.items()))
    troubles = ", ".join(f"{name}: {count}" for name, count in sorted(outcome.troubles.items())) or "none"
    return [
        counts,
        f"points acknowledged {outcome.acknowledged:,}, of these missing {outcome.lost}",
        f"connections that ended otherwise than the client wished: {troubles}",
        *(f"FAULT {fault}" for fault in outcome.faults),
        "NOT FLAT" if outcome.faults else "FLAT",
    ]


if __name__ == "__main__":
    typer.run(soak)
