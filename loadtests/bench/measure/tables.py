"""What the side-by-side benchmarks print and keep."""

import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from loadtests.bench.measure.rounds import Result, Summary, ratios, summaries


def told(one: Result) -> str:
    """One result as a line, while the benchmark runs."""
    figures = " ".join(f"{name}={value:,.6g}" for name, value in one.figures.items() if value)
    cores = " ".join(f"{role}={used:.2f}" for role, used in one.cores.items())
    faults = " ".join(f"{name}={count}" for name, count in one.faults.items() if count)
    trouble = f"  FAULTS {faults}" if faults else ""
    limited = "  (limited by the client)" if one.is_limited_by_client else ""
    return f"round {one.round} {one.case} | {one.target}: {figures} | cores: {cores}{limited}{trouble}"


def number(value: float) -> str:
    """Three digits that matter, thousands apart."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(spread: tuple[float, float, float]) -> str:
    """Median [least–most]."""
    middle, least, most = map(number, spread)
    return middle if least == most else f"{middle} [{least}–{most}]"


def tables(results: Sequence[Result], shown: Sequence[str]) -> str:
    """A Markdown table a case: medians, [least–most], cores by role."""
    rows = summaries(results)
    parts = []
    for case in dict.fromkeys(row.case for row in rows):
        same = [row for row in rows if row.case == case]
        columns = [name for name in shown if any(name in row.figures for row in same)]
        heads = [f"{case}", *(name.replace("_per_s", "/s").replace("_", " ") for name in columns), "cores"]
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(_cells(row, columns)) + " |" for row in same]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cells(row: Summary, columns: Sequence[str]) -> list[str]:
    name = row.target + (" (limited by the client)" if row.client_limited else "")
    figures = [cell(row.figures[column]) if column in row.figures else "–" for column in columns]
    cores = ", ".join(f"{role} {used:.2f}" for role, used in row.cores.items() if used >= 0.005)
    return [name, *figures, cores]


def ratio_lines(found: Mapping[str, tuple[float, float, float]]) -> list[str]:
    """``case: ours / other: 1.50 [1.40–1.60] times``."""
    return [
        f"{name}: {middle:.2f} [{low:.2f}–{high:.2f}] times" for name, (middle, low, high) in found.items()
    ]


def document(
    benchmark: str, results: Sequence[Result], key: str, shown: Sequence[str], options: Any
) -> dict[str, Any]:
    """What ``--json`` keeps."""
    return {
        "benchmark": benchmark,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "options": {name: str(value) for name, value in vars(options).items()},
        "key": key,
        "shown": list(shown),
        "ratios": ratios(results, key),
        "results": list(results),
    }


def keep(file: Path, what: Mapping[str, Any]) -> None:
    """Write ``what`` as JSON to be read by people too."""
    file.write_bytes(msgspec.json.format(msgspec.json.encode(what), indent=1) + b"\n")


def machine() -> str:
    """The processor, the memory and the system this runs on."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return (
        f"{os.cpu_count()} × {model}, {int(memory) / 2**20:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
