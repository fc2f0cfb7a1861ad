"""The tools in the smallest form: they count what a real instance acknowledged, and find the row it lost."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from loadtests.bench.load.positions import LoadResult, LoadSpec
from loadtests.bench.measure import audit
from loadtests.bench.measure.measurement import TENANT, VENDOR, run_load
from loadtests.bench.measure.usage import Usage
from realtime.auth.tokens import mint
from realtime.engines.postgres import EmbeddedPostgres
from realtime.settings import Settings
from tests.databases import at_database
from tests.engines_fixtures import as_admin
from tests.loadtests.kit import LOSE_THE_THIRD, ROOT, instance, instance_environment

DRIVERS = 3
LOCUST = ("--headless", "--only-summary", "-u", "4", "-r", "4", "-t", "5s", "--rate", "10", "--settle", "20")


def load_of(url: str, secret: str) -> tuple[LoadResult, dict[str, float]]:
    """Run the load client of the benchmark ``durable``; its result and the cores it used."""
    host, _, port = url.removeprefix("http://").partition(":")
    settings = Settings.model_validate({"auth_secret": secret})
    tokens = [
        mint(settings, role="driver", tenant=TENANT, vendors=[VENDOR], driver=f"b{n}") for n in range(DRIVERS)
    ]
    spec = LoadSpec([(host, int(port))], tokens, batch=2, warm_s=0.1, seconds=2.0, rate_per_s=60.0)
    result, cores, _ = run_load(
        "loadtests.bench.load.positions",
        spec,
        LoadResult,
        lambda pid: Usage({"load": [pid]}, frozenset()),
        dict,
    )
    return result, cores


async def rows_at(url: str) -> int:
    connection = await asyncpg.connect(url, timeout=30)
    try:
        rows: int = await connection.fetchval("SELECT count(*) FROM journey_points", timeout=30)
        return rows
    finally:
        await connection.close(timeout=10)


def test_benchmark_and_locust_find_exactly_the_rows_that_are_lost(
    postgres_server: EmbeddedPostgres, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    name = urlsplit(database_url).path[1:]
    as_admin(postgres_server, LOSE_THE_THIRD, database=name)
    all_rows_url = at_database(postgres_server.admin_url, name)
    environment = instance_environment(database_url, redis_url)
    with instance(environment, tmp_path / "serve.log") as url:
        result, cores = load_of(url, environment["AUTH_SECRET"])
        lost = audit.missing(result.through, audit.stored_seqs(all_rows_url, result.through))
        stored = asyncio.run(rows_at(all_rows_url))
        locust = subprocess.run(
            [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--host", url, *LOCUST],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert result.errors == {}
    assert 0 < result.points <= sum(result.through.values())
    assert result.latencies_s["p50"] <= result.latencies_s["p99"]
    assert set(cores) == {"load", "elsewhere"}
    assert len(result.through) == DRIVERS
    assert lost == {journey: [3] for journey in result.through}
    assert stored == sum(result.through.values()) - DRIVERS

    said = locust.stdout
    assert locust.returncode == 1, said + locust.stderr
    counted = re.search(r"drivers (\d+): .*acknowledged (\d+), voided 0, .*read back (\d+),", said)
    assert counted is not None, said + locust.stderr
    drivers, acknowledged, read_back = map(int, counted.groups())
    assert drivers > 0
    assert read_back == acknowledged - drivers
    assert said.count(": 1 acknowledged but missing: 3\n") == drivers
    # A viewer of a log with a hole sees the gap, and may be sent a point twice when it is read again.
    expected = re.compile(
        r"journey \S+: 1 acknowledged but missing: 3|viewer of .*: (gaps \(3, 3\)|doubled \d+)"
    )
    assert [one for one in re.findall(r"FAULT (.*)", said) if not expected.fullmatch(one)] == [], said
