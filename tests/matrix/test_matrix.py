"""A seeded sample of the matrix in every run of the tests; all of it, a thousand SOS, among the long ones."""

from pathlib import Path

import pytest

from tests.engines_fixtures import engine_folder
from tests.matrix.ledger import Row, table
from tests.matrix.run import played
from tests.matrix.scenarios import MATRIX

SEED = 1
SAMPLE = (
    "acceptor killed right after the ack",
    "contact made just before, Postgres slow",
    "Redis emptied",
    "worker killed between send and record",
    "provider's replies are lost",
)
"""Those that take seconds: the others wait for leases, or for engines to come back."""


SAMPLED = 15
"""Three a scenario: acceptors are killed by both ways, and each kill costs the start of a process."""


async def sound(names: tuple[str, ...], sos: int) -> list[Row]:
    chosen = [scenario for scenario in MATRIX if scenario.name in names]
    assert len(chosen) == len(names)
    with engine_folder() as folder:
        rows = await played(Path(folder), chosen, sos, SEED, lambda row: None)
    assert all(row.is_sound for row in rows), "\n" + table(rows)
    return rows


@pytest.mark.timeout(300)
async def test_a_sample_loses_nobody() -> None:
    rows = await sound(SAMPLE, SAMPLED)
    assert sum(row.pressed for row in rows) == SAMPLED
    assert sum(row.reached for row in rows) == SAMPLED


@pytest.mark.long
@pytest.mark.timeout(5_400)
async def test_a_thousand_sos_lose_nobody() -> None:
    names = [scenario.name for scenario in MATRIX if not scenario.needs_small_disk]
    rows = await sound(tuple(names), 1_000)
    assert sum(row.pressed for row in rows) >= 1_000
