"""Jobs for tests of what is said and how it is sent."""

from typing import Any
from uuid import UUID

import msgspec

from alerts.alert import Alert, Kind, Place, Severity, State
from alerts.attempt import Attempt, Channel, Purpose, Status
from alerts.policy import Contact, Policy, PolicyCopy
from alerts.ports import DeliveryJob

NOW_MS = 1_764_000_000_000
"""2025-11-24 16:00 UTC."""
LINK = "https://wayguard.example/a#" + "t" * 70


class FixedLinks:
    """The same link for everybody."""

    def of(self, job: DeliveryJob) -> str:
        """`LINK`."""
        return LINK

    def is_in(self, job: DeliveryJob, text: str) -> bool:
        """Whether `LINK` is."""
        return LINK in text


def alert(**changes: Any) -> Alert:
    """An SOS pressed three minutes ago in Berlin."""
    made = Alert(
        alert_id=UUID(int=1),
        tenant="acme",
        vendor="taxi",
        driver="d-1",
        sos_id=UUID(int=2),
        kind=Kind.SOS,
        severity=Severity.CRITICAL,
        state=State.ACTIVE,
        version=3,
        pressed_ms=NOW_MS - 180_000,
        raised_ms=NOW_MS - 179_000,
        place=Place(lat=52.52, lon=13.405, accuracy_m=12.0, t_ms=NOW_MS - 185_000),
    )
    return msgspec.structs.replace(made, **changes)


def contact(**changes: Any) -> Contact:
    """Bob, reachable by everything."""
    made = Contact(
        contact_id=str(UUID(int=3)),
        name="Bob",
        phone="+4915112345678",
        email="bob@example.org",
        webhook_url="https://hooks.example.org/in",
        push_tokens=("token-1",),
        time_zone="Europe/Berlin",
    )
    return msgspec.structs.replace(made, **changes)


def job(
    *,
    of: Alert | None = None,
    to: Contact | None = None,
    purpose: Purpose = Purpose.ALERT,
    channel: Channel = Channel.SMS,
    driver_name: str = "Ana Lopez",
    **attempt: Any,
) -> DeliveryJob:
    """A claimed attempt to tell ``to`` of an alert."""
    what, whom = of or alert(), to or contact()
    made = Attempt(
        attempt_id=UUID(int=4),
        alert_id=what.alert_id,
        tenant=what.tenant,
        purpose=purpose,
        round=1,
        step=0,
        contact_id=whom.contact_id,
        channel=channel,
        number=1,
        status=Status.SENDING,
        due_ms=NOW_MS,
        created_ms=NOW_MS,
    )
    attempted = msgspec.structs.replace(made, **attempt)
    return DeliveryJob(attempted, what, whom, PolicyCopy(Policy(()), (whom,), driver_name))
