"""What a press is stored without when it fails: its place, the live position, the news of it.

One failure alone refuses an SOS: that neither Postgres nor the journal can store it. Every other step between
a press and its acknowledgement goes through here. A failure is counted and logged, and the press goes on.
"""

import logging
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeVar

from alerts.alert import Press
from realtime.metrics import instruments

T = TypeVar("T")
log = logging.getLogger(__name__)


class PressStep(StrEnum):
    """A step that a press may go without; the label of its metric."""

    JOURNAL = "journal"
    """Whether a journal has the alert that the press belongs to."""
    LIVE_POSITION = "live_position"
    PLACE = "place"
    """Which of the known places counts, and the journey."""
    OPEN_ALERT = "open_alert"
    """A replica of the open alert that the press may join."""
    CONTACTS = "contacts"
    """The local copy of contacts and policies."""
    IMPORT = "import"
    """That the importer is woken at once; its next round imports the press."""
    REPLICATION = "replication"
    DELIVERY = "delivery"
    """That this process escalates it at once; its next round does."""
    ANNOUNCEMENT = "announcement"


async def attempt(press: Press, step: PressStep, fallback: T, work: Callable[[], Awaitable[T]]) -> T:
    """Return what ``work`` comes to, or ``fallback`` when it fails."""
    try:
        return await work()
    except Exception as error:
        _note(press, step, error)
        return fallback


def attempt_now(press: Press, step: PressStep, fallback: T, work: Callable[[], T]) -> T:
    """As `attempt`, for what does not wait."""
    try:
        return work()
    except Exception as error:
        _note(press, step, error)
        return fallback


def _note(press: Press, step: PressStep, error: Exception) -> None:
    """Count and log the failure; the text of ``error`` may hold a coordinate."""
    instruments.PRESS_STEP_FAULTS.labels(step.value).inc()
    name = type(error).__name__
    log.error(
        "press %s of tenant %s goes on without its %s: %s", press.sos_id, press.tenant, step.value, name
    )
