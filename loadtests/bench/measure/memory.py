"""What a process holds: memory and descriptors, now and as they go."""

import os
import threading
import time
from pathlib import Path
from typing import Final, NamedTuple

EVERY_S: Final = 0.25


class Held(NamedTuple):
    """``pss_kib``: its own memory and its share of what it has in common with others.

    ``anonymous_kib``: what it made itself, which does not move when others start or end.
    """

    at_s: float
    pss_kib: int
    rss_kib: int
    anonymous_kib: int
    descriptors: int


def held(pid: int) -> Held:
    """What process ``pid`` holds. Raises OSError when there is none, or it is not ours to look at."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    found = {name.rstrip(":"): int(value) for name, value, *_ in map(str.split, lines)}
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return Held(time.perf_counter(), found["Pss"], found["Rss"], found["Anonymous"], descriptors)


class Watched:
    """Looks at a process again and again in a thread while the block runs; ``seen`` has it all."""

    def __init__(self, pid: int) -> None:
        self.seen: list[Held] = []
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.seen.append(held(self._pid))
