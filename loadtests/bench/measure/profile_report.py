"""What the samples of `loadtests.bench.servers.profile_run` say: where an instance's processor time goes."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

from loadtests.bench.servers.system import Target

SHOWN: Final = 25
Stacks = list[tuple[list[str], int]]


def read(file: Path) -> Stacks:
    """Folded stacks, root first, with their counts."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [(stack.split(";"), int(count)) for stack, _, count in (line.rpartition(" ") for line in lines)]


def innermost(stacks: Stacks) -> Counter[str]:
    """Samples by the function that ran, what it called in C included."""
    found: Counter[str] = Counter()
    for stack, count in stacks:
        found[stack[-1]] += count
    return found


def anywhere(stacks: Stacks) -> Counter[str]:
    """Samples by every function on the stack, each once a sample."""
    found: Counter[str] = Counter()
    for stack, count in stacks:
        for function in set(stack):
            found[function] += count
    return found


def of_cases(samples: Path, cases: Sequence[str]) -> dict[str, Stacks]:
    """The stacks by case; they were sampled in the order of ``cases``, again and again, on every instance."""
    found: dict[str, Stacks] = {case: [] for case in cases}
    for file in sorted(samples.parent.glob(f"{samples.name}.w*.*")):
        number = int(file.name.rpartition(".")[2])
        found[cases[(number - 1) % len(cases)]] += read(file)
    return found


def told(case: str, stacks: Stacks) -> Iterator[str]:
    """Two tables, in percent of the instances' CPU time."""
    for title, counts in (("itself", innermost(stacks)), ("with what it calls", anywhere(stacks))):
        yield f"\n{case}: {title}, percent of {sum(count for _, count in stacks)} samples"
        yield from _rows(counts.most_common(SHOWN if title == "itself" else 2 * SHOWN), stacks)


def _rows(counts: Iterable[tuple[str, int]], stacks: Stacks) -> Iterator[str]:
    total = max(1, sum(count for _, count in stacks))
    for function, count in counts:
        yield f"{100 * count / total:6.1f}  {function}"


def switch(target: Target) -> Callable[[], None]:
    """What begins to sample ``target``'s instances when first called, and ends when called again."""
    signals = cycle((signal.SIGUSR1, signal.SIGUSR2))

    def turn() -> None:
        number = next(signals)
        for pid in target.pids["instances"]:
            os.kill(pid, number)

    return turn
