"""The files for production say what the program understands, and the database scripts do what they say."""

import configparser
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from realtime.cli import COMMANDS
from realtime.engines import binaries, processes
from realtime.engines.account import engine_account
from realtime.engines.embedded import free_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.settings import Settings
from tests.engines.harness import ROOT, until

DEPLOY = ROOT / "deploy"
_VARIABLE = re.compile(r"\$\{([A-Z_]+)(?::[-?]([^}]*))?\}")


def interpolated(value: str) -> str:
    """``value`` as compose would fill it in, each variable by 40 letters unless it has a default."""
    return _VARIABLE.sub(lambda found: found[2] if found[2] and "http" in found[2] else "s" * 40, value)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml."""
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return loaded


def ours(services: dict[str, Any]) -> dict[str, Any]:
    """Those that run our own image."""
    return {name: service for name, service in services.items() if service["image"] == "wayguard"}


def test_every_variable_of_our_services_is_a_setting_and_every_value_is_valid(
    services: dict[str, Any],
) -> None:
    for service in ours(services).values():
        environ = service.get("environment", {})
        assert {name.lower() for name in environ} <= set(Settings.model_fields)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, interpolated(value))
            Settings()


def test_every_command_is_one_of_ours(services: dict[str, Any]) -> None:
    verbs = [service["command"][1] for service in ours(services).values()]
    verbs += [line.split()[-1] for line in (ROOT / "Procfile").read_text().splitlines()]
    assert set(verbs) <= set(COMMANDS)
    assert {"serve", "worker", "migrate", "balancer"} <= set(verbs)


@pytest.mark.parametrize(("verb", "option"), [("serve", "--server="), ("worker", "--worker=")])
def test_the_balancer_knows_every_instance_and_worker_by_its_name(
    services: dict[str, Any], verb: str, option: str
) -> None:
    run = {
        service["environment"]["INSTANCE_NAME"]: f"{name}:{service['environment']['PORT']}"
        for name, service in ours(services).items()
        if service["command"][1] == verb
    }
    given = [part.partition("=")[2] for part in services["balancer"]["command"] if part.startswith(option)]
    assert dict(pair.split("=") for pair in given) == run
    assert len(run) >= 2


def test_the_pool_is_one_of_transactions_to_the_database_that_the_instances_ask_for(
    services: dict[str, Any],
) -> None:
    pool = configparser.ConfigParser()
    pool.read(DEPLOY / "pgbouncer.ini")
    assert pool["pgbouncer"]["pool_mode"] == "transaction"
    url = services["w1"]["environment"]["DATABASE_URL"]
    assert url.endswith(f"@pgbouncer:{pool['pgbouncer']['listen_port']}/wayguard")
    assert "wayguard" in pool["databases"]


def test_every_file_that_is_mounted_or_copied_is_there(services: dict[str, Any]) -> None:
    mounts = [
        part for service in services.values() for part in service.get("volumes", []) if part.startswith("./")
    ]
    assert len(mounts) == 2
    for mount in mounts:
        assert (DEPLOY / mount.split(":")[0]).exists()
    copied = re.findall(
        r"^COPY ((?:realtime|deploy|requirements)\S+)", (DEPLOY / "Dockerfile").read_text(), re.M
    )
    assert copied
    for path in copied:
        assert (ROOT / path).exists()


@pytest.fixture
def bare_primary(data: Path) -> Iterator[EmbeddedPostgres]:
    """A server without our role and database, as the image of production starts it."""
    server = EmbeddedPostgres(data, port=0)
    server.start()
    yield server
    server.stop()


async def test_the_database_scripts_make_a_primary_and_a_replica_that_follows(
    empty: Path, bare_primary: EmbeddedPostgres
) -> None:
    admin = await asyncpg.connect(bare_primary.admin_url)
    await admin.execute("DROP DATABASE wayguard")
    await admin.execute("DROP ROLE wayguard")
    account = engine_account()
    programs = {"PATH": f"{binaries.postgres_bin(account)}:/usr/bin:/bin"}
    script_env = programs | {"WAYGUARD_PASSWORD": "app", "REPLICATION_PASSWORD": "copy"}
    login = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(bare_primary.port),
        "PGPASSWORD": bare_primary.admin_url[22:65],
    }
    made = subprocess.run(
        ["sh", str(DEPLOY / "postgres-primary.sh")],
        env=script_env | login | {"POSTGRES_USER": "postgres", "PGDATA": str(bare_primary.folder)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    await admin.execute("SELECT pg_reload_conf()")
    await admin.close()
    replica_folder, port = empty / "replica", free_port()
    replica_folder.mkdir(mode=0o700)
    account.own(replica_folder)
    # Read by the shell before it becomes an account that may not reach the clone.
    script = (DEPLOY / "postgres-replica.sh").read_text()
    arguments = [
        "-c",
        f"port={port}",
        "-c",
        f"unix_socket_directories={replica_folder}",
        "-c",
        "max_connections=120",
    ]
    command = processes.Command(
        ["sh", "-c", script, "postgres-replica.sh", *arguments],
        script_env
        | {
            "PGDATA": str(replica_folder),
            "PRIMARY_HOST": "127.0.0.1",
            "PRIMARY_PORT": str(bare_primary.port),
        },
        account,
        replica_folder,
        death_signal=3,
    )
    with (empty / "replica.log").open("wb") as log:
        replica = processes.start(command, log)
    try:
        ready = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        until(lambda: subprocess.run(ready, env=programs, check=False).returncode == 0, "the replica answers")
        primary = await asyncpg.connect(f"postgresql://wayguard:app@127.0.0.1:{bare_primary.port}/wayguard")
        await primary.execute("CREATE TABLE seen (n int)")
        at = await primary.fetchval("SELECT pg_current_wal_lsn()::text")
        await primary.close()
        standby = await asyncpg.connect(f"postgresql://wayguard:app@127.0.0.1:{port}/wayguard")
        replayed = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn"
        while not await standby.fetchval(replayed, at):
            pass
        assert await standby.fetchval("SELECT count(*) FROM seen") == 0
        assert await standby.fetchval("SELECT pg_is_in_recovery()") is True
        await standby.close()
    finally:
        processes.stop(replica, command)
