"""Messages that are no alert: the codes that verify a contact's address.

They have slots of their own, so few that they can never be in an SOS's way, and no lease and no row: whoever
asked for a code is told that it did not go, and asks again.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from alerts.attempt import Channel, Outcome, Permanent, Retryable, Unsure
from alerts.delivery.trying import OVERTIME_S
from alerts.ports import Job, Notifier

log = logging.getLogger(__name__)

SLOTS: Final = 2
"""Such messages of one channel on their way at once."""
BUSY_S: Final = 5.0


class Apart:
    """Sends what is not an alert. Uses the notifiers of the alerts, and nothing else of theirs."""

    def __init__(
        self, notifiers: Mapping[Channel, Notifier], timeout_s: float = 10.0, slots: int = SLOTS
    ) -> None:
        self._notifiers: Final = notifiers
        self._timeout_s: Final = timeout_s
        self._free: Final = dict.fromkeys(Channel, slots)

    async def send(self, job: Job) -> Outcome:
        """Try once; at once Retryable(busy) when every slot is taken. Never raises for what a provider
        does.
        """
        channel = job.attempt.channel
        notifier = self._notifiers.get(channel)
        if notifier is None:
            return Permanent("not_configured")
        if not self._free[channel]:
            return Retryable("busy", retry_after_s=BUSY_S)
        self._free[channel] -= 1
        try:
            async with asyncio.timeout(self._timeout_s + OVERTIME_S):
                return await notifier.send(job, self._timeout_s)
        except TimeoutError:
            return Unsure("timeout")
        except Exception as error:
            log.error("send of %s failed: %s", notifier.provider, type(error).__name__)
            return Unsure("notifier_failed")
        finally:
            self._free[channel] += 1
