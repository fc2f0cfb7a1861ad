"""The `wayguard` command: help, tokens, doctor, settings that are wrong."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner

from realtime.auth.tokens import Authenticator
from realtime.cli import COMMANDS, app
from realtime.engines import local
from realtime.engines.layout import DataDir
from realtime.engines.postgres import OWNER, EmbeddedPostgres
from realtime.settings import Settings
from realtime.store import migrate
from tests.engines.harness import environment
from tests.engines_fixtures import database, discard, engine_folder, in_thread

runner = CliRunner()


@pytest.fixture
def here(empty: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment with an empty data directory and nothing else of ours in it."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATA_DIR", str(empty))
    monkeypatch.setenv("NO_COLOR", "1")
    yield empty


@pytest.fixture(scope="module")
def durable_server(made_cluster: Path) -> Iterator[EmbeddedPostgres]:
    """A migrated Postgres as `./run` starts it; the session's does not flush what it commits."""
    with engine_folder() as folder:
        subprocess.run(["cp", "-a", f"{made_cluster}/.", str(folder)], check=True)
        server = EmbeddedPostgres(folder, port=0)
        try:
            url = server.start()
            in_thread(lambda: migrate.migrate(Settings(database_url=url)))
            yield server
        finally:
            discard(server)


@pytest.fixture
def durable_url(durable_server: EmbeddedPostgres) -> Iterator[str]:
    """A migrated database on it."""
    with database(durable_server, "doctor", OWNER) as url:
        yield url


def off_the_loop(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command in a process of its own: asyncio.run wants no other loop."""
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_help_names_every_command_and_each_has_help_of_its_own() -> None:
    overview = runner.invoke(app, ["--help"]).output
    for name in COMMANDS:
        assert f" {name} " in overview
        own = runner.invoke(app, [name, "--help"])
        assert own.exit_code == 0, own.output
        assert "Usage" in own.output


def test_an_unknown_command_is_an_error() -> None:
    result = runner.invoke(app, ["fly"])
    assert result.exit_code == 2
    assert "fly" in result.output


def test_a_token_is_all_that_is_printed_and_fits_the_system_that_runs_here(here: Path) -> None:
    arguments = ["token", "--role", "driver", "--tenant", "demo", "--vendor", "north", "--driver", "d1"]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    token = result.output.strip()
    principal = Authenticator(local.completed(Settings())).verify(token)
    assert (principal.role, principal.tenant, principal.driver) == ("driver", "demo", "d1")
    assert principal.vendors == {"north"}
    assert (here / "secrets" / "auth").exists()


def test_a_dispatcher_without_vendors_sees_all(here: Path) -> None:
    result = runner.invoke(app, ["token", "--role", "dispatcher", "--tenant", "demo"])
    assert Authenticator(local.completed(Settings())).verify(result.output.strip()).vendors is None


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--role", "driver", "--tenant", "demo"], "one driver and one vendor"),
        (["--role", "dispatcher", "--tenant", "no/slash"], "tenant is not an identifier"),
        (["--role", "pilot", "--tenant", "demo"], "pilot"),
    ],
)
def test_a_token_that_the_server_would_refuse_is_not_printed(
    here: Path, arguments: list[str], why: str
) -> None:
    result = runner.invoke(app, ["token", *arguments])
    assert result.exit_code != 0
    assert why in result.output
    assert "eyJ" not in result.output


def test_a_setting_that_is_wrong_is_named_without_its_value(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "eighty")
    monkeypatch.setenv("AUTH_SECRET", "short-secret")
    result = runner.invoke(app, ["doctor"])
    assert result.exit_code == 2
    assert "PORT" in result.output
    assert "short-secret" not in result.output


def test_doctor_names_each_fault_and_what_to_do(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:9/none")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("PUBLIC_URL", "http://127.0.0.1:9")
    code, output = off_the_loop("doctor")
    assert code == 1
    for subject in ("postgres", "redis", "front"):
        assert f"FAULT {subject}" in output
    assert output.count("do: ") >= 3


def test_doctor_finds_a_migrated_database_well(
    here: Path, monkeypatch: pytest.MonkeyPatch, durable_url: str, redis_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", durable_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    _, output = off_the_loop("doctor")
    for subject in (
        "postgres",
        "role",
        "postgres clock",
        "schema",
        "durability",
        "partitions",
        "redis",
        "redis clock",
    ):
        assert f"ok    {subject:<14}" in output


def test_doctor_sees_unsafe_durability_a_missing_partition_and_a_missing_migration(
    here: Path, monkeypatch: pytest.MonkeyPatch, durable_url: str
) -> None:
    async def spoil(*statements: str) -> None:
        connection = await asyncpg.connect(durable_url, timeout=30)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def run(*statements: str) -> str:
        asyncio.run(spoil(*statements))
        code, output = off_the_loop("doctor")
        assert code == 1
        return output

    monkeypatch.setenv("DATABASE_URL", durable_url)
    output = run(
        # The role is every test's; this database is ours alone.
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET synchronous_commit = off', current_database());"
        " END $$",
        "DO $$ DECLARE one regclass; BEGIN FOR one IN SELECT inhrelid FROM pg_inherits"
        " WHERE inhparent = 'journey_points'::regclass"
        " LOOP EXECUTE format('DROP TABLE %s', one); END LOOP; END $$",
    )
    assert "FAULT durability     synchronous_commit is off" in output
    assert "FAULT partitions     missing for 20" in output
    assert "FAULT schema" in run("DELETE FROM schema_migrations")


def test_doctor_sees_a_secret_that_others_can_read(here: Path) -> None:
    DataDir(here).secret("auth")
    (here / "secrets" / "auth").chmod(0o644)
    code, output = off_the_loop("doctor")
    assert code == 1
    assert "FAULT auth" in output
    assert "chmod 600" in output


def test_migrate_says_when_there_is_no_database(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert off_the_loop("migrate") == (1, "error: DATABASE_URL is not set\n")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:x@127.0.0.1:9/none")
    code, output = off_the_loop("migrate")
    assert code == 1
    assert output.startswith("error: database cannot be reached")


def test_a_token_is_revoked_by_what_it_says(
    here: Path, monkeypatch: pytest.MonkeyPatch, database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    _, token = off_the_loop("token", "--role", "admin", "--tenant", "demo")
    code, output = off_the_loop("revoke", token.strip())
    assert code == 0, output
    revoked = output.split()[1].rstrip(";")

    async def stored() -> list[str]:
        connection = await asyncpg.connect(database_url, timeout=30)
        await connection.execute("SET ROLE wayguard_writer")
        rows = await connection.fetch("SELECT jti FROM revoked_tokens")
        await connection.close()
        return [row["jti"] for row in rows]

    assert asyncio.run(stored()) == [revoked]


def test_the_balancer_prints_what_it_would_run(here: Path) -> None:
    arguments = [
        "balancer",
        "--print",
        "--bind",
        "*:80",
        "--server",
        "w1=10.0.0.1:8000",
        "--server",
        "w2=10.0.0.2:8000",
    ]
    result = runner.invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "server w2 10.0.0.2:8000" in result.output
    assert "bind *:80" in result.output
    assert "frontend safety" not in result.output
    more = ["--safety-bind", "*:8443 ssl crt /c.pem", "--connections-per-address", "123"]
    result = runner.invoke(app, [*arguments, *more])
    assert "frontend safety" in result.output
    assert "bind *:8443 ssl crt /c.pem" in result.output
    assert "sc1_conn_cur(public_addresses) gt 123 }" in result.output


@pytest.mark.parametrize(
    "server", ["w1", "w1=", "w 1=10.0.0.1:80", "w1=10.0.0.1:80\n    server evil 1.2.3.4:5"]
)
def test_the_balancer_refuses_what_is_no_server(here: Path, server: str) -> None:
    result = runner.invoke(app, ["balancer", "--print", "--bind", "*:80", "--server", server])
    assert result.exit_code != 0
    assert "--server" in result.output


def test_up_refuses_wrong_settings_before_it_makes_anything(empty: Path) -> None:
    target = empty / "new"
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", "up"],
        env=environment(target, PORT="99999"), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "PORT" in done.stderr
    assert not target.exists()
