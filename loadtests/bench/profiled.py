"""Runs one instance and samples where its CPU time goes: ``python -m loadtests.bench.profiled FILE``.

A timer of consumed CPU time interrupts every few milliseconds; the stacks go to ``FILE.<instance>`` as folded
lines (``a;b;c count``) when the process ends, which flame graph tools read. Time inside C is the caller's.
"""

import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Final

from realtime.app import run_web
from realtime.settings import Settings

EVERY_S: Final = 0.004
_ROOT: Final = str(Path(__file__).parents[2]) + "/"

_stacks: Counter[tuple[str, ...]] = Counter()


def _sample(number: int, frame: FrameType | None) -> None:
    stack = []
    while frame is not None:
        code = frame.f_code
        file = code.co_filename.removeprefix(_ROOT).rpartition("site-packages/")[2]
        stack.append(f"{file}:{code.co_qualname}")
        frame = frame.f_back
    _stacks[tuple(reversed(stack))] += 1


def main() -> None:
    """Serve; write the samples at the end."""
    settings = Settings()
    signal.signal(signal.SIGPROF, _sample)
    signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)
    try:
        run_web(settings)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        lines = [f"{';'.join(stack)} {count}\n" for stack, count in _stacks.most_common()]
        Path(f"{sys.argv[1]}.{settings.instance_name}").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
