"""Which server has a channel: the only one, or the node of a Cluster that has its slot."""

import asyncio
import random
from collections.abc import Iterable, Set
from typing import Any, Final, NamedTuple, Protocol

import redis.asyncio as redis
from redis.crc import key_slot
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisClusterException, RedisError

from realtime.redis.client import ClusterUrl, Node, cluster_url, server_client

ASKED: Final = 3
"""How many nodes are asked at a time: one alone may be cut off and know only what was."""
SOON_S: Final = 0.5
REDIS_FAULTS: Final = (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError)
"""What is raised where Redis is away: that no node of a Cluster answers is no RedisError to redis-py, and
RuntimeError is uvloop's word for a connection that has just gone, which redis-py passes on.
"""


class Placement(Protocol):
    """Servers are named by their URLs."""

    is_sharded: bool

    async def look(self) -> bool:
        """Learn how it is now; whether that is news. Raises RedisError, OSError or TimeoutError."""

    def servers(self) -> Set[str]:
        """The servers that have channels; empty while nothing is known."""

    def of(self, channel: bytes) -> str | None:
        """The server that has ``channel``, None when there is none."""

    async def aclose(self) -> None:
        """Close what `look` has opened."""


def placement(url: str, timeout_s: float) -> Placement:
    """For the Redis or the Cluster at ``url``. Raises ValueError."""
    cluster = cluster_url(url)
    return OneServer(url) if cluster is None else ClusterSlots(cluster, timeout_s)


class OneServer:
    """Every channel is on the only server."""

    is_sharded = False

    def __init__(self, url: str) -> None:
        self._url = url

    async def look(self) -> bool:
        """Nothing to learn."""
        return False

    def servers(self) -> Set[str]:
        """The one."""
        return {self._url}

    def of(self, channel: bytes) -> str | None:
        """The one."""
        return self._url

    async def aclose(self) -> None:
        """Nothing to close."""


class ClusterView(NamedTuple):
    """A Cluster as one node sees it. Of two, the one with the higher ``epoch`` knows more."""

    epoch: int
    slots: list[Node | None]


class ClusterSlots:
    """A Cluster's slots and their nodes, as the best informed of the nodes asked last sees them."""

    is_sharded = True

    def __init__(self, url: ClusterUrl, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._slots: list[Node | None] = []
        self._urls: list[str | None] = []
        self._servers: frozenset[str] = frozenset()
        self._clients: dict[Node, redis.Redis] = {}

    async def look(self) -> bool:
        """Ask some of the nodes that are known, and when none of them answers soon, all."""
        known = sorted({node for node in self._slots if node is not None})
        some = random.sample(known, min(ASKED, len(known)))
        views = await self._views(some, min(SOON_S, self._timeout_s))
        views = views or await self._views([*known, *self._url.seeds], self._timeout_s)
        if not views:
            raise RedisAway("no node of the cluster answers")
        slots = max(views, key=lambda view: view.epoch).slots
        if slots == self._slots:
            return False
        self._slots = slots
        self._urls = [None if node is None else self._url.of(node) for node in slots]
        self._servers = frozenset(url for url in self._urls if url is not None)
        await self._forget({*slots, *self._url.seeds})
        return True

    async def _views(self, nodes: Iterable[Node], timeout_s: float) -> list[ClusterView]:
        asking = (self._view(node, timeout_s) for node in set(nodes))
        answers = await asyncio.gather(*asking, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, REDIS_FAULTS):
                raise answer
        return [answer for answer in answers if isinstance(answer, ClusterView)]

    async def _view(self, node: Node, timeout_s: float) -> ClusterView:
        client: Any = self._clients.get(node)
        if client is None:
            client = self._clients[node] = server_client(self._url.of(node), timeout_s=self._timeout_s)
        async with asyncio.timeout(timeout_s):
            info = await client.execute_command("CLUSTER", "INFO")
            rows = await client.execute_command("CLUSTER", "SLOTS")
        return read_view(node, info, rows)

    async def _forget(self, wanted: Iterable[Node | None]) -> None:
        for node in self._clients.keys() - set(wanted):
            await self._clients.pop(node).aclose()

    def servers(self) -> Set[str]:
        """The nodes that have slots."""
        return self._servers

    def of(self, channel: bytes) -> str | None:
        """The node that has the slot of ``channel``."""
        return self._urls[key_slot(channel)] if self._urls else None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._forget([])


def read_view(asked: Node, info: bytes, rows: list[Any]) -> ClusterView:
    """The answers to CLUSTER INFO and CLUSTER SLOTS. A node without a host is the one that was ``asked``.

    Raises RedisError when they are none.
    """
    slots: list[Node | None] = [None] * 16_384
    try:
        facts = dict(line.split(":", 1) for line in info.decode().split("\r\n") if ":" in line)
        for first, last, (host, port, *_), *_replicas in rows:
            name = host.decode() if host else ""
            node = Node(name if name not in ("", "?") else asked.host, int(port))
            slots[first : last + 1] = [node] * (last + 1 - first)
        return ClusterView(int(facts["cluster_current_epoch"]), slots)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RedisError(f"not a cluster: {asked.host}:{asked.port}") from error


def heartbeat_on(placing: Placement, server: str, stem: str) -> str:
    """A channel name beginning with ``stem`` that ``server`` has."""
    if not placing.is_sharded:
        return stem
    return next(
        name
        for name in (f"{stem}:{number}" for number in range(1_000_000))
        if placing.of(name.encode()) == server
    )
