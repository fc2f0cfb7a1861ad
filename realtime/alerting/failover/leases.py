"""Leases in Redis on alerts that wait in journals. The holder acts: `realtime.alerting.failover.election`."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from realtime.alerting.failover.election import LEASE_S
from realtime.redis.client import Client

CHUNK: Final = 200
"""Commands that are sent together."""
_LEASE_MS: Final = int(LEASE_S * 1000)


def lease_key(alert_id: UUID) -> str:
    """The lease of who acts on an alert."""
    return f"sos:act:{alert_id}"


class Leases:
    """Those of one process. Everything raises what redis-py does when Redis is away."""

    def __init__(self, client: Client, me: str) -> None:
        self._client: Final = client
        self._me: Final = me

    async def holders(self, ids: Sequence[UUID]) -> list[str | None]:
        """Who holds each; None: nobody."""
        found: list[str | None] = []
        for at in range(0, len(ids), CHUNK):
            pipe = self._client.pipeline(transaction=False)
            for alert_id in ids[at : at + CHUNK]:
                pipe.get(lease_key(alert_id))
            found += [None if one is None else one.decode() for one in await pipe.execute()]
        return found

    async def take(self, ids: Sequence[UUID]) -> set[UUID]:
        """Take those that nobody holds; which they were."""
        taken: set[UUID] = set()
        for at in range(0, len(ids), CHUNK):
            pipe = self._client.pipeline(transaction=False)
            some = ids[at : at + CHUNK]
            for alert_id in some:
                pipe.set(lease_key(alert_id), self._me, px=_LEASE_MS, nx=True)
            taken |= {one for one, won in zip(some, await pipe.execute(), strict=True) if won}
        return taken

    async def renew(self, ids: Sequence[UUID]) -> None:
        """Hold on to those that are ours."""
        for at in range(0, len(ids), CHUNK):
            pipe = self._client.pipeline(transaction=False)
            for alert_id in ids[at : at + CHUNK]:
                pipe.pexpire(lease_key(alert_id), _LEASE_MS)
            await pipe.execute()

    async def release(self, ids: Sequence[UUID]) -> None:
        """Let go of those, which are ours."""
        for at in range(0, len(ids), CHUNK):
            pipe = self._client.pipeline(transaction=False)
            for alert_id in ids[at : at + CHUNK]:
                pipe.delete(lease_key(alert_id))
            await pipe.execute()
