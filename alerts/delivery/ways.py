"""The ways out of one process: each a notifier, its breaker, and so many slots.

One breaker and one bulkhead a channel of a provider, not one a provider: when a provider's messages hang,
its calls must neither wait for their slots nor be counted as down with them.
"""

from collections.abc import Mapping
from typing import Final

from alerts.attempt import Accepted, Channel, Outcome, Permanent, Retryable, StatusReport, Unsure
from alerts.delivery.breaker import Breaker
from alerts.ports import Job, Notifier

SLOTS: Final = 32
"""Messages of one channel that may be on their way out of a process at once."""


class Way:
    """One way out."""

    def __init__(self, notifier: Notifier, slots: int = SLOTS, breaker: Breaker | None = None) -> None:
        self.notifier: Final = notifier
        self.breaker: Final = breaker or Breaker()
        self.taken = 0
        self._slots: Final = slots

    def room(self, now_s: float) -> int:
        """How many messages may begin now."""
        return self.breaker.room(now_s, self._slots - self.taken)

    def begin(self, now_s: float) -> None:
        """Take a slot; to be followed by `end`."""
        self.taken += 1
        self.breaker.began(now_s)

    def end(self, outcome: Outcome | None, now_s: float) -> None:
        """Give the slot back. ``outcome``: what the provider said, None when it was not asked."""
        self.taken -= 1
        match outcome:
            case None:
                self.breaker.abandoned()
            case Retryable(provider_down=True):
                self.breaker.struck(now_s, outcome.retry_after_s)
            case Unsure():
                self.breaker.struck(now_s)
            case Accepted() | Permanent() | Retryable():
                self.breaker.well()


class Unconfigured:
    """The way out of a channel that nothing is set up for: says so, so that the next channel's turn comes."""

    provider = "none"

    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, job: Job, timeout_s: float) -> Outcome:
        """It will never arrive this way."""
        return Permanent("not_configured")

    async def look_up(self, job: Job, timeout_s: float) -> StatusReport | Unsure | None:
        """It never left; unless it was sent by a process that has the channel."""
        return Unsure("not_configured")

    async def close(self) -> None:
        """Nothing to let go of."""


def ways_of(notifiers: Mapping[Channel, Notifier], slots: int = SLOTS) -> dict[Channel, Way]:
    """A way for every channel there is."""
    return {channel: Way(notifiers.get(channel) or Unconfigured(channel), slots) for channel in Channel}


def down(ways: Mapping[Channel, Way], now_s: float) -> frozenset[Channel]:
    """The channels that nothing goes through now."""
    return frozenset(channel for channel, way in ways.items() if way.breaker.is_down(now_s))
