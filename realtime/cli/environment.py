"""Settings for a subcommand, and how it ends when they or the machine will not do."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from realtime.engines import local
from realtime.engines.errors import EngineError
from realtime.settings import Settings


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say ``message`` on standard error; to be raised."""
    typer.secho(f"error: {message}", err=True, fg="red")
    return typer.Exit(code)


@contextmanager
def plain_errors() -> Iterator[None]:
    """What an operator can act upon becomes one line instead of a traceback."""
    try:
        yield
    except EngineError as problem:
        raise fail(str(problem)) from None
    except OSError as problem:
        raise fail(f"{problem.filename or ''} {problem.strerror or problem}".strip()) from None


def settings_of_process() -> Settings:
    """The environment's settings as they are. Exits with code 2, naming each bad variable."""
    try:
        return Settings()
    except ValidationError as problem:
        raise fail("; ".join(complaints(problem)), code=2) from None


def settings_here() -> Settings:
    """The settings, with what `wayguard up` decides on this machine filled in. Exits when they are bad."""
    with plain_errors():
        return local.completed(settings_of_process())


def complaints(problem: ValidationError) -> list[str]:
    """``PORT: input should be …`` for each bad variable; without its value, which may be a secret."""
    return [
        ": ".join(part for part in ("_".join(map(str, error["loc"])).upper(), error["msg"]) if part)
        for error in problem.errors(include_input=False, include_url=False)
    ]
