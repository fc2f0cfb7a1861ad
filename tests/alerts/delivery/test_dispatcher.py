"""What is claimed, sent and recorded; leases, take-overs, breakers, slots."""

import asyncio

import pytest
from msgspec.structs import replace

from alerts.alert import Kind
from alerts.attempt import Accepted, Channel, Permanent, Purpose, Retryable, Status, Unsure
from alerts.delivery.dispatcher import LEASE_S
from tests.alerts.delivery.conftest import Start, until
from tests.alerts.delivery.fakes import Clock, FakeLedger, FakeProvider
from tests.alerts.slots import UpTo


async def test_what_is_due_is_sent_and_recorded(start: Start, ledger: FakeLedger, sms: FakeProvider) -> None:
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Accepted("P1", "queued")]
    assert [job.attempt.attempt_id for job in sms.inbox] == [attempt]
    assert ledger.providers == ["fake"], "an outcome is of a provider: callbacks name it"


async def test_a_press_here_need_not_wait_for_a_poll(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    dispatcher = start(sms, poll_s=3_600.0)
    await until(lambda: bool(ledger.downs), "it has looked once")
    ledger.due(Channel.SMS)
    dispatcher.wake()
    await until(lambda: bool(sms.inbox), "it is sent")


async def test_what_follows_from_an_outcome_is_looked_at_at_once(
    start: Start, ledger: FakeLedger, sms: FakeProvider, push: FakeProvider
) -> None:
    sms.faults.append(Retryable("refused"))
    (attempt,) = ledger.due(Channel.SMS)
    start(sms, push, poll_s=3_600.0)
    await until(lambda: bool(sms.inbox), "the retry is sent, with no poll")
    assert ledger.outcomes(attempt)[0] == Retryable("refused")


async def test_a_channel_that_nothing_is_set_up_for_says_so(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    (attempt,) = ledger.due(Channel.CALL)
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Permanent("not_configured")]


async def test_a_hanging_channel_keeps_no_other_waiting(
    start: Start, ledger: FakeLedger, sms: FakeProvider, push: FakeProvider
) -> None:
    sms.hang = asyncio.Event()
    ledger.due(*[Channel.SMS] * 8)
    start(sms, push, slots=3)
    await until(lambda: sms.begun == 3, "the hanging channel's slots are taken")
    ledger.due(*[Channel.PUSH] * 8)
    await until(lambda: len(push.inbox) == 8, "every push goes")
    assert sms.begun == 3
    assert ledger.claimed[Channel.SMS] == 3, "what there is no slot for is left to other processes"
    sms.hang.set()
    await until(lambda: len(sms.inbox) == 8, "the others follow")
    assert sms.most_at_once == 3


async def test_other_messages_that_hang_hold_back_no_sos(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    """All-clears, reminders, drills and timers' alerts fill what is not reserved; an SOS goes at once."""
    sms.hang = asyncio.Event()
    ledger.purposes = [Purpose.ALL_CLEAR, Purpose.REMINDER, Purpose.ON_IT]
    ledger.due(*[Channel.SMS] * 100)
    start(sms)
    await until(lambda: sms.begun >= 18, "they take what they may")
    await asyncio.sleep(0.1)
    others = sms.begun
    assert others <= 24
    ledger.purposes = [Purpose.ALERT]
    (sos,) = ledger.due(Channel.SMS)
    await until(lambda: sms.begun > others, "the SOS is sent")
    assert ledger.rows[sos].status is Status.SENDING
    sms.hang.set()


async def test_a_webhook_that_hangs_holds_back_no_other_webhook(start: Start, ledger: FakeLedger) -> None:
    hooks = FakeProvider(Channel.WEBHOOK)
    hanging = "https://hangs.example/a"
    hooks.hang, hooks.hangs_for = asyncio.Event(), lambda job: job.contact.webhook_url == hanging
    ledger.webhook_url = hanging
    ledger.due(*[Channel.WEBHOOK] * 100)
    start(hooks)
    await until(lambda: hooks.begun >= 6, "they take what they may")
    ledger.webhook_url = "https://well.example/b"
    ledger.due(*[Channel.WEBHOOK] * 50)
    await until(lambda: len(hooks.inbox) == 50, "the others are sent")
    assert hooks.begun <= 8 + 50
    hooks.hang.set()


async def test_an_address_that_keeps_failing_is_refused_what_is_no_sos(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.purposes = [Purpose.REMINDER]
    sms.always = Retryable("mailbox_full", address_failed=True)
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: ledger.outcomes(attempt)[-1:] == [Permanent("too_many_tries")], "it ends")
    assert sms.begun == 30
    ledger.purposes = [Purpose.ALERT]
    (sos,) = ledger.due(Channel.SMS)
    await until(lambda: len(ledger.outcomes(sos)) > 3, "further tries of an SOS go all the same")
    sms.always = None
    await until(lambda: isinstance(ledger.outcomes(sos)[-1], Accepted), "the SOS is accepted")
    assert Permanent("too_many_tries") not in ledger.outcomes(sos)


@pytest.mark.parametrize("purpose", [Purpose.ALERT, Purpose.ALL_CLEAR, Purpose.REMINDER])
@pytest.mark.parametrize("kind", [Kind.SOS, Kind.CHECK_IN_MISSED])
async def test_after_an_outage_of_the_provider_each_message_to_a_shared_number_is_sent(
    start: Start, ledger: FakeLedger, sms: FakeProvider, clock: Clock, kind: Kind, purpose: Purpose
) -> None:
    """24 drivers share one emergency number; the provider answers 503 for 100 s."""
    ledger.alert = replace(ledger.alert, kind=kind)
    ledger.purposes = [purpose]
    sms.always = Retryable("http_503", provider_down=True)
    due = ledger.due(*[Channel.SMS] * 24)
    dispatcher = start(sms, lease_s=3_600.0)
    for n in range(20):
        begun = sms.begun
        clock.pass_by(30.0 if n > 4 else 2.0 ** (n + 1))
        dispatcher.wake()
        await until(lambda begun=begun: sms.begun > begun, "the breaker lets a probe through")  # type: ignore[misc]
    assert sms.begun > 30
    sms.always = None
    clock.pass_by(30.0)
    await until(lambda: len(sms.inbox) == 24, "each is sent")
    assert {type(ledger.outcomes(attempt)[-1]) for attempt in due} == {Accepted}


async def test_whoever_has_said_stop_is_sent_nothing_and_the_provider_is_not_asked(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.opted_out = True
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Permanent("opted_out")]
    assert sms.begun == 0


async def test_messages_do_not_wait_for_an_escalation_that_takes_long(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    """A thousand alerts to escalate take seconds; an SOS that is due goes meanwhile."""
    start(sms)
    await until(lambda: bool(ledger.downs), "it has escalated once")
    endless = asyncio.Event()

    async def slow(limit: int, down: frozenset[Channel] = frozenset()) -> int:
        await endless.wait()
        return 0

    ledger.advance = slow  # type: ignore[method-assign]
    await asyncio.sleep(0.1)
    ledger.due(*[Channel.SMS] * 40)
    await until(lambda: len(sms.inbox) == 40, "all are sent")
    endless.set()


async def test_an_escalation_that_fails_is_noticed_and_begun_again(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    start(sms, away_poll_s=0.01)
    await until(lambda: bool(ledger.downs), "it has escalated once")
    ledger.away = {"advance"}
    await until(lambda: ledger.refused["advance"] >= 3, "it is tried again")
    ledger.due(Channel.SMS)
    ledger.away = set()
    escalations = len(ledger.downs)
    await until(lambda: len(ledger.downs) > escalations + 2 and bool(sms.inbox), "all goes on")


# --- leases and take-overs


def taken_over(ledger: FakeLedger) -> None:
    """The process that was sending them is gone, and its leases are over."""
    ledger.rows = {key: replace(row, status=Status.SENDING) for key, row in ledger.rows.items()}


async def test_what_another_had_sent_is_recorded_and_not_sent_again(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    (attempt,) = ledger.due(Channel.SMS)
    sms.inbox += await ledger.claim("dead", UpTo([Channel.SMS], 1), 0.0)
    start(sms)
    await until(lambda: bool(ledger.reports), "the report is recorded")
    assert sms.begun == 0
    assert ledger.outcomes(attempt) == [Accepted("P1", "delivered", delivered=True)]
    assert ledger.reports[0].provider_id == "P1"


async def test_what_was_sent_before_they_said_stop_is_recorded_as_sent(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.opted_out = True
    (attempt,) = ledger.due(Channel.SMS)
    sms.inbox += await ledger.claim("dead", UpTo([Channel.SMS], 1), 0.0)
    start(sms)
    await until(lambda: bool(ledger.reports), "the report is recorded")
    assert ledger.outcomes(attempt) == [Accepted("P1", "delivered", delivered=True)]


@pytest.mark.parametrize("knows", [True, False])
async def test_what_another_had_not_surely_sent_is_sent_as_a_repeat(
    start: Start, ledger: FakeLedger, sms: FakeProvider, knows: bool
) -> None:
    """Whether the provider says that it has no such message, or cannot be asked."""
    sms.knows_what_it_has = knows
    (attempt,) = ledger.due(Channel.SMS)
    taken_over(ledger)
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Accepted("P1", "queued", repeat=True)]
    assert [job.attempt.repeat for job in sms.inbox] == [True]
    assert sms.looked_up == 1


async def test_what_was_sent_elsewhere_out_of_sight_is_not_sent_again(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    (attempt,) = ledger.due(Channel.SMS)
    sms.inbox.append(ledger._job(ledger.rows[attempt]))
    ledger.elsewhere = True
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Accepted("P1", "delivered", delivered=True)]
    assert sms.begun == 0


@pytest.mark.parametrize("knows", [True, False])
async def test_what_may_have_been_sent_elsewhere_is_a_repeat_unless_the_provider_is_sure(
    start: Start, ledger: FakeLedger, sms: FakeProvider, knows: bool
) -> None:
    sms.knows_what_it_has = knows
    ledger.elsewhere = True
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: bool(ledger.settled), "it is recorded")
    assert ledger.outcomes(attempt) == [Accepted("P1", "queued", repeat=not knows)]
    assert sms.looked_up == 1


async def test_a_lost_reply_is_looked_up_and_the_message_goes_once(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    sms.faults.append("accept_then_lose_reply")
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: len(ledger.outcomes(attempt)) == 2, "it is looked up")
    assert ledger.outcomes(attempt)[1] == Accepted("P1", "delivered", delivered=True)
    assert len(sms.inbox) == 1


async def test_a_process_that_was_frozen_past_its_lease_does_not_send(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider
) -> None:
    """It stops between its look-up and the call; meanwhile its lease ends and another takes the attempt."""
    (attempt,) = ledger.due(Channel.SMS)
    taken_over(ledger)
    frozen = asyncio.Event()

    def freeze() -> None:
        if not frozen.is_set():
            frozen.set()
            clock.pass_by(60.0)

    sms.on_look_up = freeze
    start(sms)
    await until(lambda: bool(ledger.settled), "whoever takes it over sends it")
    assert sms.looked_up == 2, "the frozen one let it be; the next looked again"
    assert len(sms.inbox) == 1
    assert len(ledger.outcomes(attempt)) == 1


async def test_nothing_is_begun_that_could_outlast_its_lease(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider
) -> None:
    """The claim itself was answered late: the lease counts from before it was asked for."""
    claim = ledger.claim

    async def slow(*arguments: object) -> list[object]:
        jobs = await claim(*arguments)  # type: ignore[arg-type]
        if jobs and ledger.claimed.total() == 1:
            clock.pass_by(LEASE_S)
        return jobs  # type: ignore[return-value]

    ledger.claim = slow  # type: ignore[assignment,method-assign]
    ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: bool(sms.inbox), "it is sent by its second claim")
    assert ledger.claimed[Channel.SMS] == 2
    assert sms.inbox[0].attempt.repeat, "by then nobody could know whether the first had sent it"


# --- breakers


async def test_a_failing_channel_is_told_as_down_and_left_alone_until_it_is_well(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider, push: FakeProvider
) -> None:
    sms.always = Retryable("http_500", provider_down=True)
    ledger.due(Channel.SMS)
    start(sms, push)
    await until(lambda: frozenset({Channel.SMS}) in ledger.downs, "the escalation is told")
    assert sms.begun == 3
    ledger.due(Channel.PUSH)
    await until(lambda: bool(push.inbox), "the other channel works on")
    assert sms.begun == 3
    sms.always = None
    clock.pass_by(5.0)
    await until(lambda: bool(sms.inbox), "it is asked again, and is back")
    ledger.downs.clear()
    await until(lambda: frozenset() in ledger.downs, "the escalation is told that too")


async def test_both_ways_may_be_down_and_the_others_go_on(
    start: Start, ledger: FakeLedger, sms: FakeProvider, push: FakeProvider
) -> None:
    email = FakeProvider(Channel.EMAIL)
    sms.always = push.always = Retryable("refused", provider_down=True)
    ledger.due(Channel.SMS, Channel.PUSH)
    start(sms, push, email)
    await until(lambda: frozenset({Channel.SMS, Channel.PUSH}) in ledger.downs, "both are told as down")
    ledger.due(Channel.EMAIL)
    await until(lambda: bool(email.inbox), "mail goes")


async def test_a_provider_that_says_when_to_come_back_is_left_alone_until_then(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider
) -> None:
    sms.faults.append(Retryable("http_429", retry_after_s=20.0, provider_down=True))
    ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: frozenset({Channel.SMS}) in ledger.downs, "one such answer is enough")
    clock.pass_by(19.0)
    rounds = len(ledger.downs)
    await until(lambda: len(ledger.downs) > rounds + 5, "rounds go by")
    assert sms.begun == 1
    clock.pass_by(1.0)
    await until(lambda: bool(sms.inbox), "then it is asked")


async def test_what_is_wrong_with_one_message_says_nothing_of_the_provider(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    sms.faults.extend([Permanent("bad_number")] * 9)
    ledger.due(*[Channel.SMS] * 10)
    start(sms, slots=1)
    await until(lambda: len(ledger.settled) == 10, "all are tried")
    assert set(ledger.downs) == {frozenset()}


# --- faults


async def test_a_notifier_that_raises_is_an_unsure_outcome(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    sms.faults.append("raise")
    (attempt,) = ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: len(ledger.outcomes(attempt)) == 2, "it is tried again")
    assert ledger.outcomes(attempt) == [Unsure("notifier_failed"), Accepted("P1", "queued", repeat=True)]


async def test_delivery_goes_on_when_the_ledger_is_back(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"advance", "claim"}
    ledger.due(Channel.SMS)
    start(sms)
    await until(lambda: ledger.refused["advance"] == 1, "it has been asked")
    ledger.away = {"claim"}
    await until(lambda: ledger.refused["claim"] == 1, "it has been asked again")
    assert not sms.inbox
    ledger.away = set()
    await until(lambda: bool(ledger.settled), "it is sent")


async def test_when_the_ledger_is_back_it_is_left_alone_until_others_have_brought_in_what_they_did(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.away = {"advance"}
    ledger.due(Channel.SMS)
    start(sms, settling_s=3_600.0)
    await until(lambda: ledger.refused["advance"] == 1, "it has been asked")
    ledger.away = {"anything_due"}
    await until(lambda: ledger.refused["anything_due"] == 1, "it is still away")
    ledger.away = set()
    await until(lambda: ledger.looks == 1, "it is back")
    await asyncio.sleep(0.1)
    assert not ledger.downs and not ledger.claimed


async def test_a_fault_of_ours_in_one_round_does_not_end_delivery(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    ledger.broken = {"advance"}
    ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: ledger.refused["advance"] == 1, "a round has failed")
    ledger.broken = set()
    await until(lambda: bool(ledger.settled), "it is sent")
    assert dispatcher.is_running


async def test_stopping_lets_what_is_on_its_way_arrive_and_be_recorded(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    sms.hang = asyncio.Event()
    (attempt,) = ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: sms.begun == 1, "it is on its way")
    stopping = asyncio.ensure_future(dispatcher.stop(grace_s=20.0))
    await asyncio.sleep(0)
    ledger.due(Channel.SMS)
    sms.hang.set()
    await stopping
    assert ledger.outcomes(attempt) == [Accepted("P1", "queued")]
    assert len(sms.inbox) == 1, "nothing more was claimed"


async def test_what_a_claim_under_way_gets_is_sent_before_the_stop(
    start: Start, ledger: FakeLedger, sms: FakeProvider
) -> None:
    """Nobody else could send it before its lease is over."""
    claim, asked, answered = ledger.claim, asyncio.Event(), asyncio.Event()

    async def slow(*arguments: object) -> list[object]:
        jobs = await claim(*arguments)  # type: ignore[arg-type]
        asked.set()
        await answered.wait()
        return jobs  # type: ignore[return-value]

    ledger.claim = slow  # type: ignore[assignment,method-assign]
    (attempt,) = ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await asked.wait()
    stopping = asyncio.ensure_future(dispatcher.stop(grace_s=20.0))
    await asyncio.sleep(0)
    answered.set()
    await stopping
    assert ledger.outcomes(attempt) == [Accepted("P1", "queued")]
    assert not dispatcher.is_running


async def test_what_is_cut_off_by_a_stop_is_left_to_be_looked_up(
    start: Start, ledger: FakeLedger, clock: Clock, sms: FakeProvider
) -> None:
    sms.hang = asyncio.Event()
    (attempt,) = ledger.due(Channel.SMS)
    dispatcher = start(sms)
    await until(lambda: sms.begun == 1, "it is on its way")
    await dispatcher.stop(grace_s=0.0)
    assert ledger.outcomes(attempt) == [], "nobody knows what became of it"
    sms.hang = None
    clock.pass_by(LEASE_S)
    start(sms)
    await until(lambda: bool(ledger.settled), "another takes it over")
    assert sms.looked_up == 1
