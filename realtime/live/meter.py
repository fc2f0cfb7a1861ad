"""Makes metrics of what the fan-out tells of itself (`realtime.fanout.hub.channel.Observer`)."""

from realtime.metrics import instruments


class FanoutMetrics:
    """Counts into `realtime.metrics.instruments`."""

    def refilled(self, reason: str) -> None:
        """A feed was read again from the truth."""
        instruments.REFILLS.labels(reason).inc()

    def dropped(self, reason: str) -> None:
        """A message of the bus was not taken."""
        instruments.BUS_DROPPED.labels(reason).inc()

    def received(self, kind: str, items: int) -> None:
        """A message of the bus was taken."""
        instruments.BUS_MESSAGES.labels("in").inc()

    def stalled(self) -> None:
        """A viewer was cut off."""
        instruments.VIEWERS_STALLED.inc()

    def delivered(self, kind: str, age_ms: int) -> None:
        """A feed was written; its oldest fix had arrived ``age_ms`` ago."""
        instruments.FIX_TO_VIEWER.labels(kind).observe(max(0, age_ms) / 1000)
