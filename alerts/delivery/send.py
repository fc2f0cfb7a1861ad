"""One claimed attempt: look it up at the provider where it may have been sent, and send it where it was not.

There are six cases:

1. It was never tried. Send it.
2. It was being sent, or its reply was lost, and the provider has it. Record what the provider says.
3. The same, and the provider does not have it, or cannot be asked. Send it as a repeat: a message that
   arrives twice is better than one that never arrives.
4. It was never tried here, but a process that cannot be reached may have tried it. Look it up: if the
   provider has it, record that; else send it, as a repeat unless the provider is sure that it has none.
5. Its number has replied STOP meanwhile. It is not sent, however it was tried before.
6. Its address itself has failed many times, whatever the provider. A repeated try that is not about an
   emergency or its end is refused, so that its fallback is notified where the policy has one; the others are
   sent, and their retries are spaced (`may_be_refused`).

Nothing is sent without a lease that outlasts the call. The clock is read right before the call, so a process
that was frozen meanwhile finds that its lease is over.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from alerts.attempt import (
    Accepted,
    Channel,
    Outcome,
    Permanent,
    Purpose,
    Retryable,
    Status,
    StatusReport,
    Unsure,
)
from alerts.delivery.budget import FailedTries
from alerts.delivery.observer import DeliveryObserver, Found
from alerts.delivery.routes import ProviderRoute
from alerts.leases import DRILL_URGENCY, SOS_URGENCY, urgency
from alerts.policy import OPERATOR
from alerts.ports import DeliveryJob

log = logging.getLogger(__name__)

OPTED_OUT: Final = "opted_out"
TOO_MANY_TRIES: Final = "too_many_tries"
_ENDS: Final = frozenset({Purpose.ALL_CLEAR, Purpose.CLOSED})
SHORTEST_CALL_S: Final = 1.0
"""With less than this left of a lease no call begins."""

OVERTIME_S: Final = 1.0
"""How long a notifier that exceeds its timeout may go on before it is cancelled."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of a claimed attempt: the provider's answer, or its report of an earlier try."""

    job: DeliveryJob
    """Its attempt says which provider that is, and whether it was a repeat."""
    outcome: Outcome
    report: StatusReport | None = None
    """Report of the earlier try, where ``outcome`` is made from one."""
    is_asked: bool = True
    """Whether the provider was asked for this outcome."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """``deadline_s``: when the call must be over, by ``clock``; ``timeout_s``: how long it may take."""

    clock: Callable[[], float]
    deadline_s: float
    timeout_s: float

    def left_s(self) -> float:
        """Return how long a call that begins now may take; 0 when none may begin."""
        left_s = self.deadline_s - self.clock()
        return min(self.timeout_s, left_s) if left_s >= SHORTEST_CALL_S else 0.0

    def half(self) -> "Bounds":
        """Return the bounds of a call after which another one may be needed."""
        now_s = self.clock()
        return replace(self, deadline_s=now_s + (self.deadline_s - now_s) / 2)


async def tried(
    way: ProviderRoute, job: DeliveryJob, bounds: Bounds, meter: DeliveryObserver
) -> SendResult | None:
    """Look ``job`` up or send it. None: it was too late to send, and another process takes it over."""
    job = _with(job, provider=way.notifier.provider)
    was_tried = job.attempt.status is not Status.DUE
    if was_tried or job.elsewhere:
        report = await _looked_up(way, job, bounds.half(), meter)
        if isinstance(report, StatusReport):
            return SendResult(job, _accepted(report), report)
        if was_tried or report is not None:
            job = _with(job, repeat=True)
    if job.opted_out:
        return SendResult(job, Permanent(OPTED_OUT), is_asked=False)
    began_s, tenant, address = bounds.clock(), job.attempt.tenant, address_of(job)
    if address is not None and may_be_refused(job) and way.failed_tries.is_spent(tenant, address, began_s):
        return SendResult(job, Permanent(TOO_MANY_TRIES), is_asked=False)
    timeout_s = bounds.left_s()
    if not timeout_s:
        meter.too_late(job.attempt.channel)
        return None
    outcome = await _sent(way, job, timeout_s)
    if address is not None:
        outcome = _counted(way.failed_tries, job, address, outcome, bounds.clock())
    if job.attempt.repeat and isinstance(outcome, Accepted | Unsure):
        outcome = msgspec.structs.replace(outcome, repeat=True)
    meter.tried(job, outcome, bounds.clock() - began_s)
    return SendResult(job, outcome)


def address_of(job: DeliveryJob) -> str | None:
    """Return the address that a message is sent to; None where there are several, or none."""
    contact = job.contact
    match job.attempt.channel:
        case Channel.SMS | Channel.CALL:
            return contact.phone
        case Channel.EMAIL:
            return contact.email
        case Channel.WEBHOOK:
            return contact.webhook_url
        case Channel.SOCKET | Channel.PUSH:
            return None


def named(job: DeliveryJob) -> str:
    """Return the ids of ``job`` for a log line: of its attempt and its alert."""
    return f"attempt {job.attempt.attempt_id} of alert {job.attempt.alert_id}"


def may_be_refused(job: DeliveryJob) -> bool:
    """Return whether a try to an address that keeps failing may be refused. There are four cases:

    1. An SOS, the end of an alert, and what the operator is sent: never.
    2. A drill or a code: at once.
    3. The first try of anything else: no.
    4. A further try of anything else: yes.
    """
    attempt = job.attempt
    urgency_ = urgency(attempt, job.alert)
    if urgency_ == SOS_URGENCY or attempt.contact_id == OPERATOR:
        return False
    if urgency_ >= DRILL_URGENCY:
        return True
    return attempt.number > 1 and attempt.purpose not in _ENDS


def is_of_address(channel: Channel, outcome: Outcome) -> bool:
    """Return whether ``outcome`` is a failure of the address itself.

    A webhook's receiver is the address: each failure counts. The provider of every other channel serves many
    addresses; what it cannot do now, for an outage or a rate limit, says nothing about one of them.
    """
    if channel is Channel.WEBHOOK:
        return isinstance(outcome, Retryable | Unsure)
    return isinstance(outcome, Retryable) and outcome.address_failed


def _counted(failed: FailedTries, job: DeliveryJob, address: str, outcome: Outcome, now_s: float) -> Outcome:
    """Count ``outcome`` for the address, and return it, with a longer pause when the address is spent.

    The pause of an outcome that opens a breaker stays as it is: the breaker spaces those.
    """
    tenant = job.attempt.tenant
    if is_of_address(job.attempt.channel, outcome):
        failed.failed(tenant, address, now_s)
        if isinstance(outcome, Retryable) and not outcome.provider_down:
            wait_s = max(outcome.retry_after_s or 0.0, failed.reserve_s(tenant, address, now_s))
            return msgspec.structs.replace(outcome, retry_after_s=wait_s) if wait_s else outcome
    elif isinstance(outcome, Accepted | Permanent):
        failed.accepted(tenant, address)
    return outcome


def _with(job: DeliveryJob, **changes: Any) -> DeliveryJob:
    return msgspec.structs.replace(job, attempt=msgspec.structs.replace(job.attempt, **changes))


def _accepted(report: StatusReport) -> Accepted:
    delivered = report.status in (Status.DELIVERED, Status.ANSWERED)
    return Accepted(report.provider_id, report.provider_status, delivered)


async def _looked_up(
    way: ProviderRoute, job: DeliveryJob, bounds: Bounds, meter: DeliveryObserver
) -> StatusReport | Unsure | None:
    timeout_s = bounds.left_s()
    found: StatusReport | Unsure | None = Unsure("no_time")
    if timeout_s:
        try:
            async with asyncio.timeout(timeout_s + OVERTIME_S):
                found = await way.notifier.look_up(job, timeout_s)
        except TimeoutError:
            found = Unsure("timeout")
        except Exception as error:
            _complain(way, job, "look-up", error)
            found = Unsure("notifier_failed")
    verdict: Found = "absent" if found is None else "found" if isinstance(found, StatusReport) else "unknown"
    meter.looked_up(job.attempt.channel, verdict)
    return found


async def _sent(way: ProviderRoute, job: DeliveryJob, timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s + OVERTIME_S):
            return await way.notifier.send(job, timeout_s)
    except TimeoutError:
        return Unsure("timeout")
    except Exception as error:
        _complain(way, job, "send", error)
        return Unsure("notifier_failed")


def _complain(way: ProviderRoute, job: DeliveryJob, what: str, error: Exception) -> None:
    """Log that a notifier raised, against its contract; not its text, which may hold an address."""
    kind = type(error).__name__
    log.error("the %s of %s by %s failed: %s", what, named(job), way.notifier.provider, kind)
