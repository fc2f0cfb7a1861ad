"""Messages that are no alert have slots of their own."""

import asyncio
from uuid import uuid4

from msgspec.structs import replace

from alerts.attempt import Accepted, Channel, Permanent, Purpose, Retryable, Unsure
from alerts.delivery.apart import SLOTS, Apart
from alerts.ports import Job
from tests.alerts.delivery.conftest import Start, until
from tests.alerts.delivery.fakes import Clock, FakeLedger, FakeProvider


async def a_code(clock: Clock) -> Job:
    ledger = FakeLedger(clock)
    ledger.due(Channel.SMS)
    (job,) = await ledger.claim("somebody", [Channel.SMS], 1, 30.0)
    return replace(job, attempt=replace(job.attempt, attempt_id=uuid4(), purpose=Purpose.CODE))


async def test_a_code_goes_out(clock: Clock, sms: FakeProvider) -> None:
    assert await Apart({Channel.SMS: sms}).send(await a_code(clock)) == Accepted("P1", "queued")


async def test_a_channel_without_a_notifier_says_so(clock: Clock, push: FakeProvider) -> None:
    assert await Apart({Channel.PUSH: push}).send(await a_code(clock)) == Permanent("not_configured")


async def test_many_codes_at_once_are_told_to_come_back(clock: Clock, sms: FakeProvider) -> None:
    sms.hang = asyncio.Event()
    apart, code = Apart({Channel.SMS: sms}), await a_code(clock)
    under_way = [asyncio.ensure_future(apart.send(code)) for _ in range(SLOTS)]
    await until(lambda: sms.begun == SLOTS, "every slot is taken")
    assert isinstance(await apart.send(code), Retryable)
    sms.hang.set()
    assert all(isinstance(outcome, Accepted) for outcome in await asyncio.gather(*under_way))
    assert isinstance(await apart.send(code), Accepted)


async def test_hanging_codes_keep_no_sos_waiting(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider
) -> None:
    codes = FakeProvider(Channel.SMS)
    codes.hang = asyncio.Event()
    apart, code = Apart({Channel.SMS: codes}), await a_code(clock)
    under_way = [asyncio.ensure_future(apart.send(code)) for _ in range(50)]
    start(sms, slots=1)
    ledger.due(Channel.SMS)
    await until(lambda: bool(ledger.settled), "the sos goes")
    codes.hang.set()
    await asyncio.gather(*under_way)


async def test_a_notifier_that_hangs_or_raises_ends_in_an_outcome(clock: Clock, sms: FakeProvider) -> None:
    apart, code = Apart({Channel.SMS: sms}, timeout_s=0.01), await a_code(clock)
    sms.faults.append("raise")
    assert await apart.send(code) == Unsure("notifier_failed")
    sms.hang = asyncio.Event()
    assert await apart.send(code) == Unsure("timeout")
    sms.hang = None
    assert isinstance(await apart.send(code), Accepted)
