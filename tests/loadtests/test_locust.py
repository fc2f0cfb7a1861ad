"""Locust against a real instance: content when all is well, and not when a committed row is gone."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from realtime.engines.postgres import EmbeddedPostgres
from tests.engines_fixtures import as_admin
from tests.loadtests.kit import LOSE_THE_THIRD, ROOT, instance, instance_environment


@pytest.mark.long
@pytest.mark.parametrize("loses", [False, True], ids=["sound", "a committed row is gone"])
def test_locust_counts_loss_by_sequence_number(
    postgres_server: EmbeddedPostgres, database_url: str, redis_url: str, tmp_path: Path, loses: bool
) -> None:
    environment = instance_environment(database_url, redis_url)
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
