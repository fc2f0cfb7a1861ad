"""`wayguard alerts`: lists alerts, explains one step by step, follows them as they happen."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from realtime.cli.environment import fail, settings_here
from realtime.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from alerts.alert import Alert
    from realtime.cli._story import Line
    from realtime.store.alerts.console import Standing
    from realtime.store.db.database import Database

FOLLOW_S: Final = 1.0
PIPED_WIDTH: Final = 160
NARROW: Final = 120
"""A terminal in which a whole id leaves no room for the rest."""
SHORT_ID: Final = 13


class AlertCommand(StrEnum):
    """What to do."""

    LIST = "list"
    SHOW = "show"
    FOLLOW = "follow"


def alerts(
    action: Annotated[AlertCommand, typer.Argument(help="What to do.")] = AlertCommand.LIST,
    alert: Annotated[str, typer.Argument(help="For `show`: an alert's id, or its beginning.")] = "",
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's. Default: everybody's.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those that are open.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many to list.")] = 20,
    history: Annotated[
        int,
        typer.Option(min=1, max=100_000, help="For `show`: the newest attempts and events, so many of each."),
    ] = 500,
) -> None:
    """List alerts, explain one, or follow them.

    `wayguard alerts` lists the newest; `wayguard alerts show 3f2a` explains one: what was raised, who was
    tried, what each provider said, what it waits for; `wayguard alerts follow` tells what happens from now
    on. Addresses are mostly hidden. Uses the same environment as the system; beside `./run` nothing need be
    set.
    """
    if (action is AlertCommand.SHOW) != bool(alert):
        raise typer.BadParameter("show, and only show, takes the id of an alert")
    settings = settings_here()
    if not settings.database_url.get_secret_value():
        raise fail("DATABASE_URL is not set, and nothing runs in this data directory")
    try:
        asyncio.run(_run(settings, action, alert, tenant, only_open, limit, history))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _run(
    settings: Settings,
    action: AlertCommand,
    prefix: str,
    tenant: str | None,
    only_open: bool,
    limit: int,
    history: int,
) -> None:
    from rich.console import Console

    from realtime.protocol import Refused
    from realtime.store.db.database import Database

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, PIPED_WIDTH)  # a table for another program must not be cut
    db = await Database.open(settings)
    try:
        match action:
            case AlertCommand.LIST:
                await _list(db, console, tenant, only_open, limit)
            case AlertCommand.SHOW:
                await _show(db, console, tenant, prefix, history)
            case AlertCommand.FOLLOW:
                await _follow(db, console, tenant)
    except Refused as refused:
        raise fail(refused.message) from None
    finally:
        await db.close()


async def _list(db: "Database", console: "Console", tenant: str | None, only_open: bool, limit: int) -> None:
    from rich.table import Table

    from realtime.cli._story import moment
    from realtime.store.alerts import console as alert_console

    found = await alert_console.recent(db, tenant, only_open=only_open, limit=limit)
    if not found:
        console.print("no alerts")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("alert", "raised", "kind", "state", "tenant", "driver", "reached"):
        table.add_column(column, no_wrap=column in ("alert", "raised"))
    for alert in found:
        state = f"{alert.state.value}{', exhausted' if alert.exhausted_ms else ''}"
        table.add_row(
            str(alert.alert_id)[: SHORT_ID if console.width < NARROW else None],
            moment(alert.raised_ms),
            f"{alert.kind.value}{' (drill)' if alert.drill else ''}",
            state,
            alert.tenant,
            alert.driver,
            "-" if alert.reached_ms is None else f"{(alert.reached_ms - alert.raised_ms) / 1000:.1f} s",
            style=_style(alert),
        )
    console.print(table)


async def _show(db: "Database", console: "Console", tenant: str | None, prefix: str, history: int) -> None:
    from realtime.store.alerts import console as alert_console

    found = await alert_console.named(db, tenant, prefix.lower())
    if len(found) != 1:
        raise fail("more than one alert's id begins so" if found else "no such alert")
    standing = await alert_console.standing(db, *found[0], history)
    if standing is None:
        raise fail("no such alert")
    _tell(console, standing)


def _tell(console: "Console", standing: "Standing") -> None:
    from realtime.cli import _story as story

    explanation = standing.explanation
    alert = explanation.alert
    console.print(f"alert {alert.alert_id}, version {alert.version}", style="bold")
    console.print(f"{alert.state.value}: {story.headline(alert)}", style=_style(alert), markup=False)
    parts = (("raised", story.raised(explanation)), ("plan", story.plan(explanation.copy)))
    for title, lines in parts:
        _part(console, title, lines)
    console.print("\nwhat happened", style="bold")
    if notice := story.left_out(explanation):
        console.print(f"  {notice}", style="yellow", markup=False)
    for line in story.happened(explanation):
        _line(console, line)
    _part(console, "now", story.waits(standing))


def _part(console: "Console", title: str, lines: list[str]) -> None:
    console.print(f"\n{title}", style="bold")
    for line in lines:
        console.print(f"  {line}", markup=False)


def _line(console: "Console", line: "Line", before: str = "") -> None:
    from realtime.cli._story import clock

    style = {True: "green", False: "red", None: ""}[line.good]
    console.print(f"  {clock(line.at_ms)}  {before}{line.text}", style=style, markup=False)


async def _follow(db: "Database", console: "Console", tenant: str | None) -> None:
    from realtime.store.alerts import console as alert_console
    from realtime.store.alerts.reads import ChangedAlerts

    changes = ChangedAlerts(db)
    await changes.look()
    console.print("following; Ctrl-C ends")
    told = _Told()
    while True:
        await asyncio.sleep(FOLLOW_S)
        for alert in await changes.look():
            if tenant not in (None, alert.tenant):
                continue
            standing = await alert_console.standing(db, alert.tenant, alert.alert_id)
            if standing is not None:
                for line in told.news(standing):
                    _line(console, line, f"{str(alert.alert_id)[:8]} {alert.driver}: ")


class _Told:
    """What was told already, by alert; the alerts that changed longest ago are forgotten first."""

    MOST = 1_000

    def __init__(self) -> None:
        self._lines: dict[object, set[Line]] = {}

    def news(self, standing: "Standing") -> list["Line"]:
        """The lines of an alert that were not told before."""
        from realtime.cli._story import happened

        alert_id = standing.explanation.alert.alert_id
        lines = happened(standing.explanation)
        before = self._lines.pop(alert_id, set())
        self._lines[alert_id] = set(lines)
        if len(self._lines) > self.MOST:
            del self._lines[next(iter(self._lines))]
        return [line for line in lines if line not in before]


def _style(alert: "Alert") -> str:
    if alert.closed_ms is not None or alert.drill:
        return "dim"
    return "bold red" if alert.exhausted_ms else "yellow" if alert.acknowledged_ms is None else "green"
