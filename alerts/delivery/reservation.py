"""The slots of one claim: taken while the ledger decides, handed over with the job, given back otherwise.

Several dispatchers share the ways of a process and claim at the same time, each from its own ledger. A slot
is taken in one step that does not wait, at the moment a ledger picks an attempt. So no two claims count on
the same slot, and a claim whose ledger does not answer holds only the slots of what it has picked: at most
half of what was free, rounded up, so that another ledger's dispatcher always finds some.
"""

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final
from uuid import UUID

from alerts.attempt import Channel
from alerts.delivery.routes import Permit, ProviderRoute
from alerts.leases import Lane
from alerts.ports import FullLanes, Wanted


class SlotReservation:
    """`alerts.ports.Reservation` on the ways of a process. Leaving its block gives back what was not handed
    over, however the block ended.
    """

    def __init__(self, ways: Mapping[Channel, ProviderRoute], clock: Callable[[], float]) -> None:
        now_s = clock()
        self._ways: Final = ways
        self._clock: Final = clock
        self.wanted: Final = tuple(_wanted(ways, now_s))
        self.full: Final = _full(ways, now_s)
        self._left: Final = {one.channel: one.most for one in self.wanted}
        self._held: Final[dict[UUID, Permit]] = {}
        self.refused = 0
        """How often a lane had no slot although its channel had one."""

    def __enter__(self) -> "SlotReservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now_s = self._clock()
        for permit in self._held.values():
            permit.end(None, now_s)
        self._held.clear()

    def take(self, attempt_id: UUID, lane: Lane) -> bool:
        """As the port says."""
        if attempt_id in self._held:
            return True
        if self._left.get(lane.channel, 0) <= 0:
            return False
        permit = self._ways[lane.channel].take(lane, self._clock())
        if permit is None:
            self.refused += 1
            return False
        self._left[lane.channel] -= 1
        self._held[attempt_id] = permit
        return True

    def hand_over(self, attempt_id: UUID) -> Permit | None:
        """Return the slot of a claimed job, which the caller ends from now on. None: it was never taken."""
        return self._held.pop(attempt_id, None)


def _wanted(ways: Mapping[Channel, ProviderRoute], now_s: float) -> Iterable[Wanted]:
    for channel, way in ways.items():
        if room := way.room(now_s):
            yield Wanted(channel, (room + 1) // 2, only_sos=not way.room_for_others(now_s))


def _full(ways: Mapping[Channel, ProviderRoute], now_s: float) -> FullLanes:
    def tenants(is_sos: bool) -> frozenset[tuple[Channel, str]]:
        return frozenset((c, t) for c, way in ways.items() for t in way.full_tenants(now_s, is_sos))

    def hosts(is_sos: bool) -> frozenset[tuple[str, str]]:
        return frozenset(key for way in ways.values() for key in way.full_hosts(now_s, is_sos))

    return FullLanes(tenants(True), tenants(False), hosts(True), hosts(False))
