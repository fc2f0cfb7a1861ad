"""`wayguard` with weak spots for tests. The product has no such switches: only the tests' cluster starts so.

* When the file that `trap` names exists, the next batch that was committed kills the process, as kill -9
  would, before anybody is told of it.
* When the file that `send_trap` names exists, the next message that a provider took kills it before that is
  recorded.
* The file that `clock_shift` names holds the seconds by which the process's clock is wrong.
* The environment variable `LEASE_VARIABLE` replaces the seconds that a message is leased to a dispatcher.
"""

import os
import signal
import time
from pathlib import Path
from typing import Any

from alerts.attempt import Accepted
from alerts.delivery import send
from alerts.delivery.dispatcher import Dispatcher
from realtime.cli import main
from realtime.ingest.pipeline import PositionService


def trap(run: Path, instance: str) -> Path:
    """The file that arms the trap of ``instance``; ``run`` is the cluster's folder."""
    return run / f"die-after-commit-{instance}"


def set_trap() -> None:
    """Make the committed batch after the trap is armed the last thing this process does."""
    armed = trap(Path(os.environ["DATA_DIR"]) / "run", os.environ.get("INSTANCE_NAME", ""))
    publish = PositionService._publish

    def publish_or_die(service: PositionService, *arguments: Any) -> None:
        if armed.exists():
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        publish(service, *arguments)

    PositionService._publish = publish_or_die  # type: ignore[method-assign, assignment]


def send_trap(run: Path, process: str) -> Path:
    """The file that arms the second trap of ``process``."""
    return run / f"die-after-send-{process}"


def set_send_trap() -> None:
    """Make the message that a provider takes after the trap is armed the last thing this process does."""
    armed = send_trap(Path(os.environ["DATA_DIR"]) / "run", os.environ.get("INSTANCE_NAME", ""))
    sent = send._sent

    async def send_or_die(*arguments: Any) -> Any:
        outcome = await sent(*arguments)
        if isinstance(outcome, Accepted) and armed.exists():
            armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    send._sent = send_or_die


def clock_shift(run: Path) -> Path:
    """The file that shifts the clocks of all."""
    return run / "clock-shift"


def set_clock() -> None:
    """Let `time.time` and `time.time_ns` be wrong by what the file says, asked for at most every 50 ms."""
    file = clock_shift(Path(os.environ["DATA_DIR"]) / "run")
    true_s, true_ns, monotonic = time.time, time.time_ns, time.monotonic
    asked_s, shift_s = float("-inf"), 0

    def shift() -> int:
        nonlocal asked_s, shift_s
        if monotonic() - asked_s > 0.05:
            asked_s = monotonic()
            shift_s = int(file.read_text() or 0) if file.exists() else 0
        return shift_s

    time.time = lambda: true_s() + shift()
    time.time_ns = lambda: true_ns() + shift() * 1_000_000_000


LEASE_VARIABLE = "TEST_LEASE_S"


def set_lease() -> None:
    """Lease messages for as long as the environment says, if it does."""
    lease_s = os.environ.get(LEASE_VARIABLE)
    if lease_s is not None:
        assert Dispatcher.__init__.__kwdefaults__ is not None
        Dispatcher.__init__.__kwdefaults__["lease_s"] = float(lease_s)


if __name__ == "__main__":
    set_lease()
    set_trap()
    set_send_trap()
    set_clock()
    main()
