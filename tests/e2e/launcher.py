"""`wayguard` with one weak spot for tests: an instance that dies between its commit and its publish.

When the file that `trap` names exists, the next batch that was committed kills the process, as kill -9 would,
before anybody is told of it. The product has no such switch: only the tests' cluster starts this way.
"""

import os
import signal
from pathlib import Path
from typing import Any

from realtime.cli import main
from realtime.positions import PositionService


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


if __name__ == "__main__":
    set_trap()
    main()
