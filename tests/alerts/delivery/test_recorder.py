"""Outcomes outlive a ledger that is away, and are never made up for by sending again."""

from alerts.attempt import Accepted, Channel
from alerts.delivery.send import SendResult
from tests.alerts.delivery.conftest import Start, until
from tests.alerts.delivery.fakes import FakeLedger, FakeProvider


class Journal:
    """A keeper that keeps, or is full."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.kept: list[SendResult] = []

    async def keep(self, tried: SendResult) -> bool:
        """Whether there was room."""
        if not self.full:
            self.kept.append(tried)
        return not self.full


async def test_what_was_sent_is_recorded_when_the_ledger_is_back_and_not_sent_again(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"settle"}
    attempts = ledger.due(*[Channel.SMS] * 5)
    dispatcher = start(sms)
    await until(lambda: dispatcher.unrecorded == 5, "all are sent and none is recorded")
    ledger.away = set()
    await until(lambda: dispatcher.unrecorded == 0, "all are recorded")
    assert len(sms.inbox) == 5
    assert {attempt for attempt, _ in ledger.settled} == set(attempts)


async def test_with_the_ledger_away_outcomes_go_to_the_journal(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"settle"}
    (attempt,) = ledger.due(Channel.SMS)
    journal = Journal()
    dispatcher = start(sms, keep=journal.keep)
    await until(lambda: bool(journal.kept), "it is journalled")
    assert journal.kept[0].job.attempt.attempt_id == attempt
    assert journal.kept[0].outcome == Accepted("P1", "queued")
    assert dispatcher.unrecorded == 0


async def test_a_journal_that_takes_nothing_leaves_them_in_memory_until_either_does(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"settle"}
    ledger.due(Channel.SMS)
    journal = Journal(full=True)
    dispatcher = start(sms, keep=journal.keep)
    await until(lambda: dispatcher.unrecorded == 1, "it is in memory")
    journal.full = False
    await until(lambda: dispatcher.unrecorded == 0, "it is tried again")
    assert len(journal.kept) == 1
    assert len(sms.inbox) == 1


async def test_an_outcome_the_ledger_will_never_take_does_not_hold_up_the_others(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.broken = {"settle"}
    ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: len(sms.inbox) == 1, "it is sent")
    await until(lambda: dispatcher.sending == 0, "it is given up")
    ledger.broken = set()
    (second,) = ledger.due(Channel.SMS)
    await until(lambda: bool(ledger.outcomes(second)), "the next is recorded")
    assert dispatcher.unrecorded == 0


async def test_stopping_gives_the_ledger_a_last_chance(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"settle"}
    ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: dispatcher.unrecorded == 1, "it is in memory")
    ledger.away = set()
    await dispatcher.stop(grace_s=20.0)
    assert len(ledger.settled) == 1


async def test_an_outcome_that_is_never_taken_is_in_no_others_way_and_is_given_up_in_the_end(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    """The ledger is there for all but one."""
    ledger.away = {"settle"}
    poison, other = ledger.due(Channel.SMS, Channel.SMS)
    dispatcher = start(sms, max_record_tries=3)
    await until(lambda: dispatcher.unrecorded == 2, "neither is taken")
    ledger.away, ledger.poison = set(), poison
    await until(lambda: bool(ledger.outcomes(other)), "the other is recorded")
    await until(lambda: dispatcher.unrecorded == 0, "that one is given up")
    assert ledger.outcomes(poison) == []
    assert len(sms.inbox) == 2
