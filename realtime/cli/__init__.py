"""The `wayguard` command. Each subcommand lives in a module that is imported when it is asked for."""

import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final = {
    "up": "realtime.cli.up:up",
    "serve": "realtime.cli.processes:serve",
    "worker": "realtime.cli.processes:worker",
    "migrate": "realtime.cli.processes:migrate",
    "balancer": "realtime.cli.processes:balancer",
    "outside": "realtime.cli.processes:outside",
    "token": "realtime.cli.tokens:token",
    "revoke": "realtime.cli.tokens:revoke",
    "alerts": "realtime.cli.alerts:alerts",
    "erase": "realtime.cli.erase:erase",
    "doctor": "realtime.cli.doctor:doctor",
    "simulate": "realtime.cli.simulate:simulate",
    "replay": "realtime.cli.replay:replay",
}
"""Subcommand -> where its function is; in the order in which `--help` shows them."""


class LazyGroup(TyperGroup):
    """Imports a subcommand's module when it is used: a token should not wait for a web server's imports."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every subcommand, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand ``cmd_name``; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name].partition(":")
        single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
        single.command(cmd_name)(getattr(import_module(module), function))
        return typer.main.get_command(single)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,  # locals hold secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def wayguard() -> None:
    """Real-time tracking and safety server: positions in, live maps out, nothing acknowledged is lost.

    `wayguard up` runs everything on this machine. `serve`, `worker` and `migrate` are its single processes,
    for production. Settings come from the environment (`PORT`, `DATA_DIR`, `DATABASE_URL`, `REDIS_URL` …; see
    docs/RUNNING.md); `wayguard doctor` checks them.
    """


def main() -> None:
    """The console command."""
    app(prog_name="wayguard", args=sys.argv[1:])
