"""Which Redis: one server, or a Cluster named by some of its nodes.

One server is ``redis://``, ``rediss://`` or ``unix://``. A Cluster is ``redis+cluster://host:port,host:port``
(or ``rediss+cluster://``), with ``user:password@`` before the first host where it asks for them; the nodes
named are asked for the others.
"""

from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote, urlsplit

import redis.asyncio as redis
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

_CLUSTER_SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
_PORT: Final = 6379


class Node(NamedTuple):
    """Where a node of a Cluster listens."""

    host: str
    port: int


class ClusterUrl(NamedTuple):
    """A Cluster's URL, taken apart. ``login`` is empty or ends with ``@``."""

    scheme: str
    login: str
    seeds: tuple[Node, ...]

    def of(self, node: Node) -> str:
        """The URL of one node."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        return f"{self.scheme}://{self.login}{host}:{node.port}/0"


def cluster_url(url: str) -> ClusterUrl | None:
    """The Cluster that ``url`` names; None when it names one server. Raises ValueError when it is neither."""
    scheme, found, rest = url.partition("://")
    if not found or scheme not in _CLUSTER_SCHEMES:
        return None
    login, at, hosts = rest.split("/", 1)[0].rpartition("@")
    seeds = tuple(_node(host) for host in hosts.split(",") if host)
    if not seeds:
        raise ValueError("a cluster url without a host")
    return ClusterUrl(_CLUSTER_SCHEMES[scheme], login + at, seeds)


def _node(host: str) -> Node:
    try:
        parts = urlsplit(f"//{host}")
        return Node(parts.hostname or "127.0.0.1", parts.port or _PORT)
    except ValueError as error:
        raise ValueError(f"not a host and port: {host}") from error


def server_client(url: str, *, timeout_s: float, reads_forever: bool = False) -> "redis.Redis":
    """A client of one server, without hidden retries. ``reads_forever``: an answer may take any time."""
    return redis.Redis.from_url(
        url,
        socket_timeout=None if reads_forever else timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


Client: TypeAlias = "redis.Redis | redis.RedisCluster"


def client(url: str, *, timeout_s: float, max_connections: int) -> Client:
    """A client for everything but pub/sub: bounded waits, no hidden retries.

    That of a Cluster follows moved slots: it asks again once.
    """
    cluster = cluster_url(url)
    if cluster is None:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=max_connections,
        )
    login = urlsplit(cluster.of(cluster.seeds[0]))
    return redis.RedisCluster(
        startup_nodes=[ClusterNode(*node) for node in cluster.seeds],
        username=_unquoted(login.username),
        password=_unquoted(login.password),
        ssl=cluster.scheme == "rediss",
        require_full_coverage=False,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1),
        max_connections=max_connections,
    )


def _unquoted(value: str | None) -> str | None:
    return unquote(value) if value else None
