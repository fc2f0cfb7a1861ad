"""Keeps an SOS and a drill with one ``sos_id`` apart. Pure.

A drill and an SOS are two alerts, also when a phone presses both with one ``sos_id``. There are two rules:

1. The second of them has a companion id, derived from the given one. Where they meet later (a journal is
   imported, two processes see each other's copies), the drill keeps the id and the SOS gets the companion id.
2. The given ``sos_id`` means the SOS once that is stored. `sos_ids_of` is the order in which to search.
"""

from uuid import UUID, uuid5

from msgspec.structs import replace

from alerts.alert import Alert, Press, alert_id_of
from alerts.attempt import Attempt, attempt_id_of
from alerts.case import Case

__all__ = ["companion_case", "companion_press", "companion_sos_id", "sos_first", "sos_ids_of"]


def companion_sos_id(sos_id: UUID, drill: bool) -> UUID:
    """Return the id of a press whose own id is that of a drill, or of an SOS where it is a ``drill``."""
    return uuid5(sos_id, "drill" if drill else "sos")


def sos_ids_of(sos_id: UUID) -> tuple[UUID, UUID]:
    """Return the ids under which the alert of ``sos_id`` may be stored, the one that counts first."""
    return companion_sos_id(sos_id, drill=False), sos_id


def sos_first(*found: Alert | None) -> Alert | None:
    """Return the alert that an ``sos_id`` means, of all that are stored for it: an SOS before a drill."""
    known = [alert for alert in found if alert is not None]
    return min(known, key=lambda alert: alert.drill, default=None)


def companion_press(press: Press) -> Press:
    """Return ``press`` under its companion id."""
    return replace(press, sos_id=companion_sos_id(press.sos_id, press.drill))


def companion_case(case: Case) -> Case:
    """Return ``case`` under its companion id, with its attempts.

    An attempt gets another id too: the drill has an attempt of the same id for the same contact.
    """
    alert = case.alert
    sos_id = companion_sos_id(alert.sos_id, alert.drill)
    alert_id = alert_id_of(alert.tenant, alert.driver, sos_id)
    moved = [_moved(attempt, alert.alert_id, alert_id) for attempt in case.attempts.values()]
    return replace(
        case,
        alert=replace(alert, alert_id=alert_id, sos_id=sos_id),
        attempts={attempt.attempt_id: attempt for attempt in moved},
    )


def _moved(attempt: Attempt, before: UUID, after: UUID) -> Attempt:
    a = attempt
    message = (a.purpose, a.round, a.step, a.contact_id, a.channel, a.number)
    is_own = a.attempt_id == attempt_id_of(before, *message)  # else it came from an alert that was merged
    attempt_id = attempt_id_of(after, *message) if is_own else uuid5(a.attempt_id, str(after))
    return replace(a, attempt_id=attempt_id, alert_id=after)
