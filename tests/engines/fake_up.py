"""`wayguard up` with the fake program in place of the real one. Settings come from the environment."""

import os
import sys
from pathlib import Path

from realtime.cli.up import run
from realtime.engines.console import Console
from realtime.engines.plan import Options, SystemPlan

# -I and -S: nothing but the standard library, for a quick start.
PROGRAM = (sys.executable, "-I", "-S", str(Path(__file__).with_name("fake_program.py")))


async def announce(plan: SystemPlan, log: Console) -> None:
    """What a test waits for: the ports, and which process is whose."""
    parts = [*plan.webs, *plan.workers, *([plan.outside] if plan.outside else [])]
    ports = " ".join(f"{part.name}={part.port}" for part in parts)
    log.plain(f"ready: {plan.port} {ports}")


if __name__ == "__main__":
    demo, outside = "FAKE_DEMO" in os.environ, "FAKE_OUTSIDE" in os.environ
    sys.exit(run(Options(workers=1, demo=demo, outside=outside, program=PROGRAM), announce))
