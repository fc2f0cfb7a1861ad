"""What a worker was sending when Postgres went away is kept by its journal, and in Postgres afterwards."""

from contextlib import suppress
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.attempt import Accepted, Attempt, Channel, Outcome, Retryable, Status, StatusReport
from alerts.delivery.send import SendResult
from alerts.ports import DeliveryJob, StorageFailure
from realtime.alerting.failover.outcomes import Outcomes
from realtime.store.alerts.open_cases import OpenCases
from tests.alerts.slots import UpTo
from tests.safety_away.fakes import now_ms
from tests.safety_away.process import Process


class Worker:
    """A process that has claimed the first message of an alert which it has read."""

    def __init__(self, process: Process, open_cases: OpenCases, job: DeliveryJob) -> None:
        self.process = process
        self.job = job
        self.open_cases = open_cases
        self.outcomes = Outcomes(
            process.reach, open_cases, process.journal, process.others, process.ledger.faults, now_ms
        )

    async def lose(self) -> None:
        """Postgres goes away, and that is noticed."""
        self.process.line.cut()
        with suppress(StorageFailure):
            await self.process.reach.ask(self.process.ledger.anything_due, 1.0)
        assert not self.process.reach.is_up

    async def stored(self) -> Attempt:
        """The message as Postgres has it."""
        case = await self.process.ledger.look(self.job.alert.alert_id)
        assert case is not None
        return case.attempts[self.job.attempt.attempt_id]

    def tried(self, outcome: Outcome, report: StatusReport | None = None) -> SendResult:
        attempt = replace(self.job.attempt, provider="twilio")
        return SendResult(replace(self.job, attempt=attempt), outcome, report)


@pytest.fixture
async def worker(process: Process) -> Worker:
    await process.intake.press(process.press())
    open_cases = OpenCases(process.db)
    await open_cases.look()
    jobs = await process.ledger.claim("w1", UpTo(), 30.0)
    return Worker(process, open_cases, next(job for job in jobs if job.attempt.channel is Channel.SMS))


async def test_a_message_that_was_taken_is_known_to_all_and_to_postgres_afterwards(worker: Worker) -> None:
    await worker.lose()
    report = StatusReport("twilio", "SM1", Status.DELIVERED, "delivered")
    assert await worker.outcomes.keep(worker.tried(Accepted("SM1", "queued"), report))
    alert_id = worker.job.alert.alert_id
    shown = worker.process.others.shared[alert_id].case.attempts[worker.job.attempt.attempt_id]
    assert (shown.status, shown.provider_id) == (Status.DELIVERED, "SM1")
    assert await worker.process.back() == 1
    stored = await worker.stored()
    assert (stored.status, stored.provider_id) == (Status.DELIVERED, "SM1")


async def test_one_that_is_to_be_tried_again_is_tried_again(worker: Worker) -> None:
    await worker.lose()
    assert await worker.outcomes.keep(worker.tried(Retryable("http_503", provider_down=True)))
    kept = worker.process.journal.kept[worker.job.alert.alert_id]
    again = [a for a in kept.case.attempts.values() if (a.channel, a.number) == (Channel.SMS, 2)]
    assert [a.status for a in again] == [Status.DUE]
    await worker.process.back()
    assert (await worker.stored()).status is Status.FAILED


async def test_what_the_journal_knows_better_stays(worker: Worker) -> None:
    await worker.lose()
    await worker.outcomes.keep(worker.tried(Accepted("SM1", "queued")))
    before = worker.process.journal.kept[worker.job.alert.alert_id].case.attempts
    assert await worker.outcomes.keep(worker.tried(Retryable("http_503")))
    after = worker.process.journal.kept[worker.job.alert.alert_id].case.attempts
    assert after[worker.job.attempt.attempt_id].status is Status.SENT and before.keys() == after.keys()


async def test_it_is_left_in_memory_while_postgres_may_take_it_or_when_nobody_has_read_its_alert(
    worker: Worker,
) -> None:
    assert not await worker.outcomes.keep(worker.tried(Accepted("SM1", "queued")))
    await worker.lose()
    unread = replace(worker.job, alert=replace(worker.job.alert, alert_id=uuid4()))
    assert not await worker.outcomes.keep(SendResult(unread, Accepted("SM1", "queued")))
    assert worker.process.journal.kept == {}


async def test_a_journal_that_is_full_says_so(worker: Worker) -> None:
    await worker.lose()
    worker.process.journal.is_full = True
    with pytest.raises(StorageFailure):
        await worker.outcomes.keep(worker.tried(Accepted("SM1", "queued")))
