"""Makes metrics of what delivery tells of itself (`alerts.delivery.observer.DeliveryObserver`)."""

from collections.abc import Callable
from typing import Final

from alerts.attempt import Accepted, Channel, Outcome, Purpose
from alerts.delivery.breaker import BreakerState
from alerts.delivery.observer import Found
from alerts.ports import DeliveryJob
from realtime.metrics import instruments

AT_ONCE_MS: Final = 1_000

_STATES: Final = {BreakerState.CLOSED: 0, BreakerState.HALF_OPEN: 1, BreakerState.OPEN: 2}


class DeliveryMetrics:
    """Counts into `realtime.metrics.instruments`. ``now_ms``: the wall clock."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms: Final = now_ms

    def tried(self, job: DeliveryJob, outcome: Outcome, took_s: float) -> None:
        """A provider was asked to take a message, and said ``outcome``."""
        channel = job.attempt.channel.value
        instruments.ATTEMPTS.labels(channel, type(outcome).__name__.lower()).inc()
        instruments.ATTEMPT_SECONDS.labels(channel).observe(took_s)
        if job.attempt.repeat:
            instruments.REPEATS.labels(channel).inc()
        if isinstance(outcome, Accepted) and is_first(job):
            since_ms = job.alert.active_since_ms or job.alert.raised_ms
            instruments.SOS_ACCEPTED.labels(channel).observe(max(0, self._now_ms() - since_ms) / 1000)

    def looked_up(self, channel: Channel, found: Found) -> None:
        """A provider was asked about an earlier try."""
        instruments.LOOK_UPS.labels(channel.value, found).inc()

    def too_late(self, channel: Channel) -> None:
        """A claimed attempt was not sent."""
        instruments.LEASES_LOST.labels(channel.value).inc()

    def unrecorded(self, waiting: int) -> None:
        """So many outcomes are kept in memory."""
        instruments.UNRECORDED.set(waiting)

    def forgotten(self) -> None:
        """An outcome could not be recorded."""
        instruments.FORGOTTEN.inc()

    def breaker(self, channel: Channel, provider: str, state: BreakerState) -> None:
        """How the breaker stands."""
        instruments.BREAKER.labels(channel.value).set(_STATES[state])

    def busy(self, channel: Channel, taken: int) -> None:
        """So many messages of the channel are on their way."""
        instruments.SENDING.labels(channel.value).set(taken)

    def hosts_down(self, channel: Channel, hosts: int) -> None:
        """For so many tenants' hosts of webhooks the breaker is open."""
        if channel is Channel.WEBHOOK:
            instruments.WEBHOOK_HOSTS_DOWN.set(hosts)

    def turned(self, away: bool) -> None:
        """The loop went round once."""
        instruments.DELIVERY_ROUNDS.labels("away" if away else "ok").inc()


def is_first(job: DeliveryJob) -> bool:
    """Whether it is one that was due as soon as the alert was active, tried for the first time."""
    attempt, alert = job.attempt, job.alert
    since_ms = alert.active_since_ms or alert.raised_ms
    return attempt.purpose is Purpose.ALERT and attempt.number == 1 and attempt.due_ms - since_ms < AT_ONCE_MS
