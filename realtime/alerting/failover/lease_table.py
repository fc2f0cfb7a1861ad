"""Who held the lease on each case when it was last looked, and since when nobody does."""

from collections.abc import Callable, Iterable, KeysView, Sequence
from typing import Final
from uuid import UUID

from realtime.alerting.failover.leases import Leases

ANOTHER: Final = "another"
"""Who was quicker; nobody is called so."""


class LeaseTable:
    """`look` each second, `lost` when Redis is. What asks Redis raises what redis-py does when it is away."""

    def __init__(self, leases: Leases, me: str, clock: Callable[[], float]) -> None:
        self._leases: Final = leases
        self._me: Final = me
        self._clock: Final = clock
        self._holders: dict[UUID, str] = {}
        self._free_since: dict[UUID, float] = {}

    async def look(self, ids: Sequence[UUID]) -> None:
        """See who holds each, and forget all others."""
        now_s = self._clock()
        self._holders = await self._read(ids)
        self._free_since = {
            alert_id: self._free_since.get(alert_id, now_s)
            for alert_id in ids
            if alert_id not in self._holders
        }

    async def look_at(self, ids: Sequence[UUID]) -> None:
        """See who holds these."""
        found = await self._read(ids)
        kept = self._holders.keys() - set(ids)
        self._holders = {alert_id: self._holders[alert_id] for alert_id in kept} | found

    async def _read(self, ids: Sequence[UUID]) -> dict[UUID, str]:
        found = zip(ids, await self._leases.holders(ids), strict=True)
        return {alert_id: holder for alert_id, holder in found if holder is not None}

    async def take(self, ids: Sequence[UUID]) -> None:
        """Take those that nobody holds; `holder_of` says whose they are then."""
        taken = await self._leases.take(ids)
        self._holders |= {alert_id: self._me if alert_id in taken else ANOTHER for alert_id in ids}
        self.forget(ids)

    async def renew(self, ids: Iterable[UUID]) -> None:
        """Hold on to those of them that are ours."""
        await self._leases.renew([alert_id for alert_id in ids if self._holders.get(alert_id) == self._me])

    async def release(self, ids: Sequence[UUID]) -> list[UUID]:
        """Let go of those that are ours; those that nobody else holds."""
        holders = dict(zip(ids, await self._leases.holders(ids), strict=True))
        await self._leases.release([alert_id for alert_id in ids if holders[alert_id] == self._me])
        for alert_id in ids:
            self._holders.pop(alert_id, None)
        return [alert_id for alert_id in ids if holders[alert_id] in (None, self._me)]

    @property
    def held(self) -> KeysView[UUID]:
        """Those that somebody holds."""
        return self._holders.keys()

    def holder_of(self, alert_id: UUID) -> str | None:
        """Who holds it."""
        return self._holders.get(alert_id)

    def is_anothers(self, alert_id: UUID) -> bool:
        """Whether another process holds it."""
        return self._holders.get(alert_id, self._me) != self._me

    def free_s(self, alert_id: UUID) -> float:
        """For how long nobody has."""
        now_s = self._clock()
        return now_s - self._free_since.get(alert_id, now_s)

    def forget(self, ids: Iterable[UUID]) -> None:
        """That nobody had them does not count any more."""
        for alert_id in ids:
            self._free_since.pop(alert_id, None)

    def lost(self) -> None:
        """Redis is away: nobody could renew a lease, and nobody is seen to hold one."""
        self._holders = {}
        self._free_since = {}
