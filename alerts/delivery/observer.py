"""What delivery measures; `realtime.alerting.metrics` makes metrics of it."""

from typing import Literal, Protocol

from alerts.attempt import Channel, Outcome
from alerts.delivery.breaker import BreakerState
from alerts.ports import DeliveryJob

Found = Literal["found", "absent", "unknown"]
"""Result of a look-up at the provider."""


class DeliveryObserver(Protocol):
    """Counts; never raises, never waits."""

    def tried(self, job: DeliveryJob, outcome: Outcome, took_s: float) -> None:
        """A message was sent to a provider, with ``outcome``."""

    def looked_up(self, channel: Channel, found: Found) -> None:
        """A provider was asked about an earlier try."""

    def too_late(self, channel: Channel) -> None:
        """A claimed attempt was not sent, since its lease might have been over before the answer came."""

    def unrecorded(self, waiting: int) -> None:
        """``waiting`` outcomes are in memory, since the ledger is unavailable."""

    def forgotten(self) -> None:
        """An outcome could not be recorded at all; the process that takes over the attempt looks it up at
        the provider.
        """

    def breaker(self, channel: Channel, provider: str, state: BreakerState) -> None:
        """The breaker of ``channel`` is in ``state``."""

    def busy(self, channel: Channel, taken: int) -> None:
        """``taken`` messages of the channel are under way."""

    def hosts_down(self, channel: Channel, hosts: int) -> None:
        """The breaker is open for ``hosts`` hosts of webhooks, counted tenant by tenant."""

    def turned(self, away: bool) -> None:
        """One round of the loop ended; ``away``: the ledger was unavailable."""


class NoObserver:
    """Counts nothing."""

    def tried(self, job: DeliveryJob, outcome: Outcome, took_s: float) -> None:
        """Nothing."""

    def looked_up(self, channel: Channel, found: Found) -> None:
        """Nothing."""

    def too_late(self, channel: Channel) -> None:
        """Nothing."""

    def unrecorded(self, waiting: int) -> None:
        """Nothing."""

    def forgotten(self) -> None:
        """Nothing."""

    def breaker(self, channel: Channel, provider: str, state: BreakerState) -> None:
        """Nothing."""

    def busy(self, channel: Channel, taken: int) -> None:
        """Nothing."""

    def hosts_down(self, channel: Channel, hosts: int) -> None:
        """Nothing."""

    def turned(self, away: bool) -> None:
        """Nothing."""
