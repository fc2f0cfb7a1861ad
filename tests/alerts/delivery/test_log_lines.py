"""Each line of the log about a message names its attempt and its alert."""

import asyncio
from uuid import UUID

import pytest

from alerts.attempt import Channel, Outcome
from alerts.delivery.dispatcher import Dispatcher
from alerts.delivery.observer import NoObserver
from alerts.delivery.routes import ways_of
from alerts.delivery.send import SendResult
from alerts.ports import DeliveryJob, Reservation
from tests.alerts.delivery.conftest import Start, until
from tests.alerts.delivery.fakes import Clock, FakeLedger, FakeProvider


def line(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """The first line of the log that contains ``text``, or nothing."""
    return next((message for message in caplog.messages if text in message), "")


def names(ledger: FakeLedger, attempt: UUID) -> str:
    return f"attempt {attempt} of alert {ledger.alert.alert_id}"


@pytest.mark.parametrize("fault", ["ledger", "journal", "notifier", "meter"])
async def test_a_fault_of_one_message_is_logged_with_its_ids(
    fault: str,
    start: Start,
    ledger: FakeLedger,
    sms: FakeProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class BrokenMeter(NoObserver):
        def tried(self, job: DeliveryJob, outcome: Outcome, took_s: float) -> None:
            raise RuntimeError

    async def keep(tried: SendResult) -> bool:
        raise OSError

    expected = {
        "ledger": "cannot be recorded: RuntimeError",
        "journal": "cannot be journalled: OSError",
        "notifier": "by fake failed: RuntimeError",
        "meter": "failed: RuntimeError",
    }[fault]
    if fault == "ledger":
        ledger.broken = {"settle"}
    if fault == "journal":
        ledger.away = {"settle"}
    if fault == "notifier":
        sms.faults.append("raise")
    (attempt,) = ledger.due(Channel.SMS)
    start(sms, keep=keep, meter=BrokenMeter() if fault == "meter" else None)
    await until(lambda: bool(line(caplog, expected)), "it is logged")
    assert names(ledger, attempt) in line(caplog, expected)


async def test_an_outcome_that_is_given_up_is_logged_with_its_ids(
    start: Start, ledger: FakeLedger, sms: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    (attempt,) = ledger.due(Channel.SMS)
    ledger.poison = attempt
    start(sms, max_record_tries=1)
    await until(lambda: bool(line(caplog, "given up")), "it is logged")
    assert names(ledger, attempt) in line(caplog, "given up")


async def test_outcomes_that_a_stop_leaves_unrecorded_are_logged_with_their_ids(
    start: Start, ledger: FakeLedger, sms: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.away = {"settle"}
    attempts = ledger.due(Channel.SMS, Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: dispatcher.unrecorded == 2, "they are in memory")
    await dispatcher.stop(grace_s=0.1)
    assert line(caplog, "2 outcomes were not recorded")
    for attempt in attempts:
        assert line(caplog, f"the outcome of {names(ledger, attempt)} was not recorded")


async def test_an_attempt_that_is_leased_without_a_slot_is_logged_with_its_ids(
    ledger: FakeLedger, clock: Clock, sms: FakeProvider, caplog: pytest.LogCaptureFixture
) -> None:
    class Slotless(FakeLedger):
        async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
            return [self._job(attempt) for attempt in self.rows.values()]

    faulty = Slotless(clock)
    (attempt,) = faulty.due(Channel.SMS)
    dispatcher = Dispatcher(faulty, ways_of({Channel.SMS: sms}), by="w1", clock=clock)
    await dispatcher._claim()
    await asyncio.sleep(0)
    assert names(faulty, attempt) in line(caplog, "without a slot")
    assert not sms.begun
