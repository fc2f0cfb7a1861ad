"""The balancer on two tiny instances: which server gets which request, and what is refused."""

import contextlib
import http.client
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import IO
from urllib.parse import quote

import pytest

from realtime.engines import haproxy, processes
from realtime.engines.embedded import free_port
from realtime.engines.haproxy import Balancer
from realtime.protocol import Refused, identifier
from tests.engines.harness import until


class Instance:
    """Answers /readyz with 200 while ``ready``, everything else with its name and X-Forwarded-For."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True
        self.posts = 0
        instance = self

        class Answers(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                forwarded = self.headers.get_all("X-Forwarded-For", [])
                body = f"{instance.name} {','.join(forwarded)} {self.headers.get('Forwarded')}".encode()
                status = 503 if self.path == "/readyz" and not instance.ready else 200
                head = f"HTTP/1.1 {status} -\r\nServer: x/9\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                self.wfile.write(head + body)

            def do_POST(self) -> None:
                instance.posts += 1
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """The balancer's checks end with a reset once they have seen the status: no error."""

        self.server = Server(("127.0.0.1", 0), Answers)
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self.server.shutdown()
        self.server.server_close()


class Running:
    """HAProxy in front of ``instances`` and ``workers``."""

    def __init__(
        self,
        folder: Path,
        instances: list[Instance],
        workers: Sequence[Instance] = (),
        binds: Sequence[str] = (),
        *,
        safety: bool = False,
        log: int | IO[bytes] = subprocess.DEVNULL,
        **options: int,
    ) -> None:
        self.port, self.metrics_port, self.safety_port = free_port(), free_port(), free_port()
        self.admin = folder / "admin.sock"
        balancer = Balancer(
            [f"127.0.0.1:{self.port}", *binds],
            {instance.name: instance.address for instance in instances},
            self.admin,
            f"127.0.0.1:{self.metrics_port}",
            workers={worker.name: worker.address for worker in workers},
            safety_binds=[f"127.0.0.1:{self.safety_port}"] if safety else [],
            **options,
        )
        self.public_maxconn = balancer.public_maxconn
        file = folder / "haproxy.cfg"
        balancer.write(file)
        command = balancer.command(file)
        if log != subprocess.DEVNULL:  # each request that fails, too
            file.write_text(file.read_text().replace("raw daemon notice", "raw daemon info"))
            command = replace(command, argv=[word for word in command.argv if word != "-q"])
        self.process = processes.start(command, log)
        until(lambda: self.get("/healthz")[0] == 200, "haproxy answers")
        until(lambda: self.states() == {instance.name: "UP" for instance in instances}, "both are up")
        alive = {worker.name for worker in workers}
        until(lambda: {n for n, s in self.states("workers").items() if s == "UP"} >= alive, "workers are up")

    def get(self, path: str, port: int = 0, source: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
        """The status and the body of a GET on a connection of its own, from the address ``source``."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", port or self.port, timeout=10, source_address=(source, 0)
        )
        try:
            connection.request(
                "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask(self, method: str, path: str, port: int) -> tuple[int, http.client.HTTPMessage]:
        """The status and the headers of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.msg
        finally:
            connection.close()

    def refused(self, path: str) -> bool:
        """Whether a new connection is closed without an answer."""
        try:
            self.get(path)
        except (ConnectionError, http.client.HTTPException):
            return True
        return False

    def current(self, frontend: str) -> int:
        """How many connections ``frontend`` has now."""
        rows = [line.split(",") for line in haproxy.ask(self.admin, "show stat").splitlines()]
        (current,) = (int(row[4]) for row in rows if row[:2] == [frontend, "FRONTEND"])
        return current

    def states(self, backend: str = "web") -> dict[str, str]:
        """Each server's state as HAProxy sees it: UP, DOWN, DRAIN …"""
        rows = [line.split(",") for line in haproxy.ask(self.admin, "show stat").splitlines()]
        return {row[1]: row[17].split()[0] for row in rows if row[0] == backend and row[1] != "BACKEND"}

    def names(self, path: str, times: int = 8) -> set[str]:
        """Who answers ``path``, asked so often."""
        return {self.get(path)[1].split()[0] for _ in range(times)}

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def instances() -> Iterator[list[Instance]]:
    """Two of them."""
    both = [Instance("w1"), Instance("w2")]
    yield both
    for instance in both:
        instance.close()


@pytest.fixture
def balancer(empty: Path, instances: list[Instance]) -> Iterator[Running]:
    """HAProxy in front of both."""
    running = Running(empty, instances)
    yield running
    running.close()


def test_a_session_goes_back_to_where_it_began(balancer: Running) -> None:
    for name in ("w1", "w2"):
        answers = {
            balancer.get(f"/socket.io/?EIO=4&transport=polling&sid={name}.a1b2")[1].split()[0]
            for _ in range(12)
        }
        assert answers == {name}


def test_new_sessions_are_spread(balancer: Running) -> None:
    answers = [balancer.get("/socket.io/?EIO=4&transport=polling")[1].split()[0] for _ in range(12)]
    assert set(answers) == {"w1", "w2"}


def test_a_sid_of_an_unknown_instance_is_still_answered(balancer: Running) -> None:
    assert balancer.get("/socket.io/?EIO=4&transport=polling&sid=w9.a1b2")[0] == 200


def test_an_instance_that_drains_keeps_its_sessions_and_gets_no_new_ones(
    balancer: Running, instances: list[Instance]
) -> None:
    """Both ways of draining: told by the balancer's socket, or by the instance through /readyz."""
    haproxy.drain(balancer.admin, "w1")
    until(lambda: balancer.states()["w1"] == "DRAIN", "w1 drains")
    assert {balancer.get("/")[1].split()[0] for _ in range(8)} == {"w2"}
    assert balancer.get("/socket.io/?sid=w1.a1")[1].split()[0] == "w1"
    haproxy.ask(balancer.admin, "set server web/w1 state ready")
    instances[1].ready = False
    until(lambda: balancer.states() == {"w1": "UP", "w2": "DOWN"}, "w2 is seen to be not ready")
    assert {balancer.get("/")[1].split()[0] for _ in range(8)} == {"w1"}
    assert balancer.get("/socket.io/?sid=w2.a1")[1].split()[0] == "w2"


def test_an_instance_that_is_gone_gets_nothing(balancer: Running, instances: list[Instance]) -> None:
    instances[0].close()
    until(lambda: balancer.states()["w1"] == "DOWN", "w1 is seen to be gone")
    assert {balancer.get("/")[1].split()[0] for _ in range(8)} == {"w2"}


@pytest.mark.parametrize("path", ["/readyz", "/%72eadyz"])
def test_a_question_for_readiness_from_outside_says_that_it_was_forwarded(
    balancer: Running, path: str
) -> None:
    """By that header a process answers it without details; see `realtime.api.about`."""
    _, body = balancer.get(path)
    assert body.split()[1] == "127.0.0.1"


def test_who_the_client_is_comes_from_its_connection(balancer: Running) -> None:
    _, body = balancer.get("/", X_Forwarded_For="6.6.6.6", Forwarded="for=6.6.6.6", X_Real_IP="6.6.6.6")
    assert body.split()[1:] == ["127.0.0.1", "None"]


@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/metrics/", "/metrics?x=1", "/%6detrics", "/%6D%65trics"),
        *("/api/../metrics", "/x/%2e%2e/metrics", "http://127.0.0.1/metrics"),
    ],
)
def test_metrics_are_not_for_the_outside(balancer: Running, path: str) -> None:
    assert balancer.get(path)[0] == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/..", "/../", "/../x", "/x/..", "/x/../", "/x/../y", "/x/..?q=1", "/api/v1/drivers/.."),
        *("/x/%2e%2e", "/x/.%2e/y", "/x/%2E./y", "/%2e%2e/y", "/x%2f..%2fy", "/x/..%2fy", "/x%2f%2e%2e/y"),
    ],
)
def test_a_path_that_climbs_is_not_found(balancer: Running, path: str) -> None:
    assert balancer.get(path)[0] == 404


def test_every_id_passes_as_a_segment_of_a_path(balancer: Running) -> None:
    random = Random(1)
    ids = ["a..b", "a..", "a...", "1..2..3", "a.", "a.b", "a~b", "a@b", "a:b", "a+b", "a-b", "a_b", "Z" * 64]
    ids += ["x" + "".join(random.choices("aZ0._~@:+-...", k=random.randint(1, 20))) for _ in range(200)]
    for one in ids:
        identifier(one, "driver")  # a valid one
        for written in (one, quote(one, safe=""), one.replace(".", "%2e")):
            assert balancer.get(f"/api/v1/drivers/{written}")[0] == 200, one
            assert balancer.get(f"/api/v1/drivers/{written}/safety")[0] == 200, one


@pytest.mark.parametrize(
    "name", [".", "..", "", ".a", "/", "a/b", "a%2eb", "a\\b", "a b", "a?b", "a#b", "-a", "~a"]
)
def test_what_would_be_no_segment_of_a_path_is_no_id(name: str) -> None:
    with pytest.raises(Refused):
        identifier(name, "driver")


def test_the_balancers_own_metrics_are_on_a_port_of_their_own(balancer: Running) -> None:
    status, body = balancer.get("/metrics", port=balancer.metrics_port)
    assert status == 200
    assert 'haproxy_server_status{proxy="web",server="w1"' in body


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "GET /metrics HTTP/1.1", "nonsense"])
def test_no_response_through_the_balancer_names_software(balancer: Running, request_line: str) -> None:
    names_no_software(balancer.port, request_line)


def test_no_response_of_the_safety_frontend_names_software(empty: Path, instances: list[Instance]) -> None:
    running = Running(empty, instances, safety=True)
    try:
        for request_line in ("GET /api/v1/sos HTTP/1.1", "GET / HTTP/1.1", "nonsense"):
            names_no_software(running.safety_port, request_line)
    finally:
        running.close()


def names_no_software(port: int, request_line: str) -> None:
    """What the instances send of theirs, `x/9`, does not come through either."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(f"{request_line}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = connection.makefile("rb").read().decode().lower()
    assert answer.startswith("http/1.1 ")
    assert "server:" not in answer and "haproxy" not in answer and "via:" not in answer


def test_one_address_may_make_many_requests_but_not_any_number(
    empty: Path, instances: list[Instance]
) -> None:
    running = Running(empty, instances, requests_per_10s=50)
    try:
        statuses = [running.get("/")[0] for _ in range(60)]
        assert statuses[-1] == 429
    finally:
        running.close()


@pytest.mark.parametrize(
    ("first", "same", "other"),
    [
        ("2001:db8:1:1::1", "2001:db8:1:1:ffff::2", "2001:db8:1:2::1"),
        ("192.0.2.1", "192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1", "::ffff:192.0.2.2"),
    ],
)
def test_requests_are_counted_by_subscriber_a_64_of_ipv6(
    empty: Path, instances: list[Instance], first: str, same: str, other: str
) -> None:
    entrance = free_port()
    running = Running(empty, instances, binds=[f"127.0.0.1:{entrance} accept-proxy"], requests_per_10s=50)
    try:
        statuses = [asked_from(address, entrance) for address in [first, same] * 40]
        assert statuses[:40] == [200] * 40
        assert statuses[-1] == 429
        assert asked_from(other, entrance) == 200
    finally:
        running.close()


def asked_from(address: str, port: int) -> int:
    """The status of a request that a proxy before the balancer says is from ``address``."""
    family, target = ("TCP6", "2001:db8::80") if ":" in address else ("TCP4", "192.0.2.80")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        head = f"PROXY {family} {address} {target} 4711 80\r\n"
        connection.sendall(f"{head}GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


SECRET = "q8Zt1bC4dE6fG8hI0jK2lM4nO6pQ8rS0"
SAFETY_PATHS = ("/api/v1/sos", "/hooks/twilio/status", "/a", "/answers/abc")


@pytest.fixture
def workers() -> Iterator[list[Instance]]:
    """Two of them."""
    both = [Instance("worker1"), Instance("worker2")]
    yield both
    for worker in both:
        worker.close()


@pytest.mark.parametrize("path", SAFETY_PATHS)
def test_an_sos_and_its_answers_go_to_the_workers_and_nothing_else_does(
    empty: Path, instances: list[Instance], workers: list[Instance], path: str
) -> None:
    running = Running(empty, instances, workers)
    try:
        assert running.names(path) == {"worker1", "worker2"}
        assert running.names(f"{path}?x=1") == {"worker1", "worker2"}
        for other in ("/", "/api/v1/sos2", "/about", "/api/v1/alerts", "/hooks"):
            assert running.names(other) == {"w1", "w2"}
    finally:
        running.close()


def test_when_every_worker_is_gone_the_instances_take_an_sos(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers)
    try:
        workers[0].ready = False
        until(lambda: running.states("workers")["worker1"] == "DOWN", "the first is seen to drain")
        assert running.names("/api/v1/sos") == {"worker2"}
        workers[1].close()
        until(lambda: running.states("workers")["worker2"] == "DOWN", "the second is seen to be gone")
        assert running.names("/api/v1/sos") == {"w1", "w2"}
        instances[0].ready = False
        until(lambda: running.states("workers")["w1"] == "DOWN", "an instance that drains takes none either")
        assert running.names("/api/v1/sos") == {"w2"}
        workers[0].ready = True
        until(
            lambda: running.names("/api/v1/sos", 1) == {"worker1"}, "a worker that is back takes them again"
        )
    finally:
        running.close()


def test_when_no_process_is_ready_one_that_runs_takes_an_sos_and_nothing_else(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    """As while the database has the schema of another release."""
    running = Running(empty, instances, workers, safety=True)
    try:
        for instance in (*instances, *workers):
            instance.ready = False
        until(lambda: set(running.states("workers").values()) == {"DOWN"}, "none is ready")
        until(lambda: running.names("/api/v1/sos") == {"worker1", "worker2"}, "the workers take it")
        assert running.get("/api/v1/sos", running.safety_port)[0] == 200
        until(lambda: running.get("/drive")[0] == 503, "no instance takes a page")
        for worker in workers:
            worker.close()
        until(lambda: running.names("/api/v1/sos") == {"w1", "w2"}, "the instances take it")
    finally:
        running.close()


def test_a_balancer_that_knows_no_worker_sends_an_sos_to_the_instances(balancer: Running) -> None:
    assert balancer.names("/api/v1/sos") == {"w1", "w2"}


@pytest.mark.parametrize(
    "path",
    ["/console", "/drive", "/drive/sw.js", "/drive/manifest.webmanifest", "/s/abc", "/api/v1/session"],
)
def test_pages_and_sessions_come_from_the_instances(
    empty: Path, instances: list[Instance], workers: list[Instance], path: str
) -> None:
    running = Running(empty, instances, workers)
    try:
        assert running.names(path) == {"w1", "w2"}
    finally:
        running.close()


def test_an_address_that_makes_too_many_requests_may_still_cry_for_help(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, requests_per_10s=20)
    try:
        assert {running.get("/api/v1/sos")[0] for _ in range(60)} == {200}
        assert running.get("/")[0] == 200, "and those did not count against it"
        assert 429 in {running.get("/")[0] for _ in range(40)}
        assert {running.get(path)[0] for path in SAFETY_PATHS} == {200}
    finally:
        running.close()


def test_a_client_that_says_nothing_does_not_keep_others_out(balancer: Running) -> None:
    silent = [socket.create_connection(("127.0.0.1", balancer.port)) for _ in range(50)]
    try:
        assert balancer.get("/")[0] == 200
    finally:
        for connection in silent:
            connection.close()


def slow_body(port: int, path: str, source: str = "127.0.0.1") -> socket.socket:
    """A connection that has sent the head and one byte of the body of a POST."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    connection.sendall(head.encode() + b"{")
    return connection


def test_one_address_does_not_take_every_connection(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True, connections_per_address=20)
    held = [slow_body(running.port, "/answers/view") for _ in range(20)]
    try:
        until(lambda: running.refused("/"), "the address has all that it may have")
        assert running.get("/", source="127.0.0.2")[0] == 200
        assert running.get("/api/v1/sos", source="127.0.0.2")[0] == 200
        assert running.get("/api/v1/sos", running.safety_port)[0] == 200, "from the same address"
        for connection in held:
            connection.close()
        until(lambda: not running.refused("/"), "what it has closed it may open again")
    finally:
        running.close()


def test_the_safety_frontend_answers_while_the_public_one_is_full(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True, maxconn=100, connections_per_address=1_000)
    held = []
    try:
        for _ in range(95):  # more than that would wait for a place to wait
            held.append(socket.create_connection(("127.0.0.1", running.port), timeout=10))
            held[-1].sendall(b"GET / HTTP/1.1\r\n")
        until(lambda: running.current("public") == running.public_maxconn, "the public frontend is full")
        assert running.public_maxconn < 100
        for path in SAFETY_PATHS:
            assert running.get(path, running.safety_port)[1].split()[0] in ("worker1", "worker2")
        assert running.get("/metrics", running.metrics_port)[0] == 200
    finally:
        for connection in held:
            connection.close()
        running.close()


def test_one_address_does_not_take_every_safety_connection(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True, maxconn=100)
    held = []
    for _ in range(20):
        with contextlib.suppress(ConnectionError):  # the balancer may reset it before its bytes are sent
            held.append(slow_body(running.safety_port, "/hooks/x"))
    try:
        until(lambda: running.current("safety") == 10, "half of them are one address's at most")
        assert running.get("/a", running.safety_port, source="127.0.0.2")[0] == 200
    finally:
        for connection in held:
            connection.close()
        running.close()


def test_the_safety_frontend_has_nothing_else(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True)
    try:
        for path in ("/", "/metrics", "/drive", "/socket.io/", "/api/v1/alerts", "/hooks/../metrics", "/aa"):
            assert running.get(path, running.safety_port)[0] == 404
        _, body = running.get("/api/v1/sos", running.safety_port, X_Forwarded_For="6.6.6.6")
        assert body.split()[1:] == ["127.0.0.1", "None"]
    finally:
        running.close()


LINKS = (
    "/a%23{}",
    "/a%2523{}",
    "/a/",
    "/a/{}",
    "/A%23{}",
    "/a*{}",
    "/a&num;{}",
    "/a.",
    "//a%23{}",
    "/%61%23{}",
)


def test_an_answer_link_that_was_changed_on_the_way_goes_where_its_page_is(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True)
    try:
        for link in LINKS:
            path = link.format(SECRET)
            assert running.names(path, 2) <= {"worker1", "worker2"}, path
            assert running.get(path, running.safety_port)[0] == 200, path
        for path in (
            "/aa",
            "/a-b",
            "/a_b",
            "/answer",
            "/api",
            f"/s/id%23{SECRET}",
            f"/drive%23pair={SECRET}",
        ):
            assert running.names(path, 2) <= {"w1", "w2"}, path
    finally:
        running.close()


def test_no_log_line_has_what_follows_the_path_of_a_page(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    with (empty / "log").open("wb") as log:
        running = Running(empty, instances, workers, safety=True, log=log)
        try:
            for server in (*instances, *workers):
                server.close()
            until(lambda: running.get("/a")[0] == 503, "nothing is up")
            links = [link.format(SECRET) for link in LINKS]
            links += [
                f"/{page}{mark}{SECRET}"
                for page in ("s/id", "drive", "console")
                for mark in ("%23", "/", "*")
            ]
            for path in (*links, f"/s/{SECRET}", f"/x%2F{SECRET}", f"/a/../{SECRET}", f"/a?{SECRET}"):
                for port in (running.port, running.safety_port, running.metrics_port):
                    running.get(path, port)
            running.get("/api/v1/alerts")
        finally:
            running.close()
    text = (empty / "log").read_text()
    assert "GET /a 503" in text and "GET /s 503" in text and "GET /drive 503" in text
    assert "GET /api/v1/alerts 503" in text
    assert SECRET not in text
    assert SECRET[:12] not in text


def test_the_drivers_page_may_send_an_sos_to_the_safety_frontend(
    empty: Path, instances: list[Instance], workers: list[Instance]
) -> None:
    running = Running(empty, instances, workers, safety=True)
    try:
        status, headers = running.ask("OPTIONS", "/api/v1/sos", running.safety_port)
        assert status == 204
        assert headers["Access-Control-Allow-Methods"] == "POST"
        assert headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"
        assert headers["Access-Control-Allow-Origin"] == "*"
        _, headers = running.ask("GET", "/api/v1/sos", running.safety_port)
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Expose-Headers"] == "Date, Retry-After"
        for path in ("/a", "/answers/view"):
            _, headers = running.ask("GET", path, running.safety_port)
            assert headers["Access-Control-Allow-Origin"] is None
        _, headers = running.ask("GET", "/api/v1/sos", running.port)
        assert headers["Access-Control-Allow-Origin"] is None
    finally:
        running.close()


@pytest.mark.parametrize(
    ("path", "waits"), [("/answers/view", True), ("/hooks/x", True), ("/api/v1/sos", False)]
)
def test_a_body_that_is_not_whole_reaches_a_process_only_for_an_sos(
    empty: Path, instances: list[Instance], workers: list[Instance], path: str, waits: bool
) -> None:
    running = Running(empty, instances, workers, safety=True)
    try:
        for port in (running.port, running.safety_port):
            before = sum(worker.posts for worker in workers)
            with slow_body(port, path) as connection:
                if waits:
                    assert running.get("/a", port)[0] == 200, "what was sent before that has arrived"
                    assert sum(worker.posts for worker in workers) == before
                    connection.sendall(b"x" * 99)
                until(lambda: sum(w.posts for w in workers) == before + 1, "the request arrives")  # noqa: B023
    finally:
        running.close()


def test_the_frontends_take_less_than_the_process() -> None:
    for maxconn in (50, 412, 9_900, 100_000):
        for binds in ([], ["*:8010"]):
            of = Balancer(["*:80"], {}, Path("a"), "*:1", maxconn=maxconn, safety_binds=binds)
            assert of.public_maxconn + of.safety_maxconn + of.private_maxconn == maxconn
            assert of.public_maxconn > of.safety_maxconn
            assert of.private_maxconn > 0
            assert bool(of.safety_maxconn) == bool(binds)


def test_the_template_is_valid_for_addresses_and_for_names(empty: Path) -> None:
    by_address = {"w1": "127.0.0.1:8001"}, {"worker1": "127.0.0.1:8101"}
    by_name = {"w1": "web1:8000", "w2": "web2:8000"}, {"worker1": "worker1:8000"}
    cases = [
        (*names, binds) for names in (by_address, by_name, (by_address[0], {})) for binds in ([], ["*:8010"])
    ]
    for servers, workers, safety_binds in cases:
        admin, metrics = empty / "a.sock", "127.0.0.1:8404"
        config = Balancer(
            ["127.0.0.1:8000"], servers, admin, metrics, workers=workers, safety_binds=safety_binds
        )
        assert ("frontend safety" in config.render()) == bool(safety_binds)
        assert "[safety" not in config.render() or safety_binds
        file = empty / "haproxy.cfg"
        config.write(file)
        checked = subprocess.run(
            [config.command(file).argv[0], "-c", "-f", str(file)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr


def test_connections_leave_room_for_the_other_side(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, expected in ((1_024, 412), (20_000, 9_900), (10**9, 100_000), (-1, 100_000), (100, 50)):
        monkeypatch.setattr(haproxy.resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert haproxy.connections_allowed() == expected
