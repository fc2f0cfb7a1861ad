"""Locust against a real instance: content when all is well, and not when a committed row is gone."""

import asyncio
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from realtime.engines import processes
from realtime.engines.embedded import free_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.probe import http_status
from tests.engines_fixtures import as_admin

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


@pytest.mark.parametrize("loses", [False, True], ids=["sound", "a committed row is gone"])
def test_locust_counts_loss_by_sequence_number(
    postgres_server: EmbeddedPostgres, database_url: str, redis_url: str, tmp_path: Path, loses: bool
) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "AUTH_SECRET": secrets.token_urlsafe(32),
        "PORT": str(free_port()),
        "DRAIN_S": "0",
    }
    if loses:
        as_admin(postgres_server, LOSE_THE_THIRD, database=urlsplit(database_url).path[1:])
    arguments = ["--headless", "-u", "10", "-r", "10", "-t", "6s", "--only-summary"]
    arguments += [
        "--rate",
        "4",
        "--storm-every",
        "2",
        "--reconnect-every",
        "3",
        "--settle",
        "4" if loses else "30",
    ]
    with instance(environment, tmp_path / "serve.log") as url:
        done = subprocess.run(
            [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--host", url, *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    said = done.stdout
    assert done.returncode == (1 if loses else 0), said + done.stderr
    assert ("\nNOT SOUND" in said) is loses
    assert ("acknowledged but missing: 3" in said) is loses
    acknowledged = re.search(r"acknowledged (\d+)", said)
    assert acknowledged is not None
    assert int(acknowledged[1]) > 0
    assert "dropped at once" in said
