"""The wall clock as everything here counts it."""

import time


def wall_clock_ms() -> int:
    """Milliseconds since the epoch, by the clock of this machine."""
    return time.time_ns() // 1_000_000
