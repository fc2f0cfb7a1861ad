"""The embedded Postgres: what it keeps, whom it lets in, what it recovers from."""

import os
import shutil
import signal
import stat
from pathlib import Path

import asyncpg
import pytest

from realtime.engines import account, binaries, layout, processes
from realtime.engines.errors import EngineError
from realtime.engines.layout import DataDir
from realtime.engines.postgres import EmbeddedPostgres
from tests.engines.harness import until


async def value(url: str, query: str) -> object:
    """The one value that ``query`` gives."""
    connection = await asyncpg.connect(url, timeout=30)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_what_was_written_survives_a_stop_and_a_power_cut(data: Path) -> None:
    postgres = EmbeddedPostgres(data)
    try:
        url = postgres.start()
        await value(url, "CREATE TABLE kept (n int)")
        await value(url, "INSERT INTO kept VALUES (1)")
        postgres.stop()
        postgres.start()
        await value(url, "INSERT INTO kept VALUES (2)")
        postgres.kill()
        assert postgres.start() == url
        assert await value(url, "SELECT sum(n) FROM kept") == 3
    finally:
        postgres.stop()


async def test_the_application_is_an_owner_without_the_powers_of_a_superuser(data: Path) -> None:
    postgres = EmbeddedPostgres(data)
    try:
        url = postgres.start()
        powers = "rolsuper::text || rolbypassrls || rolcreaterole"
        query = f"SELECT {powers} FROM pg_roles WHERE rolname = current_user"
        assert await value(url, query) == "falsefalsetrue"
        assert (
            await value(url, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'wayguard'")
            == "wayguard"
        )
        assert (
            await value(postgres.admin_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            is True
        )
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await value(url, f"SHOW {name}") == "on"
    finally:
        postgres.stop()


@pytest.mark.parametrize("port", [None, 0], ids=["socket", "port"])
async def test_nobody_comes_in_without_the_password(data: Path, port: int | None) -> None:
    postgres = EmbeddedPostgres(data, port)
    try:
        url = postgres.start()
        secret = DataDir(data).secret("postgres")
        for wrong in (url.replace(secret, "wrong"), url.replace(f":{secret}", "")):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await value(wrong, "SELECT 1")
        # And other accounts of the machine cannot even reach the socket.
        assert stat.S_IMODE(DataDir(data).socket_folder("pg").stat().st_mode) == 0o700
    finally:
        postgres.stop()


async def test_a_pid_file_that_names_somebody_elses_process_is_no_obstacle(data: Path) -> None:
    postgres = EmbeddedPostgres(data)
    postgres.start()
    lines = (postgres.folder / "postmaster.pid").read_text().splitlines()
    postgres.kill()
    # The stranger has Postgres' account: any other Postgres sees through by itself.
    stranger = processes.start(processes.Command(["sleep", "600"], {}, account.engine_account()), output=-3)
    try:
        (postgres.folder / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        postgres.start()
        assert stranger.poll() is None
    finally:
        postgres.stop()
        stranger.kill()
        stranger.wait()


async def test_a_server_that_outlived_its_starter_is_ended_and_replaced(data: Path) -> None:
    orphan = EmbeddedPostgres(data)
    url = orphan.start()
    await value(url, "CREATE TABLE kept (n int)")
    ours = EmbeddedPostgres(data)
    try:
        ours.start()
        assert ours.pid not in (None, orphan.pid)
        assert await value(url, "SELECT count(*) FROM kept") == 0
    finally:
        orphan.stop()
        ours.stop()


async def test_a_lost_secret_is_made_anew_and_works(data: Path) -> None:
    postgres = EmbeddedPostgres(data)
    try:
        first = postgres.start()
        postgres.stop()
        (data / "secrets" / "postgres").unlink()
        second = postgres.start()
        assert second != first
        assert await value(second, "SELECT 1") == 1
    finally:
        postgres.stop()


def test_an_interrupted_initdb_is_done_again(empty: Path) -> None:
    (empty / "pg.new").mkdir()
    (empty / "pg.new" / "PG_VERSION").write_text("18\n")
    postgres = EmbeddedPostgres(empty)
    postgres.prepare()
    assert (empty / "pg" / "postgresql.conf").exists()
    assert not (empty / "pg.new").exists()


def test_a_cluster_of_another_version_is_refused_and_untouched(empty: Path) -> None:
    (empty / "pg").mkdir()
    (empty / "pg" / "PG_VERSION").write_text("13\n")
    with pytest.raises(EngineError, match=f"Postgres 13, this is {binaries.postgres_major()}"):
        EmbeddedPostgres(empty).start()
    assert [entry.name for entry in (empty / "pg").iterdir()] == ["PG_VERSION"]


def test_a_full_disk_is_named_before_anything_is_started(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(empty)._replace(free=5 * 2**20)
    monkeypatch.setattr(layout.shutil, "disk_usage", lambda path: full)
    with pytest.raises(EngineError, match="disk is full: 5 MiB free"):
        EmbeddedPostgres(empty).start()


def test_a_long_path_and_a_closed_folder_above_are_no_obstacle(empty: Path) -> None:
    """Root's `nobody` cannot enter a folder of mode 0700; no account can have a socket with a long path."""
    deep = empty / "closed" / ("long-" * 20)
    deep.mkdir(parents=True)
    (empty / "closed").chmod(0o700)
    elsewhere = empty / "elsewhere"
    postgres = EmbeddedPostgres(deep, relocated=elsewhere)
    try:
        postgres.start()
        assert postgres.pid in processes.working_in(postgres.folder, "postgres")
        assert EmbeddedPostgres(deep, relocated=elsewhere).folder == postgres.folder
    finally:
        postgres.stop()
        shutil.rmtree(DataDir(deep).socket_folder("pg"))


def test_the_kernel_ends_it_when_its_starter_dies(data: Path) -> None:
    starter = os.fork()
    if starter == 0:
        try:
            EmbeddedPostgres(data).start()
            os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os._exit(1)
    _, status = os.waitpid(starter, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    until(lambda: not processes.working_in(data / "pg", "postgres"), "postgres ends")


def test_secrets_are_made_once_and_are_ours_alone(empty: Path) -> None:
    first = DataDir(empty).secret("auth")
    assert len(first) >= 43
    assert DataDir(empty).secret("auth") == first
    file = empty / "secrets" / "auth"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert DataDir(empty).secret("other") != first
