"""The live pages and the dispatchers' apps: an alert event, by whatever carries those to every process.

A page confirms nothing: it gets the same event by the regular read of changed alerts when this one is lost.
So the best that is ever said here is *sent*; whoever acts on the page answers the alert itself.
"""

import asyncio
from typing import Protocol

from alerts.alert import Alert
from alerts.attempt import Accepted, Channel, Outcome, Retryable, StatusReport, Unsure
from alerts.ports import DeliveryJob


class Announce(Protocol):
    """Tells every process's viewers of an alert."""

    async def __call__(self, alert: Alert) -> bool:
        """Whether it went out; False when what carries it is away."""


class SocketNotifier:
    """Announces an alert."""

    channel = Channel.SOCKET
    provider = "live"

    def __init__(self, announce: Announce) -> None:
        self._announce = announce

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Announce it once."""
        try:
            async with asyncio.timeout(timeout_s):
                went = await self._announce(job.alert)
        except TimeoutError:
            went = False
        # Announced twice is seen once: an event carries its alert's version. So nothing is ever unsure.
        return Accepted(None, "announced") if went else Retryable("bus_away", provider_down=True)

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        """Nobody kept it, and once more does no harm."""
        return None

    async def close(self) -> None:
        """Nothing to let go of."""
