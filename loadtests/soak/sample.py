"""What a process holds at a moment: memory, descriptors, threads, and what it says of itself."""

import re
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Final

import msgspec

from loadtests.bench.measure.memory import held

TIMEOUT_S: Final = 10.0
_LINE: Final = re.compile(
    r"^wayguard_(connections|feeds|viewers|tasks|viewers_stalled_total)(?:\{[^}]*\})? (\S+)$"
)


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """``at_s`` since the soak began; of a worker ``connections`` and what follows are 0."""

    at_s: float
    rss_kib: float
    pss_kib: float
    anonymous_kib: float
    descriptors: float
    threads: float
    connections: float = 0.0
    feeds: float = 0.0
    viewers: float = 0.0
    tasks: float = 0.0
    stalled: float = 0.0

    @property
    def descriptors_besides(self) -> float:
        """Descriptors that are not a client's."""
        return self.descriptors - self.connections


def take(at_s: float, pid: int, port: int | None) -> Sample:
    """Of process ``pid``, with its ``/metrics`` on ``port``. Raises OSError when it is not there."""
    now = held(pid)
    told = gauges(_metrics(port)) if port is not None else {}
    return Sample(
        at_s=round(at_s, 1),
        rss_kib=now.rss_kib,
        pss_kib=now.pss_kib,
        anonymous_kib=now.anonymous_kib,
        descriptors=now.descriptors,
        threads=_threads(pid),
        **told,
    )


def gauges(text: str) -> dict[str, float]:
    """The metrics a `Sample` has, each added up over its labels."""
    found: dict[str, float] = defaultdict(float)
    for line in text.splitlines():
        if (match := _LINE.match(line)) is not None:
            found[match[1].removeprefix("viewers_").removesuffix("_total")] += float(match[2])
    return dict(found)


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as answer:
        text: str = answer.read().decode()
    return text


def _threads(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Threads:"))
