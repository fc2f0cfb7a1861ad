"""What an instance believes of a journey's log: never behind what is committed, never a hole let in."""

from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from realtime.ingest.journey import JourneyLog
from realtime.rate_limits import TokenBucket


def log_at(committed: int) -> JourneyLog:
    return JourneyLog(uuid4(), "t1", "v1", "d1", committed, 0)


def test_what_continues_and_what_leaves_a_hole() -> None:
    log = log_at(5)
    assert log.continues(6)
    assert log.continues(1)
    assert not log.continues(7)
    log.admitted(9)
    assert log.continues(10)
    assert not log.continues(11)


def test_a_failure_takes_back_what_waited() -> None:
    log = log_at(5)
    log.admitted(7)
    log.admitted(9)
    log.failed()
    log.failed()
    assert (log.tail, log.committed, log.waiting) == (5, 5, 0)


def test_one_stored_after_another_failed_is_still_counted() -> None:
    log = log_at(0)
    log.admitted(5)
    log.admitted(9)
    log.failed()
    log.stored(5)
    assert (log.committed, log.tail) == (5, 5)


def test_reading_an_old_head_takes_nothing_back() -> None:
    log = log_at(5)
    log.learned(3, None, expired=False)
    assert log.committed == 5
    log.learned(8, 10, expired=True)
    assert (log.committed, log.tail, log.final_seq, log.expired) == (8, 8, 10, True)
    assert log.is_beyond_end(11)
    assert not log.is_beyond_end(10)


class LogMachine(RuleBasedStateMachine):
    """Batches come, wait in order, are stored from the front or fail with all behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.log = log_at(0)
        self.stored = 0
        self.waiting: list[tuple[int, int]] = []

    @rule(back=st.integers(0, 5), size=st.integers(1, 9))
    def send(self, back: int, size: int) -> None:
        first = max(1, self.log.tail + 1 - back)
        assert self.log.continues(first)
        self.log.admitted(first + size - 1)
        self.waiting.append((first, first + size - 1))

    @precondition(lambda self: self.waiting)
    @rule()
    def commit_the_first(self) -> None:
        first, last = self.waiting.pop(0)
        assert first <= self.stored + 1, "a hole is stored"
        self.stored = max(self.stored, last)
        self.log.stored(last)

    @precondition(lambda self: self.waiting)
    @rule()
    def fail_all(self) -> None:
        for _ in self.waiting:
            self.log.failed()
        self.waiting.clear()

    @rule(more=st.integers(0, 3))
    def another_instance_stores(self, more: int) -> None:
        self.stored += more

    @rule()
    def read_the_head(self) -> None:
        self.log.learned(self.stored, None, expired=False)

    @invariant()
    def never_ahead_of_the_truth(self) -> None:
        assert self.log.committed <= self.stored
        assert self.log.tail >= self.log.committed
        assert self.log.waiting == len(self.waiting)


TestLogMachine = LogMachine.TestCase
TestLogMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_a_bucket_gives_its_burst_then_its_rate() -> None:
    bucket = TokenBucket.full(10, 100, 0.0)
    assert bucket.take(100, 0.0) == 0.0
    assert bucket.take(5, 0.0) == 0.5
    assert bucket.take(5, 0.25) == 0.25
    assert bucket.take(5, 0.5) == 0.0
    assert bucket.take(100, 1_000.0) == 0.0


def test_a_refused_request_takes_nothing_and_its_wait_is_enough() -> None:
    bucket = TokenBucket.full(7, 50, 0.0)
    assert bucket.take(50, 0.0) == 0.0
    wait_s = bucket.take(20, 1.0)
    assert wait_s > 0
    assert bucket.take(20, 1.0 + wait_s) == 0.0


def test_more_than_the_burst_is_let_through_by_a_full_bucket_only() -> None:
    bucket = TokenBucket.full(10, 100, 0.0)
    assert bucket.take(5_000, 0.0) == 0.0
    wait_s = bucket.take(5_000, 1.0)
    assert wait_s == 9.0
    assert bucket.take(5_000, 10.0) == 0.0
