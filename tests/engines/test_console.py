"""The supervisor's log: what becomes of it when it cannot be written."""

import os
from pathlib import Path

import pytest

from realtime.engines.console import Console


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is of Linux")
def test_a_full_disk_loses_lines_of_the_log_and_does_not_end_the_supervisor() -> None:
    log = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115  closing it fails too
    console = Console(log, "text", colour=False)
    for number in range(1_000):
        console.line("worker1", f"line {number}")
    with pytest.raises(OSError, match="No space left"):
        log.flush()
    with pytest.raises(OSError, match="No space left"):
        log.close()


def test_a_log_that_is_not_read_any_more_does_not_end_the_supervisor() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    console = Console(os.fdopen(writer, "w", encoding="utf-8"), "text", colour=False)
    console.line("worker1", "one")
    console.line("worker1", "two")
