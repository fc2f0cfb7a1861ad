"""Who uses the processors, from /proc."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def process_s(pid: int) -> float:
    """CPU seconds that process ``pid`` has used, its ended children not counted; 0 when there is none."""
    fields = _stat(pid)
    return 0.0 if fields is None else (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def family_s(pid: int) -> float:
    """CPU seconds of ``pid``, of its living children and of those it has reaped: a Postgres as a whole."""
    fields = _stat(pid)
    if fields is None:
        return 0.0
    reaped_s = (int(fields[13]) + int(fields[14])) / _TICKS_PER_S
    return process_s(pid) + reaped_s + sum(map(process_s, _children(pid)))


def machine_busy_s() -> float:
    """CPU seconds that the whole machine was not idle, stolen time included."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    numbers = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    ticks = dict(zip(names, map(int, numbers), strict=True))
    return sum(value for name, value in ticks.items() if name not in {"idle", "iowait"}) / _TICKS_PER_S


class Usage:
    """CPU seconds by role since it was made.

    ``roles``: name → pids; ``families``: the roles whose children count too.
    """

    def __init__(self, roles: Mapping[str, Iterable[int]], families: frozenset[str]) -> None:
        self._roles = {name: list(pids) for name, pids in roles.items()}
        self._families = families
        self._before = self._read()
        self._busy_s = machine_busy_s()

    def __call__(self) -> dict[str, float]:
        """Seconds by role, and ``elsewhere``: what the rest of the machine took, other people's work too."""
        used = {name: now_s - self._before[name] for name, now_s in self._read().items()}
        used["elsewhere"] = max(0.0, machine_busy_s() - self._busy_s - sum(used.values()))
        return used

    def _read(self) -> dict[str, float]:
        return {
            name: sum(map(family_s if name in self._families else process_s, pids))
            for name, pids in self._roles.items()
        }


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _children(pid: int) -> list[int]:
    """Asked of every process: the kernel's own list of children leaves some out while others come and go."""
    everybody = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    parents = {one: fields[1] for one in everybody if (fields := _stat(one)) is not None}
    return [one for one, parent in parents.items() if parent == str(pid)]
