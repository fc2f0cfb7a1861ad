"""Receives what other processes announce of alerts and contacts; what is lost here the polls find."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from realtime.bus.bus import BusItem
from realtime.metrics import instruments

Take = Callable[[Sequence[BusItem]], None]
Doubt = Callable[[], None]


class AlertSubscriber:
    """The listener of a bus whose process has no viewers. The channels are subscribed to by the worker that
    starts the bus. ``takes``: where the items of a channel go. ``doubts``: what to call when messages of a
    channel may have been lost; of other channels the polls tell.
    """

    def __init__(self, takes: Mapping[str, Take], doubts: Mapping[str, Doubt]) -> None:
        self._takes: Final = takes
        self._doubts: Final = doubts

    def on_message(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """A message of another process."""
        instruments.BUS_MESSAGES.labels("in").inc()
        if (take := self._takes.get(channel)) is not None:
            take(items)

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Something may have been missed."""
        for channel in channels:
            if (doubt := self._doubts.get(channel)) is not None:
                doubt()

    def on_dropped(self, reason: str) -> None:
        """A message was not taken."""
        instruments.BUS_DROPPED.labels(reason).inc()
