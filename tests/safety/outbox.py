"""A way out that keeps what it was given and answers as told."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from alerts.attempt import Accepted, Channel, Outcome, StatusReport, Unsure
from alerts.ports import DeliveryJob


@dataclass
class Outbox:
    """A notifier. ``outcomes``: what the next sends come to, accepted when it is empty; ``hangs``: never
    answers.
    """

    channel: Channel
    provider: str = "outbox"
    outcomes: deque[Outcome] = field(default_factory=deque)
    hangs: bool = False
    sent: list[DeliveryJob] = field(default_factory=list)

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        self.sent.append(job)
        if self.hangs:
            await asyncio.Event().wait()
        return self.outcomes.popleft() if self.outcomes else Accepted("id", "queued")

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        return Unsure("no look-up")

    async def close(self) -> None:
        """Nothing is held."""


def outboxes() -> dict[Channel, Outbox]:
    """One for each channel by which a code can go."""
    return {channel: Outbox(channel) for channel in (Channel.SMS, Channel.CALL, Channel.EMAIL)}
