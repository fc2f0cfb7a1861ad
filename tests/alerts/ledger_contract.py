"""What every ledger does: the tests that each of them runs.

A ledger's own test module has a fixture ``world``, which gives a `World`, and a ``Test…(LedgerContract)``.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from msgspec import structs

from alerts.alert import (
    Acknowledged,
    Actor,
    ActorKind,
    CancelAsked,
    FalseAlarm,
    Kind,
    Noted,
    PinResult,
    Place,
    Press,
    Resolved,
    State,
)
from alerts.attempt import Accepted, Channel, Permanent, Purpose, Retryable, Status, StatusReport, Unsure
from alerts.events import Moved
from alerts.policy import Circumstances, Contact, Pins, Policy, Step
from alerts.ports import DeliveryJob, Ledger, Taken, Wanted
from tests.alerts.slots import UpTo

MINUTE_MS = 60_000
LEASE_S = 30.0
ALL = tuple(Channel)
ANA = Contact("ana", "Ana", phone="+41790000001", email="ana@example.org")
BEN = Contact("ben", "Ben", phone="+41790000002")
POLICY = Policy(
    steps=(
        Step(("ana",), (Channel.SMS,), wait_s=60),
        Step(("ben",), (Channel.SMS,), wait_s=60),
    ),
    loops=1,
)
CIRCUMSTANCES = Circumstances(dict.fromkeys(Kind, POLICY), (ANA, BEN), Pins(), driver_name="Dee")
COUNTING = Circumstances(
    dict.fromkeys(Kind, structs.replace(POLICY, countdown_s=30)), (ANA, BEN), Pins(), driver_name="Dee"
)
OPERATOR = Actor(ActorKind.OPERATOR, "dispatcher-1", "Olga")
DRIVER = Actor(ActorKind.DRIVER, "d1")


def circumstances_of(policy: Policy, *contacts: Contact) -> Circumstances:
    """``policy`` for every kind, with these contacts."""
    return Circumstances(dict.fromkeys(Kind, policy), contacts, Pins(), driver_name="Dee")


class World(Protocol):
    """A ledger and its clock."""

    ledger: Ledger

    async def later(self, ms: int) -> None:
        """Let ``ms`` pass by the ledger's clock."""

    async def now_ms(self) -> int:
        """What its clock says."""


@dataclass
class Told:
    """What a sweep sent: (purpose, contact, channel) in order."""

    jobs: list[DeliveryJob]

    @property
    def whom(self) -> list[tuple[str, str]]:
        """Purpose and contact of each."""
        return sorted((job.attempt.purpose.value, job.attempt.contact_id) for job in self.jobs)


def a_press(now_ms: int, **changes: object) -> Press:
    """An SOS of d1, pressed now."""
    press = Press(
        tenant="t1", vendor="north", driver="d1", sos_id=uuid4(), kind=Kind.SOS, received_ms=now_ms,
        pressed_ms=now_ms, source="http", place=Place(53.4, -2.9, 12.0, now_ms),
    )  # fmt: skip
    return structs.replace(press, **changes)


def with_provider(job: DeliveryJob, provider: str = "twilio") -> DeliveryJob:
    """``job`` as a dispatcher settles it."""
    return structs.replace(job, attempt=structs.replace(job.attempt, provider=provider))


async def raise_one(world: World, circumstances: Circumstances = CIRCUMSTANCES, **changes: object) -> Taken:
    """A press, taken."""
    return await world.ledger.press(a_press(await world.now_ms(), **changes), circumstances)


async def claim(
    world: World, by: str = "w1", channels: Sequence[Channel] = ALL, limit: int = 50
) -> list[DeliveryJob]:
    """Whatever is due."""
    return await world.ledger.claim(by, UpTo(channels, limit), LEASE_S)


async def sweep(world: World, provider_id: str | None = None) -> Told:
    """Escalate, claim all that is due, and have every provider accept it."""
    while await world.ledger.advance(50):
        pass
    jobs = await claim(world)
    for job in jobs:
        accepted = Accepted(provider_id or f"SM{job.attempt.attempt_id.hex}", "queued")
        await world.ledger.settle(with_provider(job), accepted)
    return Told(jobs)


async def now_of(world: World, taken: Taken) -> Taken:
    """The same press again: the alert as it stands."""
    found = await world.ledger.find("t1", "d1", taken.alert.sos_id)
    assert found is not None
    return structs.replace(taken, alert=found)


def delivered(provider_id: str, status: Status = Status.DELIVERED) -> StatusReport:
    """Twilio's word."""
    return StatusReport("twilio", provider_id, status, status.value)


class LedgerContract:
    """The tests. They never wait: time passes by `World.later`."""

    # --- presses

    async def test_a_press_opens_an_active_alert_and_is_found_again(self, world: World) -> None:
        press = a_press(await world.now_ms())
        taken = await world.ledger.press(press, CIRCUMSTANCES)
        assert (taken.created, taken.joined, taken.alert.state) == (True, False, State.ACTIVE)
        assert await world.ledger.find("t1", "d1", press.sos_id) == taken.alert
        assert await world.ledger.find("t1", "d1", uuid4()) is None
        assert await world.ledger.find("t1", "d2", press.sos_id) is None
        assert await world.ledger.find("t2", "d1", press.sos_id) is None

    async def test_whether_anything_is_due(self, world: World) -> None:
        assert not await world.ledger.anything_due()
        await raise_one(world)
        assert await world.ledger.anything_due()
        jobs = await claim(world)
        await world.ledger.advance(10)
        assert not await world.ledger.anything_due()
        await world.later(int(LEASE_S * 1000) + 1)
        assert await world.ledger.anything_due()
        assert len(jobs) == 1

    async def test_the_same_press_again_is_the_same_alert_unchanged(self, world: World) -> None:
        press = a_press(await world.now_ms())
        first = await world.ledger.press(press, CIRCUMSTANCES)
        again = await world.ledger.press(structs.replace(press, message="again"), COUNTING)
        assert again.alert == first.alert
        assert (again.created, again.joined, again.durability) == (False, False, first.durability)

    async def test_a_hundred_presses_at_once_are_one_alert_and_each_is_answered(self, world: World) -> None:
        now_ms = await world.now_ms()
        sos_id = uuid4()
        presses = [a_press(now_ms, sos_id=sos_id, received_ms=now_ms + n) for n in range(100)]
        taken = await asyncio.gather(*(world.ledger.press(press, CIRCUMSTANCES) for press in presses))
        assert {t.alert.alert_id for t in taken} == {taken[0].alert.alert_id}
        assert sum(t.created for t in taken) == 1
        assert len(await claim(world)) == 1

    async def test_another_press_joins_the_open_alert(self, world: World) -> None:
        first = await raise_one(world, kind=Kind.CHECK_IN_MISSED)
        other = a_press(await world.now_ms())
        joined = await world.ledger.press(other, CIRCUMSTANCES)
        assert joined.alert.alert_id == first.alert.alert_id
        assert (joined.created, joined.joined, joined.alert.presses) == (False, True, 2)
        assert joined.alert.severity >= first.alert.severity
        assert await world.ledger.find("t1", "d1", other.sos_id) == joined.alert
        again = await world.ledger.press(other, CIRCUMSTANCES)
        assert (again.created, again.joined, again.alert) == (False, True, joined.alert)

    async def test_different_presses_at_once_are_one_alert(self, world: World) -> None:
        taken = await asyncio.gather(*(raise_one(world) for _ in range(20)))
        assert len({t.alert.alert_id for t in taken}) == 1
        assert sorted(t.alert.presses for t in taken) == list(range(1, 21))
        assert sum(t.created for t in taken) == 1

    async def test_a_drill_and_a_real_one_and_another_driver_are_alerts_of_their_own(
        self, world: World
    ) -> None:
        drill = await raise_one(world, drill=True)
        real = await raise_one(world)
        other = await raise_one(world, driver="d2")
        elsewhere = await raise_one(world, tenant="t2")
        ids = {t.alert.alert_id for t in (drill, real, other, elsewhere)}
        assert len(ids) == 4
        assert (await raise_one(world, drill=True)).alert.alert_id == drill.alert.alert_id

    async def test_a_press_after_the_end_opens_a_new_alert(self, world: World) -> None:
        first = await raise_one(world)
        await world.ledger.apply(first.alert.alert_id, Resolved(OPERATOR))
        second = await raise_one(world)
        assert second.created
        assert second.alert.alert_id != first.alert.alert_id
        again = await world.ledger.press(
            a_press(await world.now_ms(), sos_id=first.alert.sos_id), CIRCUMSTANCES
        )
        assert (again.alert.alert_id, again.alert.state) == (first.alert.alert_id, State.RESOLVED)

    async def test_text_that_no_database_likes_is_kept(self, world: World) -> None:
        taken = await raise_one(world, message="help\0 \\u0000 é '; --")
        found = await world.ledger.find("t1", "d1", taken.alert.sos_id)
        assert found is not None
        assert found.message == taken.alert.message

    # --- events

    async def test_an_event_moves_the_alert_and_one_that_may_not_is_refused(self, world: World) -> None:
        taken = await raise_one(world)
        applied = await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
        assert applied is not None
        assert (applied.refused, applied.alert.state) == (None, State.ACKNOWLEDGED)
        assert applied.alert.version > taken.alert.version
        done = await world.ledger.apply(taken.alert.alert_id, Resolved(OPERATOR))
        assert done is not None
        assert done.alert.state is State.RESOLVED
        refused = await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
        assert refused is not None
        assert refused.refused
        assert refused.alert.state is State.RESOLVED

    async def test_the_place_follows_the_driver_and_the_next_messages_have_it(self, world: World) -> None:
        taken = await raise_one(world)
        assert [job.alert.place for job in (await sweep(world)).jobs] == [taken.alert.place]
        await world.later(30_000)
        place = Place(53.45, -2.9, 5.0, await world.now_ms(), source="live")
        applied = await world.ledger.apply(taken.alert.alert_id, Moved(place))
        assert applied is not None
        assert (applied.refused, applied.alert.place) == (None, place)
        assert applied.alert.version == taken.alert.version + 1
        await world.later(5 * MINUTE_MS)
        later = await sweep(world)
        assert later.jobs
        assert {job.alert.place for job in later.jobs} == {place}
        again = await world.ledger.apply(taken.alert.alert_id, Moved(place))
        assert again is not None
        assert again.refused == "already"
        assert (await now_of(world, taken)).alert.place == place
        await world.ledger.apply(taken.alert.alert_id, FalseAlarm(OPERATOR, "all well"))
        over = await world.ledger.apply(taken.alert.alert_id, Moved(structs.replace(place, lat=54.0)))
        assert over is not None
        assert (over.refused, over.alert.place) == ("closed", place)

    async def test_an_event_of_no_alert_is_none(self, world: World) -> None:
        assert await world.ledger.apply(uuid4(), Noted(OPERATOR, "hello")) is None

    async def test_an_acknowledged_alert_tells_nobody_else(self, world: World) -> None:
        taken = await raise_one(world)
        assert (await sweep(world)).whom == [("alert", "ana")]
        await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
        await world.later(5 * MINUTE_MS)
        assert "ben" not in [contact for _, contact in (await sweep(world)).whom]

    async def test_what_is_due_when_it_is_acknowledged_is_not_sent(self, world: World) -> None:
        taken = await raise_one(world)
        await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
        assert [j for j in await claim(world) if j.attempt.purpose is Purpose.ALERT] == []

    async def test_a_false_alarm_is_told_to_whoever_was_told(self, world: World) -> None:
        taken = await raise_one(world)
        await sweep(world)
        await world.ledger.apply(taken.alert.alert_id, FalseAlarm(OPERATOR, "all well"))
        assert (await sweep(world)).whom == [("all_clear", "ana")]

    async def test_nobody_is_told_while_it_counts_down_and_a_cancelled_countdown_tells_nobody(
        self, world: World
    ) -> None:
        taken = await raise_one(world, COUNTING)
        assert taken.alert.state is State.PENDING
        assert (await sweep(world)).jobs == []
        wrong = await world.ledger.apply(taken.alert.alert_id, CancelAsked(DRIVER, PinResult.WRONG))
        assert wrong is not None
        assert wrong.refused
        await world.ledger.apply(taken.alert.alert_id, CancelAsked(DRIVER, PinResult.RIGHT))
        await world.later(MINUTE_MS)
        assert (await sweep(world)).jobs == []

    async def test_a_countdown_that_is_over_tells(self, world: World) -> None:
        taken = await raise_one(world, COUNTING)
        await world.later(31_000)
        assert (await sweep(world)).whom == [("alert", "ana")]
        assert (await now_of(world, taken)).alert.state is State.ACTIVE

    # --- escalation

    async def test_time_brings_the_next_step_and_at_last_exhausts(self, world: World) -> None:
        taken = await raise_one(world)
        assert (await sweep(world)).whom == [("alert", "ana")]
        assert (await sweep(world)).whom == []
        await world.later(MINUTE_MS + 1_000)
        assert (await sweep(world)).whom == [("alert", "ben")]
        await world.later(MINUTE_MS + 1_000)
        await sweep(world)
        assert (await now_of(world, taken)).alert.exhausted_ms is not None

    async def test_nothing_is_escalated_before_its_time(self, world: World) -> None:
        await raise_one(world)
        await sweep(world)
        assert await world.ledger.advance(50) == 0

    async def test_a_limit_leaves_the_rest_for_the_next_call(self, world: World) -> None:
        for n in range(5):
            await raise_one(world, driver=f"d{n}")
        while jobs := await claim(world, limit=2):
            assert len(jobs) <= 2
            for job in jobs:
                await world.ledger.settle(with_provider(job), Accepted(job.attempt.attempt_id.hex, "queued"))
        await world.later(MINUTE_MS + 1_000)
        assert await world.ledger.advance(3) == 3
        assert await world.ledger.advance(3) == 2
        assert await world.ledger.advance(3) == 0

    # --- delivery

    async def test_a_job_has_all_that_is_needed_to_send_it(self, world: World) -> None:
        taken = await raise_one(world)
        (job,) = await claim(world)
        assert (job.alert, job.contact, job.copy.driver_name) == (taken.alert, ANA, "Dee")
        assert (job.attempt.status, job.attempt.channel) == (Status.DUE, Channel.SMS)
        assert job.attempt.lease_by == "w1"
        assert job.attempt.lease_until_ms is not None
        assert job.attempt.lease_until_ms > await world.now_ms()

    async def test_a_cry_for_help_is_claimed_before_an_end_and_both_before_a_drill(
        self, world: World
    ) -> None:
        """However much later it came: what is no cry for help cannot use up what may be sent."""
        drill = (await raise_one(world, driver="d1", drill=True)).alert
        over = (await raise_one(world, driver="d2")).alert
        await claim(world)
        await world.later(5_000)
        for alert in (drill, over):
            await world.ledger.apply(alert.alert_id, FalseAlarm(OPERATOR))
        await raise_one(world, driver="d3", drill=True)
        await world.later(5_000)
        cry = (await raise_one(world, driver="d4")).alert
        order = [job.alert for _ in range(4) for job in await claim(world, limit=1)]
        assert [alert.driver for alert in order[:2]] == ["d4", "d2"] and order[0].alert_id == cry.alert_id
        assert {alert.driver for alert in order[2:]} == {"d1", "d3"}

    async def test_what_is_claimed_is_nobody_elses(self, world: World) -> None:
        await raise_one(world)
        assert len(await claim(world, "w1")) == 1
        assert await claim(world, "w2") == []
        assert await claim(world, "w1") == []

    async def test_only_the_channels_asked_for_are_claimed(self, world: World) -> None:
        await raise_one(world)
        assert await claim(world, channels=(Channel.CALL, Channel.EMAIL)) == []
        assert await claim(world, channels=()) == []
        assert len(await claim(world, channels=(Channel.SMS,))) == 1

    async def test_what_gets_no_slot_is_not_leased_and_another_claims_it_at_once(self, world: World) -> None:
        for driver in ("d1", "d2", "d3"):
            await raise_one(world, driver=driver)
        refusing = UpTo(most=0)
        refusing.wanted = UpTo(most=50).wanted
        assert await world.ledger.claim("w1", refusing, LEASE_S) == []
        jobs = await claim(world, "w2", limit=2)
        assert len(jobs) == 2
        assert {job.attempt.status for job in jobs} == {Status.DUE}
        assert len(await claim(world, "w3")) == 1

    async def test_no_channel_takes_more_than_its_own_slots(self, world: World) -> None:
        both = Policy(steps=(Step(("ana",), (Channel.SMS, Channel.EMAIL), wait_s=60),))
        for n in range(5):
            await raise_one(world, circumstances_of(both, ANA), driver=f"d{n}")
        slots = UpTo(most=50)
        slots.wanted = (Wanted(Channel.SMS, 1), Wanted(Channel.EMAIL, 4))
        jobs = await world.ledger.claim("w1", slots, LEASE_S)
        assert Counter(job.attempt.channel for job in jobs) == {Channel.SMS: 1, Channel.EMAIL: 4}

    async def test_an_sos_is_claimed_before_the_alerts_of_timers(self, world: World) -> None:
        for n in range(3):
            await raise_one(world, driver=f"d{n}", kind=Kind.CHECK_IN_MISSED)
        await world.later(1_000)
        sos = await raise_one(world, driver="d9")
        slots = UpTo([Channel.SMS], 1)
        (job,) = await world.ledger.claim("w1", slots, LEASE_S)
        assert job.alert.alert_id == sos.alert.alert_id
        assert [lane.is_sos for lane in slots.taken.values()] == [True]
        others = UpTo([Channel.SMS])
        assert len(await world.ledger.claim("w1", others, LEASE_S)) == 3
        assert {lane.is_sos for lane in others.taken.values()} == {False}

    async def test_a_webhook_is_claimed_in_the_lane_of_its_host(self, world: World) -> None:
        cara = Contact("cara", "Cara", webhook_url="https://Hooks.Example:8443/in?x=1")
        policy = Policy(steps=(Step(("cara", "operator"), (Channel.WEBHOOK,), wait_s=60),))
        desk = Contact("operator", "Desk", webhook_url="https://hooks.example/desk")
        await raise_one(world, circumstances_of(policy, cara, desk))
        slots = UpTo()
        assert len(await world.ledger.claim("w1", slots, LEASE_S)) == 2
        assert {lane.host for lane in slots.taken.values()} == {"hooks.example", "*operator"}
        assert {lane.tenant for lane in slots.taken.values()} == {"t1"}

    async def test_claims_at_once_never_overlap(self, world: World) -> None:
        for n in range(30):
            await raise_one(world, driver=f"d{n}")
        claims = await asyncio.gather(*(claim(world, f"w{n}", limit=5) for n in range(8)))
        ids = [job.attempt.attempt_id for jobs in claims for job in jobs]
        while more := await claim(world):
            ids += [job.attempt.attempt_id for job in more]
        assert len(ids) == len(set(ids)) == 30

    async def test_an_accepted_one_is_never_claimed_again(self, world: World) -> None:
        await raise_one(world)
        assert len((await sweep(world)).jobs) == 1
        await world.later(40_000)
        assert await claim(world) == []

    async def test_a_lease_that_is_over_is_taken_over_and_says_so(self, world: World) -> None:
        await raise_one(world)
        (job,) = await claim(world, "w1")
        await world.later(int(LEASE_S * 1000) + 1)
        (taken,) = await claim(world, "w2")
        assert taken.attempt.attempt_id == job.attempt.attempt_id
        assert (taken.attempt.status, taken.attempt.lease_by) == (Status.SENDING, "w2")
        assert await claim(world, "w3") == []

    async def test_a_former_holders_failure_is_not_recorded(self, world: World) -> None:
        await raise_one(world)
        (old,) = await claim(world, "w1")
        await world.later(int(LEASE_S * 1000) + 1)
        (new,) = await claim(world, "w2")
        await world.ledger.settle(with_provider(old), Permanent("bad_number"))
        await world.ledger.settle(with_provider(new), Accepted("SM2", "queued", repeat=True))
        assert await world.ledger.report(delivered("SM2"))

    async def test_a_former_holders_success_is_recorded_and_what_follows_does_not_undo_it(
        self, world: World
    ) -> None:
        taken = await raise_one(world)
        (old,) = await claim(world, "w1")
        await world.later(int(LEASE_S * 1000) + 1)
        (new,) = await claim(world, "w2")
        await world.ledger.settle(with_provider(old), Accepted("SM1", "queued"))
        await world.ledger.settle(with_provider(new), Permanent("bad_number"))
        assert await world.ledger.report(delivered("SM1"))
        assert (await now_of(world, taken)).alert.reached_ms is not None

    async def test_the_same_holder_that_lost_and_won_it_again_settles_once(self, world: World) -> None:
        await raise_one(world)
        (old,) = await claim(world, "w1")
        await world.later(int(LEASE_S * 1000) + 1)
        (new,) = await claim(world, "w1")
        await world.ledger.settle(with_provider(old), Permanent("bad_number"))
        await world.ledger.settle(with_provider(new), Accepted("SM1", "queued"))
        assert await world.ledger.report(delivered("SM1"))

    async def test_a_retryable_failure_is_tried_again(self, world: World) -> None:
        await raise_one(world)
        (job,) = await claim(world)
        await world.ledger.settle(with_provider(job), Retryable("throttled", retry_after_s=5.0))
        assert await claim(world) == []
        await world.later(30_000)
        await world.ledger.advance(50)
        (again,) = [j for j in await claim(world) if j.attempt.contact_id == "ana"]
        assert again.attempt.attempt_id != job.attempt.attempt_id
        assert again.attempt.number > job.attempt.number

    async def test_a_permanent_failure_is_not(self, world: World) -> None:
        await raise_one(world)
        (job,) = await claim(world)
        await world.ledger.settle(with_provider(job), Permanent("bad_number"))
        await world.later(30_000)
        assert [j for j in await claim(world) if j.attempt.contact_id == "ana"] == []

    async def test_an_unsure_one_is_claimed_again_to_be_looked_up(self, world: World) -> None:
        await raise_one(world)
        (job,) = await claim(world)
        await world.ledger.settle(with_provider(job), Unsure("timeout"))
        await world.later(int(LEASE_S * 1000) + 1)
        (again,) = [j for j in await claim(world) if j.attempt.contact_id == "ana"]
        assert again.attempt.attempt_id == job.attempt.attempt_id
        assert again.attempt.status is Status.UNSURE

    async def test_settling_what_is_not_known_changes_nothing(self, world: World) -> None:
        await raise_one(world)
        (job,) = await claim(world)
        stranger = structs.replace(job, attempt=structs.replace(job.attempt, attempt_id=uuid4()))
        await world.ledger.settle(stranger, Accepted("SM1", "queued"))
        assert not await world.ledger.report(delivered("SM1"))

    # --- what providers say later

    async def test_a_report_reaches_and_never_moves_back(self, world: World) -> None:
        taken = await raise_one(world)
        await sweep(world, "SM1")
        assert (await now_of(world, taken)).alert.reached_ms is None
        assert await world.ledger.report(delivered("SM1"))
        reached = (await now_of(world, taken)).alert
        assert reached.reached_ms is not None
        assert await world.ledger.report(delivered("SM1", Status.SENT))
        assert await world.ledger.report(delivered("SM1"))
        assert (await now_of(world, taken)).alert == reached

    async def test_a_report_of_nothing_is_told_so(self, world: World) -> None:
        taken = await raise_one(world)
        await sweep(world, "SM1")
        assert not await world.ledger.report(delivered("SM2"))
        assert not await world.ledger.report(StatusReport("other", "SM1", Status.DELIVERED, "delivered"))
        assert (await now_of(world, taken)).alert.reached_ms is None

    async def test_a_report_that_came_before_its_send_was_recorded_counts(self, world: World) -> None:
        taken = await raise_one(world)
        (job,) = await claim(world)
        assert not await world.ledger.report(delivered("SM1"))
        assert not await world.ledger.report(delivered("SM1", Status.SENT))
        await world.ledger.settle(with_provider(job), Accepted("SM1", "queued"))
        assert (await now_of(world, taken)).alert.reached_ms is not None

    async def test_reports_and_the_recording_at_once_lose_nothing(self, world: World) -> None:
        taken = [await raise_one(world, driver=f"d{n}") for n in range(10)]
        jobs = await claim(world)
        assert len(jobs) == len(taken)
        await asyncio.gather(
            *(
                world.ledger.settle(with_provider(j), Accepted(j.attempt.attempt_id.hex, "queued"))
                for j in jobs
            ),
            *(world.ledger.report(delivered(j.attempt.attempt_id.hex)) for j in jobs),
        )
        for n, one in enumerate(taken):
            found = await world.ledger.find("t1", f"d{n}", one.alert.sos_id)
            assert found is not None
            assert found.reached_ms is not None

    async def test_whoever_acted_on_a_message_was_reached(self, world: World) -> None:
        taken = await raise_one(world)
        (job,) = (await sweep(world)).jobs
        await world.ledger.answered(job.attempt.attempt_id)
        assert (await now_of(world, taken)).alert.reached_ms is not None
        await world.ledger.answered(uuid4())

    async def test_an_answer_that_overtakes_the_recording_is_not_undone(self, world: World) -> None:
        taken = await raise_one(world)
        (job,) = await claim(world)
        await world.ledger.answered(job.attempt.attempt_id)
        await world.ledger.settle(with_provider(job), Accepted("SM1", "queued"))
        assert (await now_of(world, taken)).alert.reached_ms is not None
        await world.later(int(LEASE_S * 1000) + 1)
        assert job.attempt.attempt_id not in [j.attempt.attempt_id for j in await claim(world)]

    async def test_the_same_press_in_another_tenant_is_an_alert_of_its_own(self, world: World) -> None:
        """Names of drivers and ids of presses are a tenant's own; so is who has an open alert."""
        sos_id = uuid4()
        ours = await raise_one(world, sos_id=sos_id)
        theirs = await raise_one(world, sos_id=sos_id, tenant="t2")
        more = await raise_one(world, tenant="t2")
        assert (theirs.created, more.created) == (True, False)
        assert (ours.alert.tenant, theirs.alert.tenant, more.alert.tenant) == ("t1", "t2", "t2")
        assert theirs.alert.alert_id == more.alert.alert_id != ours.alert.alert_id
        assert (await now_of(world, ours)).alert.presses == 1


def ids_of(jobs: Sequence[DeliveryJob]) -> set[UUID]:
    """The attempts' ids."""
    return {job.attempt.attempt_id for job in jobs}
