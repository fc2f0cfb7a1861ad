"""Hears what other processes announce of alerts; what is lost here the 2 s poll finds."""

from collections.abc import Callable, Sequence
from typing import Final

from realtime import metrics
from realtime.fanout.bus import Item
from realtime.safety.announcer import CHANNEL

Take = Callable[[Sequence[Item]], None]


class AlertListener:
    """The listener of a bus whose process has no viewers: it cares for alerts alone. `CHANNEL` is
    subscribed to by whoever starts the bus.
    """

    def __init__(self, take: Take) -> None:
        self._take: Final = take

    def on_message(self, channel: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """A message of another process."""
        metrics.BUS_MESSAGES.labels("in").inc()
        if channel == CHANNEL:
            self._take(items)

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Something may have been missed: the poll will tell."""

    def on_dropped(self, reason: str) -> None:
        """A message was not taken."""
        metrics.BUS_DROPPED.labels(reason).inc()
