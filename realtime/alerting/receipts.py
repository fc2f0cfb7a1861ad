"""Whom the messages of an alert have reached: what its driver and its contacts are shown."""

import logging
from typing import Final, Protocol
from uuid import UUID

from alerts.addresses.destination import named
from alerts.alert import Alert
from alerts.attempt import Attempt, Channel, Purpose, Status
from alerts.case import Case
from alerts.policy import PolicyCopy, everyone
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.store.alerts import reads
from realtime.store.db.database import Database
from realtime.store.people import driver_settings
from realtime.store.people.driver_settings import Profile

log = logging.getLogger(__name__)

_ORDER: Final = {status: rank for rank, status in enumerate(Status)}
_FAILED: Final = -1
_FROM_LEAST: Final = (Status.FAILED, *(status for status in Status if status is not Status.FAILED))
_PERSONAL: Final = frozenset({Channel.PUSH, Channel.SMS, Channel.CALL, Channel.EMAIL})

Row = tuple[str, str, str]
"""Name, channel and status of the message that came furthest."""


class LocalCases(Protocol):
    """The cases that are kept here while Postgres is away."""

    async def case(self, alert_id: UUID) -> Case | None:
        """The case, if it is kept here."""


class DeliveryReceipts:
    """Reads it from the store, or from the cases kept here."""

    def __init__(self, db: Database, local: LocalCases | None = None) -> None:
        self._db = db
        self._local = local

    async def driver(self, alert: Alert) -> Profile:
        """What its driver is called, and their number; empty when it cannot be known now."""
        try:
            return await driver_settings.profile(self._db, alert.tenant, alert.driver)
        except Exception as error:  # it must not keep the alert itself from being shown
            _note(error)
            return Profile()

    async def phone(self, alert: Alert) -> str | None:
        """The number of its driver, E.164; None when there is none, or it cannot be known now."""
        return (await self.driver(alert)).phone

    async def of(self, alert: Alert) -> tuple[Row, ...]:
        """A row each contact and channel; nothing when it cannot be known now."""
        try:
            found = await reads.furthest(self._db, alert.tenant, alert.alert_id, Purpose.ALERT, _FROM_LEAST)
        except Exception as error:
            _note(error)
            found = None
        if found is not None:
            return rows(found[1], found[0])
        case = None if self._local is None else await self._local.case(alert.alert_id)
        return () if case is None else rows(tuple(case.attempts.values()), case.copy)


def _note(error: Exception) -> None:
    if not isinstance(error, Refused):
        log.error("deliveries or a driver cannot be read: %s", type(error).__name__)
        instruments.ALERT_STORE_FAULTS.inc()


def rows(attempts: tuple[Attempt, ...], copy: PolicyCopy) -> tuple[Row, ...]:
    """The furthest of each contact and channel, in the order in which they were first tried."""
    contacts = everyone(copy)
    best: dict[tuple[str, str], Attempt] = {}
    for attempt in attempts:
        if attempt.purpose is not Purpose.ALERT:
            continue
        key = (attempt.contact_id, attempt.channel.value)
        if key not in best or _rank(best[key]) < _rank(attempt):
            best[key] = attempt
    return tuple(
        (
            named(copy, contact, Channel(channel)) if contact in contacts else contact,
            channel,
            attempt.status.value,
        )
        for (contact, channel), attempt in best.items()
    )


def persons(told: tuple[Row, ...]) -> tuple[Row, ...]:
    """Those of ``told`` that tell a person something: what other contacts are shown."""
    return tuple(row for row in told if row[1] in _PERSONAL)


def _rank(attempt: Attempt) -> int:
    return _FAILED if attempt.status is Status.FAILED else _ORDER[attempt.status]
