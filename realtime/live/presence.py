"""Is the driver there? Deciding is plain functions; `PresenceTracker` keeps this instance's drivers.

Every connection has an epoch from Postgres, greater than any earlier one of its driver. What is said about a
newer epoch outweighs whatever is said about an older one, so a half-open socket noticed late on one instance
does not hide a driver who lives on another.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

EPOCH_SHIFT: Final = 42
"""Milliseconds since the epoch fit into 42 bits until the year 2109; 21 bits are left for the epoch."""


class PresenceState(StrEnum):
    """What viewers are told."""

    ONLINE = "online"
    STALE = "stale"
    OFFLINE = "offline"


class Reason(StrEnum):
    """Why a presence changed."""

    CONNECTED = "connected"
    HEARD = "heard"
    SILENT = "silent"
    LEFT = "left"
    LOST = "lost"
    REPLACED = "replaced"
    INSTANCE_LOST = "instance_lost"
    DRAINED = "drained"
    TOKEN = "token"  # noqa: S105  expired or revoked


def presence_order(epoch: int, at_ms: int) -> int:
    """Which of two statements about a driver is the newer: by epoch, then by time."""
    return (epoch << EPOCH_SHIFT) | (at_ms & ((1 << EPOCH_SHIFT) - 1))


def epoch_of(order: int) -> int:
    """The epoch inside a presence order."""
    return order >> EPOCH_SHIFT


@dataclass(slots=True)
class DriverPresence:
    """One connected driver. ``heard_ms`` is when its app last sent anything."""

    tenant: str
    vendor: str
    driver: str
    epoch: int
    heard_ms: int
    state: PresenceState = PresenceState.ONLINE
    since_ms: int = 0
    reason: Reason = Reason.CONNECTED

    def heard(self, now_ms: int) -> bool:
        """The app sent something; True when that makes it online again."""
        self.heard_ms = now_ms
        return self._become(PresenceState.ONLINE, Reason.HEARD, now_ms)

    def checked(self, now_ms: int, stale_after_ms: int) -> bool:
        """Time has passed; True when the driver has become stale."""
        if now_ms - self.heard_ms < stale_after_ms:
            return False
        return self._become(PresenceState.STALE, Reason.SILENT, now_ms)

    def ended(self, now_ms: int, reason: Reason) -> None:
        """The connection is gone."""
        self._become(PresenceState.OFFLINE, reason, now_ms)

    def _become(self, state: PresenceState, reason: Reason, now_ms: int) -> bool:
        if self.state is state:
            return False
        self.state, self.reason, self.since_ms = state, reason, now_ms
        return True
