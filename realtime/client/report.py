"""What a long command says while it runs: a bar on a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from realtime.client.driver import DriverClient
from realtime.client.outbox import Stats

PLAIN_EVERY_S = 5.0


class Show(Protocol):
    """Says how far things are."""

    def __call__(self, done: float, text: str) -> None: ...


@contextmanager
def progress(console: Console, label: str, total: float | None) -> Iterator[Show]:
    """A place to say how far of ``total`` (None = no end) things are; cheap to call often."""
    if not console.is_terminal:
        yield _plain(console, label, total)
        return
    text = TextColumn("{task.fields[text]}")
    columns = TextColumn("{task.description}"), BarColumn(), text, TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(label, total=total, text="")

        def show(done: float, text: str) -> None:
            bars.update(task, completed=done, text=text)

        yield show


def _plain(console: Console, label: str, total: float | None) -> Show:
    said_s = time.monotonic()

    def show(done: float, text: str) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= PLAIN_EVERY_S:
            said_s = time.monotonic()
            share = f" {100.0 * done / total:.0f} %" if total else ""
            console.out(f"{label}:{share} {text}", highlight=False)

    return show


def total_stats(drivers: Iterable[DriverClient]) -> tuple[Stats, int]:
    """The sum of what became of everybody's points, and how many are not acknowledged yet."""
    stats, kept = Stats(), 0
    for driver in drivers:
        stats.add(driver.outbox.stats)
        kept += driver.outbox.kept
    return stats, kept


def summary(stats: Stats, kept: int) -> str:
    """The closing line, ``name=number`` each, and the errors that were answered on the way."""
    numbers = {
        "journeys": stats.journeys,
        "ended": stats.journeys_done,
        "points": stats.added,
        "acknowledged": stats.acknowledged,
        "voided": stats.voided,
        "resent": stats.resent,
        "unacknowledged": kept + stats.refused + stats.conflicts + stats.lost,
        "rewound": stats.rewound,
    }
    line = " ".join(f"{name}={number}" for name, number in numbers.items())
    errors = ",".join(f"{code}:{count}" for code, count in sorted(stats.errors.items()))
    return f"{line} errors={errors}" if errors else line


def is_complete(stats: Stats, kept: int) -> bool:
    """Whether all points are acknowledged, all journeys ended, and no acknowledged seq was asked for."""
    everything = stats.acknowledged == stats.added and stats.journeys_done == stats.journeys
    return everything and not kept and not stats.rewound
