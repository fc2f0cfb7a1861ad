"""The command line: ``python -m loadtests.bench durable --json durable.json``."""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from loadtests.bench import compare_cli
from loadtests.bench.cases import durable
from loadtests.bench.measure import profile_report, tables
from loadtests.bench.measure.measurement import Measurement, Shape

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
compare_cli.add_to(app)


@app.callback()
def bench() -> None:
    """Benchmarks of everything on one machine. Each starts what it needs and stops it again."""


@app.command(name="durable", help=(durable.__doc__ or "").replace("``", "`"))
def run_durable(
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.2, help="How long one case is measured.")] = 6.0,
    warm: Annotated[float, typer.Option(min=0.0, help="Seconds before that, not measured.")] = 2.0,
    drivers: Annotated[int, typer.Option(min=1, help="Connections; each sends, waits, sends.")] = 500,
    instances: Annotated[int, typer.Option(min=1, help="Web instances.")] = 1,
    balancer: Annotated[bool, typer.Option(help="Go through HAProxy.")] = False,
    pool: Annotated[int, typer.Option(min=1, help="The peer's database connections.")] = 20,
    peer: Annotated[bool, typer.Option(help="Measure the peer too.")] = True,
    json: Annotated[Path | None, typer.Option(help="Where every measurement is written.")] = None,
    samples: Annotated[
        Path | None, typer.Option(help="Sample the instances; folded stacks go to FILE.w1.1 …")
    ] = None,
) -> None:
    """Ends with code 1 when an acknowledged point is missing, or a driver was refused or cut off."""
    options = durable.Options(
        rounds, Shape(drivers, warm, seconds), instances, balancer, pool, peer, samples and samples.absolute()
    )
    load_before = os.getloadavg()
    made = durable.run(options, _say)
    _table(durable.summaries(made))
    for name, ratio in durable.ratios(made).items():
        print(f"{name}: {ratio:.2f}")
    if samples is not None:
        cases = [f"batch {batch}" for batch in durable.BATCHES]
        for case, stacks in profile_report.of_cases(samples, cases).items():
            print("\n".join(profile_report.told(case, stacks)))
    if json is not None:
        document = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": tables.machine(),
            "load_before": load_before,
            "options": {name: getattr(options, name) for name in ("rounds", "instances", "balancer", "pool")}
            | msgspec.to_builtins(options.shape),
            "ratios": durable.ratios(made),
            "measurements": made,
        }
        json.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    if not durable.is_sound(made):
        print("NOT SOUND: see errors and lost above")
        raise typer.Exit(1)


def _say(one: Measurement) -> None:
    cores = " ".join(f"{role}={used:.2f}" for role, used in one.cores.items())
    trouble = f" ERRORS {one.errors}" if one.errors else ""
    trouble += f" LOST {one.lost_points}" if one.lost_points else ""
    print(
        f"round {one.round} batch {one.batch:2d} {one.case:20s} {one.points_per_s:8.0f} points/s"
        f"  p50 {one.latencies_ms.get('p50', 0):7.1f} ms  p99 {one.latencies_ms.get('p99', 0):7.1f} ms"
        f"  cores: {cores}{trouble}",
        flush=True,
    )


def _table(rows: list[durable.Summary]) -> None:
    print("\nmedians [least–most]; cores are CPU seconds a second, us the CPU microseconds a point")
    for row in rows:
        rate, p50, p99 = (
            f"{middle:{width}} [{least:{form}}–{most:{form}}]"
            for (middle, least, most), width, form in (
                (row.points_per_s, "8.0f", ".0f"),
                (row.p50_ms, "7.1f", ".1f"),
                (row.p99_ms, "7.1f", ".1f"),
            )
        )
        print(f"\nbatch {row.batch}, {row.case}: {rate} points/s, p50 {p50} ms, p99 {p99} ms")
        used = (
            f"{role} {cores:.2f} ({row.us_per_point.get(role, 0):.0f} us)"
            for role, cores in row.cores.items()
        )
        print("   cores: " + ", ".join(used))
        if row.commit:
            print("   commit: " + ", ".join(f"{name} {value:g}" for name, value in row.commit.items()))


if __name__ == "__main__":
    # So that what was started is stopped, and its folder removed, however the bench is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    app()
