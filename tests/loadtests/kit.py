"""A web instance for the load tests, and a fault of its database that they must find."""

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realtime.engines import processes
from realtime.engines.embedded import free_port
from realtime.engines.probe import http_status

ROOT = Path(__file__).parents[2]
LOSE_THE_THIRD = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
$$ BEGIN DELETE FROM journey_points WHERE journey_id = NEW.journey_id AND seq = NEW.seq; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER lose AFTER INSERT ON journey_points
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.seq = 3) EXECUTE FUNCTION lose()
"""


@contextmanager
def instance(environment: dict[str, str], log: Path) -> Iterator[str]:
    """A web instance; its address."""
    port = environment["PORT"]
    command = processes.Command([sys.executable, "-m", "realtime.cli", "serve"], environment, cwd=ROOT)
    with log.open("wb") as output:
        child = processes.start(command, output)
    try:
        ends_s = time.monotonic() + 60
        while asyncio.run(http_status("127.0.0.1", int(port), "/readyz")) != 200:
            assert child.poll() is None, log.read_text()
            assert time.monotonic() < ends_s, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop(child, command)


def instance_environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The environment of an instance on a free port, and of the load clients that mint its tokens."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "AUTH_SECRET": secrets.token_urlsafe(32),
        "PORT": str(free_port()),
        "DRAIN_S": "0",
    }
