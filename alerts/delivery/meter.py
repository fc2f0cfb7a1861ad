"""What delivery tells of itself; `realtime.safety.meter` makes metrics of it."""

from typing import Literal, Protocol

from alerts.attempt import Channel, Outcome
from alerts.delivery.breaker import BreakerState
from alerts.ports import Job

Found = Literal["found", "absent", "unknown"]
"""What a look-up at the provider came to."""


class Meter(Protocol):
    """Counts; never raises, never waits."""

    def tried(self, job: Job, outcome: Outcome, took_s: float) -> None:
        """A provider was asked to take a message, and said ``outcome``."""

    def looked_up(self, channel: Channel, found: Found) -> None:
        """A provider was asked about an earlier try."""

    def too_late(self, channel: Channel) -> None:
        """A claimed attempt was not sent, since its lease might have been over before the answer came."""

    def unrecorded(self, waiting: int) -> None:
        """So many outcomes are kept in memory, the ledger being away."""

    def forgotten(self) -> None:
        """An outcome could not be recorded at all; whoever takes the attempt over looks it up at the
        provider.
        """

    def breaker(self, channel: Channel, provider: str, state: BreakerState) -> None:
        """How the breaker stands."""

    def busy(self, channel: Channel, taken: int) -> None:
        """So many messages of the channel are on their way out."""

    def hosts_down(self, channel: Channel, hosts: int) -> None:
        """For so many tenants' hosts of webhooks the breaker is open."""

    def turned(self, away: bool) -> None:
        """The loop went round once; ``away``: it could not ask the ledger."""


class NoMeter:
    """Counts nothing."""

    def tried(self, job: Job, outcome: Outcome, took_s: float) -> None:
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
