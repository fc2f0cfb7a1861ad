"""Plays scenarios one after the other on one system and accounts for every press."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.matrix.ledger import Row, Sos, account
from tests.matrix.scenarios import Scenario
from tests.matrix.world import opened_world


def shares(scenarios: Sequence[Scenario], sos: int) -> list[int]:
    """How many presses each gets: ``sos`` in all, at least one each."""
    weight = sum(scenario.share for scenario in scenarios)
    counts = [max(1, int(sos * scenario.share / weight)) for scenario in scenarios]
    for number in range(max(0, sos - sum(counts))):
        counts[number % len(counts)] += 1
    return counts


async def played(
    folder: Path, scenarios: Sequence[Scenario], sos: int, seed: int, say: Callable[[Row], None]
) -> list[Row]:
    """The ledger of ``sos`` presses, each row told to ``say`` when its scenario is over."""
    rng = random.Random(seed)
    counts = shares(scenarios, sos)
    rows = []
    bare = frozenset[int]()
    for number, (scenario, count) in enumerate(zip(scenarios, counts, strict=True)):
        if not scenario.has_contacts:
            bare |= set(range(sum(counts[:number]), sum(counts[:number]) + count))
    async with opened_world(folder, sum(counts), rng, bare) as world:
        for scenario, count in zip(scenarios, counts, strict=True):
            presses: list[Sos] = [world.new_press(scenario.name, scenario.kind) for _ in range(count)]
            await scenario.play(world, presses)
            await world.until_reached(presses)
            await world.whole()
            await world.until_imported(presses)
            row = account(presses, world.outside.messages(), await world.exhausted())[0]
            rows.append(row)
            say(row)
    return rows
