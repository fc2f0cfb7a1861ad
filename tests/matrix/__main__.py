"""``python -m tests.matrix --seed 1 --sos 1000``: plays the whole matrix and prints the ledger."""

import asyncio
import sys
import time
from typing import Annotated

import typer

from tests.engines_fixtures import engine_folder
from tests.matrix.ledger import Row, table
from tests.matrix.run import played
from tests.matrix.scenarios import MATRIX


def matrix(
    seed: Annotated[int, typer.Option(help="Which processes are hit, and in which order.")] = 1,
    sos: Annotated[int, typer.Option(min=len(MATRIX), help="SOS in all.")] = 1000,
    only: Annotated[str, typer.Option(help="Only scenarios whose name has one of these, by commas.")] = "",
) -> None:
    """Ends with code 1 when an SOS was lost, told of as two, or doubled where it may not be."""
    parts = [part.strip().lower() for part in only.split(",")]
    chosen = [scenario for scenario in MATRIX if any(part in scenario.name.lower() for part in parts)]
    begun_s = time.monotonic()

    def say(row: Row) -> None:
        print(
            f"{time.monotonic() - begun_s:6.0f} s  {'ok ' if row.is_sound else 'NOT SOUND'}  {row}",
            flush=True,
        )

    with engine_folder() as folder:
        rows = asyncio.run(played(folder, chosen, sos, seed, say))
    print(f"\nseed {seed}, {sum(row.pressed for row in rows)} SOS in {time.monotonic() - begun_s:.0f} s\n")
    print(table(rows))
    if not all(row.is_sound for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    typer.run(matrix)
