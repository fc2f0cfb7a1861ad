"""What delivery tells becomes metrics: no id in them, and an SOS is timed by its first message alone."""

import pytest
from msgspec.structs import replace

from alerts.attempt import Accepted, Attempt, Channel, Outcome, Permanent, Purpose, Retryable, Unsure
from alerts.delivery.breaker import BreakerState
from alerts.policy import Contact, Policy, PolicyCopy
from alerts.ports import DeliveryJob
from realtime.alerting.metrics import DeliveryMetrics, is_first
from realtime.metrics import instruments
from tests.alerts.delivery.fakes import an_alert, an_attempt

NOW_MS = 1_000_000


def job(attempt: Attempt | None = None) -> DeliveryJob:
    alert = replace(an_alert(), raised_ms=NOW_MS - 1_500, active_since_ms=NOW_MS - 1_500)
    attempt = attempt or replace(an_attempt(Channel.SMS, alert), due_ms=alert.raised_ms)
    return DeliveryJob(attempt, alert, Contact("c1", "Ann"), PolicyCopy(Policy(steps=()), ()))


def accepted_so_far() -> float:
    return instruments.SOS_ACCEPTED.labels("sms").read()[0][-1][1]


def test_every_outcome_is_counted_by_its_name() -> None:
    meter = DeliveryMetrics(lambda: NOW_MS)
    outcomes: tuple[Outcome, ...] = (Accepted(None, "ok"), Retryable("x"), Permanent("x"), Unsure("x"))
    for outcome, name in zip(outcomes, instruments.ATTEMPT_OUTCOMES, strict=True):
        before = instruments.ATTEMPTS.labels("sms", name).value
        meter.tried(job(), outcome, 0.1)
        assert instruments.ATTEMPTS.labels("sms", name).value == before + 1


def test_an_sos_is_timed_by_the_first_message_that_a_provider_accepts() -> None:
    meter = DeliveryMetrics(lambda: NOW_MS)
    before, (_, sum_before) = accepted_so_far(), instruments.SOS_ACCEPTED.labels("sms").read()
    meter.tried(job(), Unsure("timeout"), 10.0)
    assert accepted_so_far() == before
    meter.tried(job(), Accepted("P1", "queued"), 0.1)
    assert accepted_so_far() == before + 1
    assert instruments.SOS_ACCEPTED.labels("sms").read()[1] - sum_before == pytest.approx(1.5)


def test_what_was_due_later_or_is_no_alert_says_nothing_of_how_fast_we_are() -> None:
    first = job().attempt
    assert is_first(job(first))
    for later in (
        replace(first, due_ms=first.due_ms + 45_000),
        replace(first, number=2),
        replace(first, purpose=Purpose.ALL_CLEAR),
    ):
        assert not is_first(job(later))


def test_repeats_leases_breakers_and_memory_are_shown() -> None:
    meter = DeliveryMetrics(lambda: NOW_MS)
    repeats, lost = instruments.REPEATS.labels("sms").value, instruments.LEASES_LOST.labels("sms").value
    meter.tried(job(replace(job().attempt, repeat=True)), Accepted("P1", "queued", repeat=True), 0.1)
    meter.too_late(Channel.SMS)
    assert instruments.REPEATS.labels("sms").value == repeats + 1
    assert instruments.LEASES_LOST.labels("sms").value == lost + 1
    for state, number in ((BreakerState.OPEN, 2), (BreakerState.HALF_OPEN, 1), (BreakerState.CLOSED, 0)):
        meter.breaker(Channel.SMS, "twilio", state)
        assert instruments.BREAKER.labels("sms").value == number
    meter.unrecorded(3)
    assert instruments.UNRECORDED.value == 3
    meter.unrecorded(0)
    meter.busy(Channel.SMS, 4)
    assert instruments.SENDING.labels("sms").value == 4
    meter.busy(Channel.SMS, 0)
