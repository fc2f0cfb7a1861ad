"""The hash in Redis in which each process shows the others the cases of its journal, and sees theirs.

Everything raises what redis-py does when Redis is away.
"""

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from typing import Any, Final
from uuid import UUID

from alerts.journal.records import JournalCase
from realtime.alerting.failover.leases import CHUNK
from realtime.alerting.failover.replicas import (
    MAX_BYTES,
    MAX_COPIES,
    Replica,
    ReplicaSet,
    field_of,
    opened,
    owner_of,
    sealed,
)
from realtime.metrics import instruments
from realtime.redis.client import Client

BODIES: Final = "{sos:copies}"
VERSIONS: Final = "{sos:copies}:versions"
"""Of each copy a few bytes that change with it, so that nobody reads what is known; and the mark `EPOCH`.

On the same node of a Cluster as `BODIES`: one that comes back empty has lost both.
"""
EPOCH: Final = "epoch"


class ReplicaExchange:
    """What ``me`` shows, and ``seen`` of the others as of the last `read`."""

    def __init__(self, client: Client, me: str, key: bytes, *, max_replica_bytes: int = MAX_BYTES) -> None:
        self._client: Final = client
        self._me: Final = me
        self._key: Final = key
        self._max_replica_bytes: Final = max_replica_bytes
        self.seen: Final = ReplicaSet()
        self._shown: dict[UUID, JournalCase] = {}
        self._unshown: set[str] = set()
        """Copies that Redis lost, until their process shows them again: it may be gone."""
        self._epoch: bytes | None = None

    def is_new(self, kept: JournalCase) -> bool:
        """Whether the others do not have it as it is."""
        return self._shown.get(kept.case.alert.alert_id) is not kept

    def take_as_shown(self, kept: JournalCase) -> None:
        """The others have it as it is without being shown it."""
        self._shown[kept.case.alert.alert_id] = kept

    async def show(self, some: Sequence[JournalCase]) -> bool:
        """Show cases of ours; whether the others can have all of them now."""
        for kept in some:
            alert_id = kept.case.alert.alert_id
            field = field_of(alert_id, self._me)
            content = sealed(self._key, field, kept, self._max_replica_bytes)
            if content is None or (
                alert_id not in self._shown and await self._ask(self._client.hlen(VERSIONS)) > MAX_COPIES
            ):
                instruments.COPIES_SKIPPED.labels("too_large" if content is None else "too_many").inc()
                return False
            version = hashlib.blake2b(content, digest_size=8).digest()
            # The version last: who sees it finds at least that content.
            await self._ask(self._client.hset(BODIES, field, content))
            await self._ask(self._client.hset(VERSIONS, field, version))
            self._shown[alert_id] = kept
        return bool(some)

    def drop(self, alert_id: UUID) -> list[str]:
        """Forget a case; the others' copies of it that were seen."""
        self._shown.pop(alert_id, None)
        others = [copy.field for copy in self.seen.of_alert(alert_id)]
        self.seen.drop(alert_id)
        return others

    async def hide(self, *fields: str) -> None:
        """Show these no more."""
        if fields:
            await self._ask(self._client.hdel(VERSIONS, *fields))
            await self._ask(self._client.hdel(BODIES, *fields))

    async def read(self, ours: Collection[UUID]) -> AsyncIterator[Replica]:
        """See what is new of the others, each as it is read. What is shown no more was imported, unless Redis
        was emptied. What we show and is none of ``ours`` any more is hidden.
        """
        versions: dict[bytes, bytes] = await self._ask(self._client.hgetall(VERSIONS))
        epoch = versions.pop(EPOCH.encode(), None)
        if epoch is None:
            await self._ask(self._client.hsetnx(VERSIONS, EPOCH, secrets.token_bytes(8)))
        was_emptied = epoch is None or epoch != self._epoch
        self._epoch = epoch
        shown = {field.decode("utf-8", "replace"): version for field, version in versions.items()}
        mine = {field for field in shown if owner_of(field) == self._me}
        if was_emptied:
            self._shown = {i: kept for i, kept in self._shown.items() if field_of(i, self._me) in mine}
            self._unshown |= {copy.field for copy in self.seen}
        self._unshown -= shown.keys()
        self.seen.keep_only(shown.keys() | self._unshown)
        for field in mine - {field_of(alert_id, self._me) for alert_id in ours}:
            await self.hide(field)
        new = [f for f, v in shown.items() if f not in mine and self.seen.version_of(f) != v]
        for at in range(0, len(new), CHUNK):
            some = new[at : at + CHUNK]
            contents = await self._ask(self._client.hmget(BODIES, some))
            for field, content in zip(some, contents, strict=True):
                if content is not None and (copy := self._opened(field, shown[field], content)) is not None:
                    self.seen.put(copy)
                    yield copy

    def _opened(self, field: str, version: bytes, content: bytes) -> Replica | None:
        try:
            return opened(self._key, field, version, content)
        except ValueError:
            instruments.COPIES_SKIPPED.labels("broken").inc()
            return None

    async def _ask(self, command: Awaitable[Any] | Any) -> Any:
        return await command
