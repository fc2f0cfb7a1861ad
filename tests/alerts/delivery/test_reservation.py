"""Two dispatchers that share the slots of a process: whatever their interleaving, none is counted twice."""

import asyncio
import contextlib
import itertools
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alerts.attempt import Accepted, Channel, Outcome, Permanent, Retryable, Unsure
from alerts.delivery.dispatcher import Dispatcher
from alerts.delivery.reservation import SlotReservation
from alerts.delivery.routes import Limits, Permit, ways_of
from alerts.leases import Lane
from alerts.ports import DeliveryJob, Reservation, StorageUnavailable
from tests.alerts.delivery.conftest import until
from tests.alerts.delivery.fakes import Clock, FakeLedger, FakeProvider

SLOTS = 8
LIMITS = Limits(slots=SLOTS, host_slots=4, remembered=6)
OUTCOMES: list[Outcome | None] = [
    None,
    Accepted("P", "queued"),
    Permanent("bad_number"),
    Retryable("later"),
    Retryable("http_500", provider_down=True),
    Retryable("http_429", 3.0, provider_down=True),
    Unsure("timeout"),
]
LANES = st.builds(
    lambda channel, tenant, is_sos, host: Lane(
        channel, tenant, is_sos, host if channel is Channel.WEBHOOK else None
    ),
    st.sampled_from([Channel.SMS, Channel.WEBHOOK]),
    st.sampled_from(["t1", "t2", "t3"]),
    st.booleans(),
    st.sampled_from(["a.example", "b.example"]),
)


class TwoClaims(RuleBasedStateMachine):
    """Claims of two ledgers that overlap in every way, and messages that end in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.ways = ways_of({}, LIMITS)
        self.claims: dict[str, SlotReservation] = {}
        self.held: dict[str, set[UUID]] = {"postgres": set(), "journal": set()}
        self.under_way: list[Permit] = []
        self.ids = itertools.count(1)

    def _new_id(self) -> UUID:
        """The same in every run: what is drawn depends on the order of the ids."""
        return UUID(int=next(self.ids))

    @rule(by=st.sampled_from(["postgres", "journal"]))
    def begin(self, by: str) -> None:
        """A dispatcher asks for room, unless its claim is under way."""
        if by not in self.claims:
            made = SlotReservation(self.ways, self.clock)
            assert all(one.most > 0 for one in made.wanted), "a limit is never zero or negative"
            self.claims[by] = made

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), lane=LANES, times=st.integers(1, 4))
    def pick(self, data: st.DataObject, lane: Lane, times: int) -> None:
        """A ledger picks attempts of a lane, sometimes one that it has picked before."""
        by = data.draw(st.sampled_from(sorted(self.claims)))
        for _ in range(times):
            self._pick_one(by, data, lane)

    def _pick_one(self, by: str, data: st.DataObject, lane: Lane) -> None:
        known = sorted(self.held[by])
        attempt_id = (
            data.draw(st.sampled_from(known)) if known and data.draw(st.booleans()) else self._new_id()
        )
        way = self.ways[lane.channel]
        before, taken = way.room(self.clock()), way.taken
        if self.claims[by].take(attempt_id, lane):
            is_new = attempt_id not in self.held[by]
            self.held[by].add(attempt_id)
            assert way.taken == taken + is_new, "one slot an attempt, however often it is picked"
            assert before or not is_new, "no slot is taken where there was none"
        else:
            assert way.taken == taken, "what is refused takes nothing"

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), is_failed=st.booleans())
    def end_claim(self, data: st.DataObject, is_failed: bool) -> None:
        """A claim ends: some of it is handed over; or it fails, or is cancelled, and nothing is."""
        by = data.draw(st.sampled_from(sorted(self.claims)))
        slots, held = self.claims.pop(by), self.held[by]
        with contextlib.suppress(asyncio.CancelledError), slots:
            if is_failed:
                raise asyncio.CancelledError
            for attempt_id in sorted(held):
                if data.draw(st.booleans()):
                    permit = slots.hand_over(attempt_id)
                    assert permit is not None
                    self.under_way.append(permit)
        held.clear()

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(OUTCOMES))
    def end_message(self, data: st.DataObject, outcome: Outcome | None) -> None:
        """A message ends, sometimes twice."""
        permit = self.under_way.pop(data.draw(st.integers(0, len(self.under_way) - 1)))
        for _ in range(data.draw(st.integers(1, 2))):
            permit.end(outcome, self.clock())

    @rule(seconds=st.sampled_from([0.1, 2.0, 40.0]))
    def pass_by(self, seconds: float) -> None:
        """Time passes."""
        self.clock.pass_by(seconds)

    @invariant()
    def adds_up(self) -> None:
        """No room is negative, and each slot in use belongs to a claim or to a message."""
        now_s = self.clock()
        for way in self.ways.values():
            assert 0 <= way.room_for_others(now_s) <= way.room(now_s) <= SLOTS
            assert way._slots.taken_by_others <= SLOTS - SLOTS // 4
        claimed = sum(len(held) for held in self.held.values())
        assert sum(way.taken for way in self.ways.values()) == claimed + len(self.under_way)

    def teardown(self) -> None:
        """When all has ended every slot is free, whatever was said."""
        for slots in self.claims.values():
            with slots:
                pass
        for permit in self.under_way:
            permit.end(None, self.clock())
        self.clock.pass_by(1_000.0)
        for way in self.ways.values():
            assert (way.taken, len(way._hosts), way._slots.tenants) == (0, 0, frozenset())
            assert way.room(self.clock()) == SLOTS or way.breaker.state(self.clock()) == "half_open"


TwoClaims.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwoClaims = TwoClaims.TestCase


def test_a_full_channel_never_limits_another() -> None:
    clock = Clock()
    ways = ways_of({}, Limits(slots=32))
    taken = [ways[Channel.SMS].take(Lane(Channel.SMS, f"t{n}", True), clock()) for n in range(31)]
    assert all(taken)
    wanted = {one.channel: one.most for one in SlotReservation(ways, clock).wanted}
    assert wanted[Channel.SMS] == 1
    assert wanted[Channel.PUSH] == 16
    ways[Channel.SMS].take(Lane(Channel.SMS, "t99", True), clock())
    wanted = {one.channel: one.most for one in SlotReservation(ways, clock).wanted}
    assert Channel.SMS not in wanted
    assert wanted[Channel.PUSH] == 16


def test_a_claim_whose_ledger_hangs_leaves_half_of_the_slots_to_the_other_ledger() -> None:
    """Postgres stops to answer between the pick and the commit: the journal's dispatcher must go on."""
    clock = Clock()
    ways = ways_of({}, Limits(slots=32))
    hanging, journal = SlotReservation(ways, clock), None
    lanes = [Lane(Channel.SMS, f"t{n}", True) for n in range(40)]
    assert sum(hanging.take(uuid4(), lane) for lane in lanes) == 16
    journal = SlotReservation(ways, clock)
    assert sum(journal.take(uuid4(), lane) for lane in lanes) == 8


def test_a_claim_gets_no_slot_that_is_taken_after_it_began() -> None:
    clock = Clock()
    sms = ways_of({}, LIMITS)[Channel.SMS]
    claim = SlotReservation({Channel.SMS: sms}, clock)
    permits = [sms.take(Lane(Channel.SMS, f"t{n}", True), clock()) for n in range(SLOTS)]
    assert not claim.take(uuid4(), Lane(Channel.SMS, "t99", True))
    assert (claim.refused, sms.taken) == (1, SLOTS)
    for permit in permits:
        assert permit is not None
        permit.end(None, clock())
    assert claim.take(uuid4(), Lane(Channel.SMS, "t99", True))


def test_a_claim_gets_no_slot_of_a_provider_that_fails_after_it_began() -> None:
    clock = Clock()
    sms = ways_of({}, LIMITS)[Channel.SMS]
    permit = sms.take(Lane(Channel.SMS, "t1", True), clock())
    claim = SlotReservation({Channel.SMS: sms}, clock)
    assert permit is not None
    permit.end(Retryable("http_429", 3.0, provider_down=True), clock())
    assert not claim.take(uuid4(), Lane(Channel.SMS, "t1", True))
    assert sms.taken == 0


def test_channels_with_only_reserved_slots_left_are_asked_for_sos_alone() -> None:
    clock = Clock()
    ways = ways_of({}, Limits(slots=32))
    for n in range(100):
        ways[Channel.SMS].take(Lane(Channel.SMS, f"t{n}", False), clock())
    (sms,) = [one for one in SlotReservation(ways, clock).wanted if one.channel is Channel.SMS]
    assert (sms.most, sms.only_sos) == (4, True)


# --- two dispatchers as they run


class UnrulyLedger(FakeLedger):
    """A ledger whose claims take their time before and after the pick, and fail or hang now and then."""

    def __init__(self, clock: Clock, rng: Random) -> None:
        super().__init__(clock)
        self._rng = rng
        self.mosts: list[int] = []

    async def claim(self, by: str, slots: Reservation, lease_s: float) -> list[DeliveryJob]:
        """As the port says, after a while."""
        self.mosts += [one.most for one in slots.wanted]
        for _ in range(self._rng.randint(0, 3)):
            await asyncio.sleep(0)
        jobs = await super().claim(by, slots, lease_s)
        for _ in range(self._rng.randint(0, 3)):
            await asyncio.sleep(0)
        if self._rng.random() < 0.2:
            for job in jobs:  # rolled back
                self.leases.pop(job.attempt.attempt_id)
                self.rows[job.attempt.attempt_id] = job.attempt
                self.claimed[job.attempt.channel] -= 1
            raise self._rng.choice([StorageUnavailable("gone"), RuntimeError("a fault of ours")])
        return jobs


class UnrulyProvider(FakeProvider):
    """Takes a few turns of the loop, and answers anything."""

    def __init__(self, channel: Channel, rng: Random) -> None:
        super().__init__(channel)
        self._rng = rng

    async def send(self, job: DeliveryJob, timeout_s: float) -> Outcome:
        """Whatever comes to its mind."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            for _ in range(self._rng.randint(0, 5)):
                await asyncio.sleep(0)
            if self._rng.random() < 0.1:
                raise RuntimeError("a notifier that breaks its contract")
            self.inbox.append(job)
            return Accepted("P1", "queued")
        finally:
            self._at_once -= 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_two_dispatchers_never_exceed_the_slots_and_leak_none(seed: int) -> None:
    asyncio.run(_two_dispatchers(Random(seed)))


async def _two_dispatchers(rng: Random) -> None:
    clock = Clock()
    providers = [UnrulyProvider(channel, rng) for channel in (Channel.SMS, Channel.PUSH)]
    ways = ways_of({provider.channel: provider for provider in providers}, Limits(slots=4))
    ledgers = [UnrulyLedger(clock, rng) for _ in range(2)]
    dispatchers = [
        Dispatcher(ledger, ways, by=f"w{n}", poll_s=0.001, clock=clock, away_poll_s=0.001)
        for n, ledger in enumerate(ledgers)
    ]
    for ledger in ledgers:
        ledger.due(*[Channel.SMS, Channel.PUSH] * rng.randint(1, 12))
    for dispatcher in dispatchers:
        dispatcher.start()
    for _ in range(rng.randint(0, 200)):
        await asyncio.sleep(0)
        assert all(way.room(clock()) >= 0 for way in ways.values())
    if rng.random() < 0.5:
        # What is cut off mid-way leaks nothing either.
        await asyncio.gather(*(dispatcher.stop(0.0) for dispatcher in dispatchers))
    else:
        for _ in range(20_000):
            if all(len(ledger.settled) >= len(ledger.rows) for ledger in ledgers):
                break
            clock.pass_by(0.05)
            await asyncio.sleep(0.0005)
        else:
            raise AssertionError("not everything was sent")
        await asyncio.gather(*(dispatcher.stop(1.0) for dispatcher in dispatchers))
    assert all(way.taken == 0 for way in ways.values())
    assert all(provider.most_at_once <= 4 for provider in providers)
    assert all(most > 0 for ledger in ledgers for most in ledger.mosts)


@pytest.mark.parametrize("turns", range(4))
async def test_a_delivery_cancelled_at_any_moment_gives_its_slot_back(turns: int) -> None:
    """Also before its task has run at all: then none of its own code ever does."""
    clock = Clock()
    sms = FakeProvider(Channel.SMS)
    sms.hang = asyncio.Event()
    ledger, ways = FakeLedger(clock), ways_of({Channel.SMS: sms})
    dispatcher = Dispatcher(ledger, ways, by="w1", clock=clock)
    ledger.due(*[Channel.SMS] * 3)
    await dispatcher._claim()
    assert ways[Channel.SMS].taken == 3
    for _ in range(turns):
        await asyncio.sleep(0)
    for task in list(dispatcher._sending):
        task.cancel()
    await until(lambda: not dispatcher.sending, "all are over")
    assert ways[Channel.SMS].taken == 0


async def test_both_dispatchers_of_a_process_share_its_slots_and_none_is_counted_twice() -> None:
    """Both ask for room before either claims, as they do when both wait for their ledgers."""
    clock = Clock()
    sms = FakeProvider(Channel.SMS)
    sms.hang = asyncio.Event()
    ways = ways_of({Channel.SMS: sms})
    ledgers = [FakeLedger(clock) for _ in range(2)]
    meeting = asyncio.Barrier(2)
    limits: list[int] = []
    for ledger in ledgers:
        ledger.due(*[Channel.SMS] * 40)
        claim = ledger.claim

        async def together(
            by: str, slots: Reservation, lease_s: float, claim: object = claim
        ) -> list[DeliveryJob]:
            limits.extend(one.most for one in slots.wanted)
            await meeting.wait()
            return await claim(by, slots, lease_s)  # type: ignore[operator,no-any-return]

        ledger.claim = together  # type: ignore[method-assign]
    dispatchers = [Dispatcher(ledger, ways, by=f"w{n}", clock=clock) for n, ledger in enumerate(ledgers)]
    for _ in range(8):
        await asyncio.gather(
            *(dispatcher._claim() for dispatcher in dispatchers if ways[Channel.SMS].room(0))
        )
        if not ways[Channel.SMS].room(0.0):
            break
    claimed = [ledger.claimed[Channel.SMS] for ledger in ledgers]
    assert min(claimed) > 0, "each has claimed some"
    assert sum(claimed) == ways[Channel.SMS].taken == 24, "a lone tenant leaves a quarter of 32"
    assert min(limits) > 0
    for dispatcher in dispatchers:
        await dispatcher.stop(0.0)
        for task in dispatcher._sending:
            task.cancel()
    sms.hang.set()
