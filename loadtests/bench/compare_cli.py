"""The command lines of the benchmarks that measure several servers side by side."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from loadtests.bench.cases import (
    bus,
    fanout,
    hostile_sockets,
    idle,
    ingest,
    slow,
    slow_connections,
    sos,
    sos_burst,
    timers,
)
from loadtests.bench.load.attacker import NotEnoughDescriptors
from loadtests.bench.measure import tables
from loadtests.bench.measure.chart import drawn
from loadtests.bench.measure.rounds import Result, is_sound, ratios

Rounds = Annotated[int, typer.Option(min=1, help="How often everything is measured.")]
Seconds = Annotated[float, typer.Option(min=0.2, help="How long one case is measured.")]
Warm = Annotated[float, typer.Option(min=0.0, help="Seconds before that, not measured.")]
Drivers = Annotated[int, typer.Option(min=1, help="Drivers, a connection each.")]
Viewers = Annotated[int, typer.Option(min=1, help="Viewers of the one vendor.")]
Rate = Annotated[float, typer.Option(min=0.1, help="Positions a second of each driver.")]
Tick = Annotated[int, typer.Option(min=1, help="Milliseconds for which positions gather.")]
Peers = Annotated[bool, typer.Option(help="Measure Node's socket.io and stock python-socketio too.")]
Json = Annotated[Path | None, typer.Option(help="Where every measurement is written.")]
Picture = Annotated[Path | None, typer.Option(help="Where the medians are drawn, as an SVG.")]
Samples = Annotated[Path | None, typer.Option(help="Sample our instance; folded stacks go to FILE.w1.1 …")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command, module in (
        ("fanout", _fanout, fanout),
        ("ingest", _ingest, ingest),
        ("idle", _idle, idle),
        ("bus", _bus, bus),
        ("slow", _slow, slow),
        ("sos", _sos, sos),
        ("timers", _timers, timers),
        ("hostile-sockets", _hostile_sockets, hostile_sockets),
        ("slow-connections", _slow_connections, slow_connections),
    ):
        app.command(name=name, help=(module.__doc__ or "").replace("``", "`"))(command)


def _fanout(
    rounds: Rounds = 5,
    seconds: Seconds = 4.0,
    warm: Warm = 1.5,
    viewers: Annotated[list[int] | None, typer.Option(min=1, help="Viewers of a case at once.")] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Positions on their way in the cases at once.")] = 8,
    tick_ms: Tick = 100,
    drivers: Drivers = 1_000,
    rate: Rate = 10.0,
    ticked_viewers: Viewers = 500,
    peers: Peers = True,
    engine: Annotated[bool, typer.Option(help="Our engine without Wayguard too.")] = False,
    balancer: Annotated[bool, typer.Option(help="Wayguard behind HAProxy too.")] = False,
    json: Json = None,
    picture: Picture = None,
    samples: Samples = None,
) -> None:
    options = fanout.Options(
        rounds=rounds,
        seconds=seconds,
        warm_s=warm,
        viewers=tuple(viewers or (500, 2_000)),
        in_flight=in_flight,
        tick_ms=tick_ms,
        drivers=drivers,
        rate_per_s=rate,
        ticked_viewers=ticked_viewers,
        peers=peers,
        engine=engine,
        balancer=balancer,
        samples=samples and samples.absolute(),
    )
    _finish("fanout", fanout, options, json, picture)


def _ingest(
    rounds: Rounds = 5,
    seconds: Seconds = 4.0,
    warm: Warm = 1.5,
    drivers: Drivers = 500,
    peers: Peers = True,
    json: Json = None,
    picture: Picture = None,
    samples: Samples = None,
) -> None:
    options = ingest.Options(rounds, seconds, warm, drivers, peers, samples and samples.absolute())
    _finish("ingest", ingest, options, json, picture)


def _idle(
    rounds: Rounds = 3,
    clients: Annotated[int, typer.Option(min=2, help="How many come, and stay.")] = 10_000,
    hold_s: Annotated[float, typer.Option(min=0.0, help="Seconds for which they stay.")] = 45.0,
    peers: Peers = True,
    json: Json = None,
    picture: Picture = None,
) -> None:
    _finish("idle", idle, idle.Options(rounds, clients, hold_s, peers), json, picture)


def _bus(
    rounds: Rounds = 3,
    seconds: Seconds = 4.0,
    warm: Warm = 1.5,
    viewers: Viewers = 500,
    in_flight: Annotated[int, typer.Option(min=1, help="Positions on their way in the cases at once.")] = 32,
    tick_ms: Tick = 100,
    drivers: Drivers = 500,
    rate: Rate = 4.0,
    peers: Peers = True,
    json: Json = None,
    picture: Picture = None,
) -> None:
    _finish(
        "bus",
        bus,
        bus.Options(rounds, seconds, warm, viewers, in_flight, tick_ms, drivers, rate, peers),
        json,
        picture,
    )


def _slow(
    rounds: Rounds = 3,
    seconds: Seconds = 40.0,
    warm: Warm = 2.0,
    viewers: Viewers = 500,
    stalled: Annotated[int, typer.Option(min=1, help="Further viewers, which stop reading.")] = 500,
    tick_ms: Tick = 100,
    drivers: Drivers = 200,
    rate: Rate = 10.0,
    stall_s: Annotated[float, typer.Option(min=0.1, help="Our server's VIEWER_STALL_S.")] = 15.0,
    peers: Peers = True,
    json: Json = None,
    picture: Picture = None,
) -> None:
    options = slow.Options(rounds, seconds, warm, viewers, stalled, tick_ms, drivers, rate, stall_s, peers)
    _finish("slow", slow, options, json, picture)


def _sos(
    rounds: Rounds = 3,
    seconds: Seconds = 30.0,
    warm: Warm = 3.0,
    presses: Annotated[int, typer.Option(min=1, help="Drivers who press, once each.")] = 200,
    drivers: Drivers = 500,
    offered: Annotated[list[int] | None, typer.Option(min=0, help="Positions a second of a case.")] = None,
    peers: Annotated[bool, typer.Option(help="Measure stock python-socketio too.")] = True,
    press_together: Annotated[
        int, typer.Option(min=0, help="So many drivers press within one second instead; see below.")
    ] = 0,
    ack_p99_ms: Annotated[
        float, typer.Option(min=0.0, help="With --press-together: more than this fails; 0 = no limit.")
    ] = 0.0,
    max_ratio: Annotated[
        float, typer.Option(min=0.0, help="More than so many times the idle ack p99 fails; 0 = no limit.")
    ] = 0.0,
    json: Json = None,
    picture: Picture = None,
) -> None:
    if press_together:
        _finish("sos", sos_burst, sos_burst.Options(rounds, press_together, ack_p99_ms), json, picture)
        return
    options = sos.Options(
        rounds, seconds, warm, presses, drivers, tuple(offered or (0, 5_000, 25_000)), peers
    )
    lines = functools.partial(sos.idle_lines, max_ratio=max_ratio)
    _finish("sos", sos, options, json, picture, lines)


def _timers(
    rounds: Rounds = 3,
    due: Annotated[int, typer.Option(min=1, help="Timers that are due at one moment.")] = 1_000,
    fired_max_ms: Annotated[
        float, typer.Option(min=0.0, help="One that fires later than this fails; 0 = no limit.")
    ] = 0.0,
    json: Json = None,
    picture: Picture = None,
) -> None:
    _finish("timers", timers, timers.Options(rounds, due, fired_max_ms), json, picture)


def _hostile_sockets(
    rounds: Rounds = 1,
    seconds: Seconds = 15.0,
    warm: Warm = 3.0,
    sockets: Annotated[int, typer.Option(min=1, help="Sockets that attack.")] = 3_000,
    drivers: Drivers = 100,
    rate: Annotated[float, typer.Option(min=1.0, help="Positions a second of all drivers.")] = 100.0,
    max_ratio: Annotated[
        float, typer.Option(min=0.0, help="Ack p50 under links, in that under tokens; 0 = no limit.")
    ] = 0.0,
    ack_p99_ms: Annotated[
        float, typer.Option(min=0.0, help="Ack p99 under links beyond which it fails; 0 = no limit.")
    ] = 0.0,
    json: Json = None,
) -> None:
    options = hostile_sockets.Options(rounds, sockets, drivers, rate, warm, seconds)
    lines = functools.partial(hostile_sockets.lines, max_ratio=max_ratio, ack_p99_ms=ack_p99_ms)
    _finish("hostile-sockets", hostile_sockets, options, json, None, lines)


def _slow_connections(
    rounds: Rounds = 1,
    connections: Annotated[int, typer.Option(min=1, help="Slow connections of one address.")] = 10_500,
    presses: Annotated[int, typer.Option(min=1, help="SOS of each case, one after another.")] = 20,
    sos_max_ms: Annotated[
        float, typer.Option(min=0.0, help="An SOS that takes longer fails; 0 = no limit.")
    ] = 0.0,
    json: Json = None,
) -> None:
    options = slow_connections.Options(rounds, connections, presses)
    lines = functools.partial(slow_connections.lines, sos_max_ms=sos_max_ms)
    _finish("slow-connections", slow_connections, options, json, None, lines)


def _finish(
    name: str,
    benchmark: Any,
    options: Any,
    json: Path | None,
    picture: Path | None,
    more: Callable[[list[Result]], tuple[Sequence[str], bool]] = lambda results: ((), True),
) -> None:
    """Run, print, keep. Ends with code 1 when something was lost, doubled, refused or cut off.

    ``more``: further lines about the results, and whether they are as they should be.
    """
    try:
        results = benchmark.run(options, lambda one: print(tables.told(one), flush=True))
    except NotEnoughDescriptors as limit:
        print(f"error: {limit}")
        raise typer.Exit(1) from None
    print("\nmedians [least–most] over the rounds; cores are CPU seconds a second\n")
    print(tables.tables(results, benchmark.SHOWN))
    print("\n" + "\n".join(tables.ratio_lines(ratios(results, benchmark.KEY))))
    lines, as_wanted = more(results)
    print("\n".join(lines))
    if json is not None:
        tables.keep(json, tables.document(name, results, benchmark.KEY, benchmark.SHOWN, options))
    if picture is not None:
        note = f"{tables.machine()}; medians of {options.rounds} rounds, lines from least to most"
        picture.write_text(drawn(f"Wayguard: {name}", note, results, benchmark.KEY), encoding="utf-8")
    if not as_wanted:
        print("BEYOND THE LIMIT: see above")
        raise typer.Exit(1)
    if not is_sound(results):
        print("NOT SOUND: see faults above")
        raise typer.Exit(1)
