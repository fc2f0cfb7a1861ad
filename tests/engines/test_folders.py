"""No folder that was there before changes its mode or its owner, as root either."""

import os
import shutil
import stat
from pathlib import Path

import pytest

from realtime.alerting.failover.storage import LocalStorage
from realtime.engines.account import engine_account
from realtime.engines.errors import EngineError
from realtime.engines.layout import DataDir
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.settings import Settings

STRANGER = 12_345
IS_ROOT = os.geteuid() == 0


def traits(*folders: Path) -> list[tuple[Path, int, int, int]]:
    """Mode, owner and group of each."""
    return [(f, stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for f in folders for s in [f.lstat()]]


def premade(folder: Path, mode: int, owner: int | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)
    if owner is not None and IS_ROOT:
        os.chown(folder, owner, owner)
    return folder


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o711])
def test_a_data_directory_that_was_there_keeps_its_mode_and_owner(empty: Path, mode: int) -> None:
    data = premade(empty / "data", mode, STRANGER)
    run = premade(data / "run", 0o755, STRANGER)
    secrets = premade(data / "secrets", 0o750, STRANGER)
    before = traits(empty, data, run, secrets)
    DataDir(data).prepare()
    DataDir(data).secret("auth")
    assert traits(empty, data, run, secrets) == before


def test_folders_that_are_made_have_the_mode_they_need_whatever_the_umask(empty: Path) -> None:
    before = os.umask(0o077)
    try:
        DataDir(empty / "data").prepare()
    finally:
        os.umask(before)
    modes = [trait[1] for trait in traits(empty / "data", empty / "data/run", empty / "data/secrets")]
    assert modes == [0o711, 0o711, 0o700]


def test_engines_in_a_data_directory_that_was_there_change_nothing_of_it(data: Path) -> None:
    data.chmod(0o751)
    journal = premade(data / "journal", 0o755)
    before = traits(data.parent, data, journal)
    for server in (EmbeddedPostgres(data), EmbeddedRedis(data)):
        try:
            server.start()
        finally:
            server.stop()
    assert traits(data.parent, data, journal) == before


def test_a_socket_folder_that_is_another_accounts_is_refused_and_left_alone(empty: Path) -> None:
    layout = DataDir(empty)
    layout.prepare()
    folder = premade(empty / "run" / "pg", 0o700, STRANGER)
    (folder / "something").touch()
    if not IS_ROOT:
        folder.chmod(0o755)
    before = traits(folder)
    with pytest.raises(EngineError, match=r"belongs to another account|is open to other"):
        layout.socket_folder("pg")
    assert traits(folder) == before


def test_a_socket_folder_that_is_open_to_others_is_refused_and_left_alone(empty: Path) -> None:
    layout = DataDir(empty)
    layout.prepare()
    account = engine_account()
    folder = premade(empty / "run" / "redis", 0o755, account.uid)
    before = traits(folder)
    with pytest.raises(EngineError, match="is open to other accounts"):
        layout.socket_folder("redis")
    assert traits(folder) == before


def test_an_empty_socket_folder_of_an_interrupted_start_is_made_anew(empty: Path) -> None:
    layout = DataDir(empty)
    layout.prepare()
    premade(empty / "run" / "redis", 0o700)
    folder = layout.socket_folder("redis")
    assert folder.stat().st_uid == engine_account().uid
    assert layout.socket_folder("redis") == folder


@pytest.mark.skipif(not IS_ROOT, reason="only root can make a folder for another account")
def test_redis_refuses_a_folder_of_another_account_and_leaves_it_alone(empty: Path) -> None:
    folder = premade(empty / "redis", 0o750, STRANGER)
    (folder / "appendonlydir").mkdir()
    before = traits(folder)
    with pytest.raises(EngineError, match="belongs to another account"):
        EmbeddedRedis(empty).prepare()
    assert traits(folder) == before


def test_a_journal_folder_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    settings = Settings(journal_dir=tmp_path)
    folder = premade(tmp_path / "web-w1", 0o750, STRANGER)
    before = traits(folder, tmp_path)
    taken = LocalStorage.take(settings, "web")
    try:
        assert taken.path == folder
        assert traits(folder, tmp_path) == before
    finally:
        taken.release()
    shutil.rmtree(folder)
    made = LocalStorage.take(settings, "web")
    assert traits(made.path)[0][1] == 0o700
    made.release()
