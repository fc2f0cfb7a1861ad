"""Makes metrics of what the fan-out tells of itself (`realtime.fanout.channel.Observer`)."""

from realtime import metrics


class FanoutMetrics:
    """Counts into `realtime.metrics`."""

    def refilled(self, reason: str) -> None:
        """A feed was read again from the truth."""
        metrics.REFILLS.labels(reason).inc()

    def dropped(self, reason: str) -> None:
        """A message of the bus was not taken."""
        metrics.BUS_DROPPED.labels(reason).inc()

    def received(self, kind: str, items: int) -> None:
        """A message of the bus was taken."""
        metrics.BUS_MESSAGES.labels("in").inc()

    def stalled(self) -> None:
        """A viewer was cut off."""
        metrics.VIEWERS_STALLED.inc()

    def delivered(self, kind: str, age_ms: int) -> None:
        """A feed was written; its oldest fix had arrived ``age_ms`` ago."""
        metrics.FIX_TO_VIEWER.labels(kind).observe(max(0, age_ms) / 1000)
