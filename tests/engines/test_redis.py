"""The embedded Redis: what it keeps and whom it lets in."""

import stat
from pathlib import Path

import pytest
import redis

from realtime.engines.layout import DataDir
from realtime.engines.redis import EmbeddedRedis


def test_what_was_written_survives_a_stop(empty: Path) -> None:
    server = EmbeddedRedis(empty)
    try:
        with redis.Redis.from_url(server.start()) as client:
            client.set("kept", "yes")
        server.stop()
        with redis.Redis.from_url(server.start()) as client:
            assert client.get("kept") == b"yes"
    finally:
        server.stop()


def test_a_killed_one_leaves_a_socket_that_is_no_obstacle(empty: Path) -> None:
    server = EmbeddedRedis(empty)
    try:
        url = server.start()
        server.kill()
        assert (DataDir(empty).socket_folder("redis") / "redis.sock").exists()
        assert server.start() == url
    finally:
        server.stop()


@pytest.mark.parametrize("port", [None, 0], ids=["socket", "port"])
def test_nobody_comes_in_without_the_password(empty: Path, port: int | None) -> None:
    server = EmbeddedRedis(empty, port)
    try:
        url = server.start()
        secret = DataDir(empty).secret("redis")
        with (
            pytest.raises(redis.AuthenticationError),
            redis.Redis.from_url(url.replace(f":{secret}@", "")) as client,
        ):
            client.ping()
        assert stat.S_IMODE((DataDir(empty).socket_folder("redis") / "valkey.conf").stat().st_mode) == 0o600
        assert stat.S_IMODE(DataDir(empty).socket_folder("redis").stat().st_mode) == 0o700
    finally:
        server.stop()


def test_one_that_outlived_its_starter_is_ended_first(empty: Path) -> None:
    orphan, ours = EmbeddedRedis(empty), EmbeddedRedis(empty)
    try:
        orphan.start()
        with redis.Redis.from_url(ours.start()) as client:
            assert client.info("server")["process_id"] == ours.pid
        assert ours.pid != orphan.pid
    finally:
        orphan.stop()
        ours.stop()
