"""The supervisor on real Postgres, Redis and HAProxy, with a stand-in for our own processes."""

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from realtime.engines import processes
from realtime.engines.layout import DataDir
from realtime.engines.postgres import EmbeddedPostgres
from realtime.engines.redis import EmbeddedRedis
from realtime.engines.service import RESTART_MAX_S, restart_delay_s
from tests.engines.harness import Supervised, get, pid_of, remains, until
from tests.engines_fixtures import engine_folder


def order(lines: list[str], *patterns: str) -> list[int]:
    """Where each pattern is first found among ``lines``."""
    return [next(at for at, line in enumerate(lines) if re.search(pattern, line)) for pattern in patterns]


@pytest.fixture(scope="module")
def shared(made_cluster: Path) -> Iterator[tuple[Supervised, dict[str, int]]]:
    """A supervisor that is ready, with its ports, for tests after which everything runs as before."""
    with engine_folder() as folder:
        subprocess.run(["cp", "-a", f"{made_cluster}/.", str(folder)], check=True)
        with Supervised(folder) as up:
            yield up, up.ready()
            assert up.end() == 0
        assert remains(folder) == []


def test_everything_starts_in_order_and_stops_in_order(data: Path) -> None:
    with Supervised(data, FAKE_DEMO="1") as up:
        ports = up.ready()
        assert get(f"http://127.0.0.1:{ports['public']}/").split()[0] in ("w1", "w2")
        assert set(ports) == {"public", "w1", "w2", "worker1"}
        up.line(r"demo +│ simulate begins")
        assert up.end(signal.SIGINT) == 0
    started = order(
        up.lines, r"postgres │.*ready to accept", "release", r"w[12] +│ serve begins", "^ready", r"demo +│"
    )
    assert started[:4] == sorted(started[:4])
    stopped = order(up.lines, "serve ends", "worker ends", r"postgres │.*system is shut down")
    assert stopped == sorted(stopped)
    assert remains(data) == []


def test_stand_ins_of_the_outside_are_there_before_those_who_call_them_and_outlive_them(data: Path) -> None:
    with Supervised(data, FAKE_OUTSIDE="1") as up:
        ports = up.ready()
        assert get(f"http://127.0.0.1:{ports['outside']}/readyz").startswith("outside")
        ways = [
            [part for part in environ.split(b"\0") if part.startswith((b"TWILIO_", b"FIREBASE_", b"SMTP_"))]
            for environ in (
                Path(f"/proc/{pid_of(data, ports[name])}/environ").read_bytes()
                for name in ("outside", "worker1", "w1")
            )
        ]
        assert ways[0] == ways[1] == ways[2] and len(ways[0]) == 10
        os.kill(pid_of(data, ports["outside"]), signal.SIGKILL)
        up.line("outside was killed by signal 9")
        until(lambda: get(f"http://127.0.0.1:{ports['outside']}/").startswith("outside"), "it is there again")
        assert up.end() == 0
    started = order(up.lines, r"outside +│ outside begins", r"w[12] +│ serve begins", "^ready")
    assert started == sorted(started)
    stopped = order(up.lines, "worker ends", "outside ends", r"postgres │.*system is shut down")
    assert stopped == sorted(stopped)


def test_stand_ins_beside_the_credentials_of_the_real_ones_are_refused_by_name(data: Path) -> None:
    real = {"SMTP_HOST": "mail.example", "SMTP_FROM": "sos@mail.example"}
    with Supervised(data, FAKE_OUTSIDE="1", **real) as up:
        up.line("error: SMTP_FROM is set: unset it, or start without --outside demo")
        assert up.process.wait(60) == 1


def test_a_child_that_is_killed_is_there_again(shared: tuple[Supervised, dict[str, int]]) -> None:
    up, ports = shared
    first = pid_of(up.data, ports["w1"])
    os.kill(first, signal.SIGKILL)
    up.line("w1 was killed by signal 9")
    until(lambda: pid_of(up.data, ports["w1"]) not in (0, first), "another w1")
    until(lambda: get(f"http://127.0.0.1:{ports['w1']}/").startswith("w1"), "w1 answers")


@pytest.mark.parametrize(
    ("kind", "program"),
    [
        pytest.param(EmbeddedPostgres, "postgres", id="postgres"),
        pytest.param(EmbeddedRedis, "valkey", id="redis"),
    ],
)
def test_an_engine_that_is_killed_is_there_again(
    shared: tuple[Supervised, dict[str, int]],
    kind: type[EmbeddedPostgres | EmbeddedRedis],
    program: str,
) -> None:
    up, _ = shared
    engine = kind(up.data)
    before = processes.working_in(engine.folder, program)
    assert before
    # Of Postgres the oldest is the postmaster.
    os.kill(min(before, key=lambda pid: processes.started_at(pid) or 0), signal.SIGKILL)
    up.line(f"{engine.name} was killed by signal 9")
    until(lambda: set(processes.working_in(engine.folder, program)) - set(before), f"another {engine.name}")
    until(engine.is_ready, f"{engine.name} takes connections")


def test_a_parent_that_is_killed_leaves_nothing_and_the_next_start_recovers(data: Path) -> None:
    with Supervised(data) as up:
        port = up.ready()["public"]
        assert len(up.children()) > 5
        up.process.kill()
        up.process.wait()
        until(lambda: not remains(data), "no process is left")
    with Supervised(data, PORT=str(port)) as again:
        assert again.ready()["public"] == port


def test_what_outlived_its_supervisor_is_ended_by_the_next_one(data: Path) -> None:
    with Supervised(data) as up:
        ports = up.ready()
        stray = pid_of(data, ports["w1"])
        # Stopped processes get no signal but SIGKILL; the supervisor's death sends one, so this stray is made
        # by hand: the same program and environment, a parent that does not care.
        environ = dict(
            pair.split("=", 1)
            for pair in Path(f"/proc/{stray}/environ").read_text().split("\0")
            if "=" in pair
        )
        assert up.end() == 0
    child = os.fork()
    if child == 0:
        os.execve("/bin/sleep", ["sleep", "600"], environ)
    try:
        until(lambda: child in remains(data), "the stray")
        with Supervised(data) as again:
            again.line(f"ending process {child}")
            os.waitpid(child, 0)
            again.ready()
    finally:
        if processes.started_at(child) is not None:
            os.kill(child, signal.SIGKILL)


def test_one_data_directory_has_one_supervisor(shared: tuple[Supervised, dict[str, int]]) -> None:
    up, _ = shared
    with Supervised(up.data) as second:
        second.line(f"error: .*in use by process {up.process.pid}")
        assert second.process.wait(30) == 1


def test_a_taken_port_is_named_and_nothing_is_started(empty: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with Supervised(empty, PORT=str(port)) as up:
            up.line(f"error: port {port} is taken: .*PORT=")
            assert up.process.wait(30) == 1
    assert not (empty / "pg").exists()


def test_a_data_directory_of_another_version_is_named(empty: Path) -> None:
    (empty / "pg").mkdir()
    (empty / "pg" / "PG_VERSION").write_text("13\n")
    with Supervised(empty) as up:
        up.line("error: .*is of Postgres 13, this is 18")
        assert up.process.wait(30) == 1


def test_an_instance_that_cannot_start_ends_the_start_with_its_words(data: Path) -> None:
    with Supervised(data, FAKE_FAULT="serve_crashes") as up:
        up.line(r"error: w[12] does not start: .*out of paper")
        assert up.end(signal.SIGCONT) == 1


def test_a_failed_migration_ends_the_start(data: Path) -> None:
    with Supervised(data, FAKE_FAULT="migrate_fails") as up:
        up.line("error: migrations failed")
        assert up.end(signal.SIGCONT) == 1


def test_told_to_stop_while_it_starts(data: Path) -> None:
    with Supervised(data) as up:
        up.line("starting")
        assert up.end() == 0
    assert not any(line.startswith("ready") for line in up.lines)


def test_a_second_signal_ends_what_does_not_stop(data: Path) -> None:
    with Supervised(data, FAKE_FAULT="stubborn") as up:
        up.ready()
        up.process.send_signal(signal.SIGTERM)
        up.line("once more to stop by force")
        assert up.end() == 0
    assert any("w1 does not stop" in line for line in up.lines)


def test_external_engines_replace_the_embedded_ones(empty: Path, database_url: str, redis_url: str) -> None:
    with Supervised(empty, DATABASE_URL=database_url, REDIS_URL=redis_url) as up:
        ports = up.ready()
        environ = Path(f"/proc/{pid_of(empty, ports['w1'])}/environ").read_bytes().split(b"\0")
        assert f"DATABASE_URL={database_url}".encode() in environ
        assert f"REDIS_URL={redis_url}".encode() in environ
    assert not (empty / "pg").exists()
    assert not (empty / "redis").exists()


def test_each_child_knows_its_name_its_secret_and_the_public_address(
    shared: tuple[Supervised, dict[str, int]],
) -> None:
    up, ports = shared
    text = Path(f"/proc/{pid_of(up.data, ports['w2'])}/environ").read_text()
    environ = dict(pair.split("=", 1) for pair in text.split("\0") if "=" in pair)
    assert environ["INSTANCE_NAME"] == "w2"
    assert environ["PUBLIC_URL"] == f"http://127.0.0.1:{ports['public']}"
    assert environ["AUTH_SECRET"] == DataDir(up.data).secret("auth")
    assert environ["BIND_HOST"] == "127.0.0.1"


def test_lines_are_json_where_that_is_asked_for(data: Path) -> None:
    import json

    with Supervised(data, LOG_FORMAT="json") as up:
        up.ready()
        assert up.end() == 0
    parsed = [json.loads(line) for line in up.lines if not line.startswith("ready")]
    assert {"w1", "postgres", "wayguard"} <= {line["process"] for line in parsed}


def test_restarts_come_at_once_and_then_ever_later() -> None:
    delays = [restart_delay_s(failures) for failures in range(12)]
    assert delays[0] == 0
    assert delays[1] < 1
    assert delays == sorted(delays)
    assert delays[-1] == RESTART_MAX_S
