"""Slots for the tests of ledgers: so many of each channel, whatever their lane."""

from collections.abc import Sequence
from uuid import UUID

from alerts.attempt import Channel
from alerts.leases import Lane
from alerts.ports import FullLanes, Wanted


class UpTo:
    """`alerts.ports.Reservation` of ``most`` slots in all, of any of ``channels``."""

    def __init__(self, channels: Sequence[Channel] = tuple(Channel), most: int = 50) -> None:
        self.wanted = tuple(Wanted(channel, most) for channel in channels)
        self.full = FullLanes()
        self.taken: dict[UUID, Lane] = {}
        self._most = most

    def take(self, attempt_id: UUID, lane: Lane) -> bool:
        """As the port says."""
        if attempt_id not in self.taken and len(self.taken) >= self._most:
            return False
        self.taken[attempt_id] = lane
        return True
