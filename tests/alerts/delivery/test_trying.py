"""One claimed attempt: nothing counts as sent that the provider did not say it has."""

import asyncio
from typing import Any, cast
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.attempt import Accepted, Channel, Outcome, Status, StatusReport, Unsure
from alerts.delivery.meter import NoMeter
from alerts.delivery.trying import Bounds, Tried, tried
from alerts.delivery.ways import Way
from alerts.policy import Contact
from alerts.ports import Job
from tests.alerts.delivery.fakes import an_alert, an_attempt


class Provider:
    """Answers a send and a look-up by what it is given: an answer, or an error to raise."""

    provider, channel = "fake", Channel.SMS

    def __init__(self, answer: Outcome | Exception, has: StatusReport | Unsure | None = None) -> None:
        self._answer = answer
        self._has = has
        self.sent: list[Job] = []

    async def send(self, job: Job, timeout_s: float) -> Outcome:
        self.sent.append(job)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def look_up(self, job: Job, timeout_s: float) -> StatusReport | Unsure | None:
        return self._has


async def outcome_of(provider: Provider, status: Status = Status.DUE) -> Tried | None:
    alert = an_alert()
    attempt = replace(an_attempt(Channel.SMS, alert), status=status)
    job = Job(attempt, alert, Contact("c1", "Ana"), cast(Any, None))
    return await tried(Way(cast(Any, provider)), job, Bounds(lambda: 0.0, 30.0, 10.0), NoMeter())


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
