"""Runs one instance and samples where its CPU time goes: ``python -m loadtests.bench.servers.profile_run
FILE``.

Between a SIGUSR1 and a SIGUSR2 a timer of consumed CPU time interrupts every few milliseconds; then the
stacks go to ``FILE.<instance>.<n>`` as folded lines (``a;b;c count``), which flame graph tools read. Time
inside C is the caller's.
"""

import signal
import sys
from collections import Counter
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Final

from realtime.processes.run import run_web
from realtime.settings import Settings

EVERY_S: Final = 0.004
_ROOT: Final = str(Path(__file__).parents[3]) + "/"


class Sampler:
    """Counts stacks while it is switched on; ``file`` gets a number at each switching off."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._numbers = count(1)
        self._stacks: Counter[tuple[str, ...]] = Counter()

    def install(self) -> None:
        """Take the three signals."""
        signal.signal(signal.SIGPROF, self._sample)
        signal.signal(signal.SIGUSR1, self._on)
        signal.signal(signal.SIGUSR2, self._off)

    def _on(self, number: int, frame: FrameType | None) -> None:
        self._stacks.clear()
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def _off(self, number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = [f"{';'.join(stack)} {times}\n" for stack, times in self._stacks.most_common()]
        Path(f"{self._file}.{next(self._numbers)}").write_text("".join(lines), encoding="utf-8")

    def _sample(self, number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            code = frame.f_code
            file = code.co_filename.removeprefix(_ROOT).rpartition("site-packages/")[2]
            file = file.rpartition("/lib/python3.")[2].partition("/")[2] if file[:1] == "/" else file
            stack.append(f"{file}:{code.co_qualname}")
            frame = frame.f_back
        self._stacks[tuple(reversed(stack))] += 1


def main() -> None:
    """Serve, ready to sample."""
    settings = Settings()
    Sampler(f"{sys.argv[1]}.{settings.instance_name}").install()
    run_web(settings)


if __name__ == "__main__":
    main()
