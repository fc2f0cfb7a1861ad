"""One claimed attempt: nothing counts as sent that the provider did not say it has."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Kind
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
from alerts.delivery.observer import NoObserver
from alerts.delivery.routes import Limits, ProviderRoute
from alerts.delivery.send import Bounds, SendResult, tried
from alerts.policy import OPERATOR, Contact
from alerts.ports import DeliveryJob
from tests.alerts.delivery.fakes import an_alert, an_attempt


class Provider:
    """Answers a send and a look-up by what it is given: an answer, or an error to raise."""

    provider, channel = "fake", Channel.SMS

    def __init__(self, answer: Outcome | Exception, has: StatusReport | Unsure | None = None) -> None:
        self._answer = answer
        self._has = has
        self.sent: list[DeliveryJob] = []

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        self.sent.append(job)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def look_up(self, job: DeliveryJob, timeout_s: float) -> StatusReport | Unsure | None:
        return self._has


async def outcome_of(provider: Provider, status: Status = Status.DUE) -> SendResult | None:
    alert = an_alert()
    attempt = replace(an_attempt(Channel.SMS, alert), status=status)
    job = DeliveryJob(attempt, alert, Contact("c1", "Ana"), cast(Any, None))
    return await tried(ProviderRoute(cast(Any, provider)), job, Bounds(lambda: 0.0, 30.0, 10.0), NoObserver())


@pytest.mark.parametrize("error", [TimeoutError(), asyncio.IncompleteReadError(b"", 1), RuntimeError("x")])
async def test_a_send_that_ends_without_an_answer_is_unsure(error: Exception) -> None:
    found = await outcome_of(Provider(error))
    assert found is not None
    assert isinstance(found.outcome, Unsure)


@pytest.mark.parametrize("has", [None, Unsure("timeout")])
@pytest.mark.parametrize("status", [Status.SENDING, Status.UNSURE])
async def test_what_a_lookup_does_not_find_is_sent_as_a_repeat(status: Status, has: Unsure | None) -> None:
    provider = Provider(Accepted(str(uuid4()), "queued"), has)
    found = await outcome_of(provider, status)
    assert [job.attempt.repeat for job in provider.sent] == [True]
    assert found is not None
    assert found.outcome == replace(cast(Accepted, provider._answer), repeat=True)


# --- an address that keeps failing

TRIES = 3
REFUSED = Permanent("too_many_tries")


class Calls:
    """One way with an address that may have failed before, and messages to it."""

    def __init__(self, channel: Channel, answer: Outcome) -> None:
        self.provider = Provider(answer)
        self.channel = channel
        self.way = ProviderRoute(cast(Any, self.provider), Limits(tries=TRIES, spacing_s=2.0))

    async def send(self, kind: Kind = Kind.SOS, drill: bool = False, **changes: Any) -> Outcome:
        alert = replace(an_alert(), kind=kind, drill=drill)
        attempt = replace(an_attempt(self.channel, alert), **changes)
        contact = Contact(
            attempt.contact_id,
            "Ana",
            phone="+41790000001",
            email="a@example.org",
            webhook_url="https://a.example/",
        )
        job = DeliveryJob(attempt, alert, contact, cast(Any, None))
        found = await tried(self.way, job, Bounds(lambda: 0.0, 30.0, 10.0), NoObserver())
        assert found is not None
        return found.outcome

    async def fail(self, times: int = TRIES, tenant: str = "t1") -> None:
        for _ in range(times):
            await self.send(tenant=tenant)


FAILURES_OF_A_PROVIDER = [
    Retryable("http_503", provider_down=True),
    Retryable("http_429", 5.0),
    Unsure("timeout"),
]


@pytest.mark.parametrize("answer", FAILURES_OF_A_PROVIDER)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.CALL, Channel.EMAIL])
async def test_what_a_provider_cannot_do_counts_against_no_address(channel: Channel, answer: Outcome) -> None:
    calls = Calls(channel, answer)
    await calls.fail()
    assert await calls.send(purpose=Purpose.REMINDER, number=2) == answer


@pytest.mark.parametrize(
    ("channel", "answer"),
    [
        (Channel.EMAIL, Retryable("recipient_450", address_failed=True)),
        *((Channel.WEBHOOK, answer) for answer in FAILURES_OF_A_PROVIDER),
    ],
)
async def test_failures_of_an_address_count_for_its_tenant_alone(channel: Channel, answer: Outcome) -> None:
    calls = Calls(channel, answer)
    await calls.fail(tenant="t1")
    assert await calls.send(tenant="t1", purpose=Purpose.REMINDER, number=2) == REFUSED
    assert await calls.send(tenant="t2", purpose=Purpose.REMINDER, number=2) == answer


@pytest.mark.parametrize(
    ("message", "is_refused"),
    [
        ({"number": 2}, False),
        ({"number": 6}, False),
        ({"kind": Kind.CHECK_IN_MISSED}, False),
        ({"kind": Kind.CHECK_IN_MISSED, "number": 2}, True),
        ({"kind": Kind.CHECK_IN_MISSED, "number": 2, "contact_id": OPERATOR}, False),
        (
            {"kind": Kind.CHECK_IN_MISSED, "number": 9, "purpose": Purpose.EXHAUSTED, "contact_id": OPERATOR},
            False,
        ),
        ({"purpose": Purpose.ALL_CLEAR}, False),
        ({"purpose": Purpose.ALL_CLEAR, "number": 2}, False),
        ({"purpose": Purpose.CLOSED, "number": 20}, False),
        ({"purpose": Purpose.ON_IT}, False),
        ({"purpose": Purpose.ON_IT, "number": 2}, True),
        ({"drill": True}, True),
        ({"drill": True, "purpose": Purpose.ALL_CLEAR}, True),
        ({"purpose": Purpose.CODE}, True),
    ],
)
async def test_what_is_refused_to_an_address_that_keeps_failing(
    message: dict[str, Any], is_refused: bool
) -> None:
    calls = Calls(Channel.WEBHOOK, Unsure("timeout"))
    await calls.fail()
    assert await calls.send(**message) == (REFUSED if is_refused else Unsure("timeout"))


async def test_retries_of_an_sos_to_an_address_that_keeps_failing_are_spaced() -> None:
    calls = Calls(Channel.EMAIL, Retryable("recipient_450", address_failed=True))
    await calls.fail(TRIES - 1)
    pauses = [cast(Retryable, await calls.send(number=2)).retry_after_s for _ in range(3)]
    assert pauses == [2.0, 4.0, 6.0]


async def test_a_pause_that_would_open_the_breaker_is_not_made_longer() -> None:
    answer = Retryable("http_503", provider_down=True)
    calls = Calls(Channel.WEBHOOK, answer)
    await calls.fail()
    assert await calls.send() == answer
