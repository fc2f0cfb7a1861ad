"""The group commit over a fake store with failure switches: who is answered what, and when."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from realtime.ingest.committer import Committer
from realtime.protocol import Code, Refused
from tests.commit.kit import Answer, FakeStore, batch_of, journey, submit

AWAY = Refused(Code.UNAVAILABLE, "the storage is unavailable, try again", retry_after_s=1)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def committer(store: FakeStore) -> AsyncIterator[Committer]:
    made = Committer(store, window_s=0.005, max_points=100, queue_points=1_000)
    made.start()
    yield made
    if store.gate is not None:
        store.gate.set()
    await made.stop(5.0)


async def test_nobody_is_answered_before_the_store_has_returned(
    store: FakeStore, committer: Committer
) -> None:
    store.gate = asyncio.Event()
    log = journey()
    answer = submit(committer, log, batch_of(log, [1, 2]))
    async with asyncio.timeout(5):
        await store.entered.wait()
    assert not answer.come.is_set()
    assert log.committed == 0
    store.gate.set()
    assert await answer.outcome() == "ok"
    assert log.committed == 2


async def test_what_gathers_is_one_transaction(store: FakeStore, committer: Committer) -> None:
    logs = [journey(driver=f"d{n}") for n in range(10)]
    answers = [submit(committer, log, batch_of(log, [1, 2, 3])) for log in logs]
    assert [await answer.outcome() for answer in answers] == ["ok"] * 10
    assert len(store.calls) == 1
    assert len(store.calls[0]) == 10


async def test_a_transaction_takes_no_more_than_max_points(store: FakeStore, committer: Committer) -> None:
    logs = [journey(driver=f"d{n}") for n in range(6)]
    answers = [submit(committer, log, batch_of(log, range(1, 41))) for log in logs]
    assert [await answer.outcome() for answer in answers] == ["ok"] * 6
    assert [len(call) for call in store.calls] == [2, 2, 2]


async def test_a_batch_larger_than_max_points_goes_alone(store: FakeStore, committer: Committer) -> None:
    small, large = journey(), journey()
    answers = [
        submit(committer, small, batch_of(small, [1])),
        submit(committer, large, batch_of(large, range(1, 151))),
        submit(committer, small, batch_of(small, [2])),
    ]
    assert [await answer.outcome() for answer in answers] == ["ok"] * 3
    assert [len(call) for call in store.calls] == [1, 1, 1]


async def test_a_batch_that_leaves_a_hole_is_told_what_is_expected(committer: Committer) -> None:
    log = journey(committed=4)
    submit(committer, log, batch_of(log, [5, 6]))
    with pytest.raises(Refused) as refused:
        submit(committer, log, batch_of(log, [8]))
    assert refused.value.code is Code.EXPECTED_SEQ
    assert refused.value.extra["expected"] == 7


async def test_the_queue_is_bounded_and_says_so(store: FakeStore, committer: Committer) -> None:
    store.gate = asyncio.Event()
    logs = [journey(driver=f"d{n}") for n in range(40)]
    answers, refused = [], []
    for log in logs:
        try:
            answers.append(submit(committer, log, batch_of(log, range(1, 31))))
        except Refused as refusal:
            refused.append(refusal)
            assert log.tail == 0, "a batch that was not taken moved the tail"
    assert {refusal.code for refusal in refused} == {Code.OVERLOADED}
    assert all(refusal.retry_after_s for refusal in refused)
    assert committer.queued_points <= 1_000
    store.gate.set()
    assert {await answer.outcome() for answer in answers} == {"ok"}
    assert committer.queued_points == 0


async def test_postgres_away_fails_the_whole_group_honestly_and_the_next_try_works(
    store: FakeStore, committer: Committer
) -> None:
    store.fail_next = [AWAY]
    logs = [journey(driver=f"d{n}") for n in range(3)]
    answers = [submit(committer, log, batch_of(log, [1, 2])) for log in logs]
    assert [await a.outcome() for a in answers] == ["unavailable"] * 3
    assert all(a.refusal and a.refusal.retryable and a.refusal.retry_after_s for a in answers)
    assert [log.tail for log in logs] == [0, 0, 0]
    again = [submit(committer, log, batch_of(log, [1, 2])) for log in logs]
    assert [await a.outcome() for a in again] == ["ok"] * 3


async def test_batches_behind_a_failed_one_fail_with_it_queued_ones_too(
    store: FakeStore, committer: Committer
) -> None:
    store.gate = asyncio.Event()
    store.fail_next = [AWAY]
    log, other = journey(), journey()
    first = submit(committer, log, batch_of(log, [1, 2]))
    async with asyncio.timeout(5):
        await store.entered.wait()
    queued = [submit(committer, log, batch_of(log, [3])), submit(committer, log, batch_of(log, [4]))]
    unrelated = submit(committer, other, batch_of(other, [1]))
    store.gate.set()
    assert await first.outcome() == "unavailable"
    assert [await a.outcome() for a in queued] == ["unavailable"] * 2
    assert await unrelated.outcome() == "ok"
    assert store.seqs(log) == []
    assert store.seqs(other) == [1]
    assert log.waiting == 0


async def test_a_conflict_fails_its_batch_and_those_behind_and_nobody_else(
    store: FakeStore, committer: Committer
) -> None:
    log, other = journey(), journey()
    assert await submit(committer, log, batch_of(log, [1, 2])).outcome() == "ok"
    liar = submit(committer, log, batch_of(log, [2, 3], lat=10.0))
    behind = submit(committer, log, batch_of(log, [4]))
    unrelated = submit(committer, other, batch_of(other, [1]))
    assert await liar.outcome() == "conflict"
    assert liar.refusal is not None
    assert liar.refusal.extra["conflicts"] == [2]
    assert not liar.refusal.retryable
    assert await behind.outcome() == "expected_seq"
    assert behind.refusal is not None
    assert behind.refusal.extra["expected"] == 3
    assert await unrelated.outcome() == "ok"
    assert store.seqs(log) == [1, 2]


async def test_a_replay_is_acknowledged_again(store: FakeStore, committer: Committer) -> None:
    log = journey()
    assert await submit(committer, log, batch_of(log, [1, 2, 3])).outcome() == "ok"
    assert await submit(committer, log, batch_of(log, [1, 2, 3])).outcome() == "ok"
    assert await submit(committer, log, batch_of(log, [3, 4])).outcome() == "ok"
    assert log.committed == 4


async def test_a_lost_reply_leaves_a_log_that_can_be_sent_again(
    store: FakeStore, committer: Committer
) -> None:
    log = journey()
    store.lose_reply = AWAY
    assert await submit(committer, log, batch_of(log, [1, 2])).outcome() == "unavailable"
    assert store.seqs(log) == [1, 2]
    assert await submit(committer, log, batch_of(log, [1, 2])).outcome() == "ok"
    assert await submit(committer, log, batch_of(log, [3])).outcome() == "ok"


async def test_a_refused_journey_takes_no_more(store: FakeStore, committer: Committer) -> None:
    log, other = journey(), journey()
    store.refused.add(log.journey_id)
    refused = submit(committer, log, batch_of(log, [1]))
    fine = submit(committer, other, batch_of(other, [1]))
    assert await refused.outcome() == "journey_ended"
    assert await fine.outcome() == "ok"


async def test_a_poison_point_becomes_a_void_and_harms_nobody_else(
    store: FakeStore, committer: Committer
) -> None:
    store.poison[66.6] = asyncpg.CheckViolationError("no such place")
    logs = [journey(driver=f"d{n}") for n in range(4)]
    batches = [batch_of(log, range(1, 8)) for log in logs]
    bad = batches[2].points[4]
    batches[2].points[4] = type(bad)(bad.seq, bad.t_ms, 66.6, bad.lon)
    answers = [submit(committer, log, batch) for log, batch in zip(logs, batches, strict=True)]
    behind = submit(committer, logs[2], batch_of(logs[2], [8]))
    assert [await a.outcome() for a in answers] == ["ok"] * 4
    assert await behind.outcome() == "ok"
    assert batches[2].voids == {5: "unstorable"}
    assert [p.lat is None for p in batches[2].points] == [False] * 4 + [True] + [False] * 2
    for log in logs:
        assert store.seqs(log) == list(range(1, 9 if log is logs[2] else 8))


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.InsufficientPrivilegeError("permission denied"),
        asyncpg.UndefinedColumnError("no such column"),
        asyncpg.CheckViolationError('no partition of relation "journey_points" found for row'),
    ],
)
async def test_a_fault_that_is_not_the_rows_voids_nothing_and_stays_with_its_journey(
    store: FakeStore, committer: Committer, error: asyncpg.PostgresError
) -> None:
    store.poison[66.6] = error
    sick, well = journey(), journey()
    answers = [
        submit(committer, sick, batch_of(sick, [1, 2], lat=66.6)),
        submit(committer, well, batch_of(well, [1, 2])),
        submit(committer, sick, batch_of(sick, [3], lat=66.6)),
    ]
    assert [await a.outcome() for a in answers] == ["unavailable", "ok", "unavailable"]
    assert answers[0].refusal is not None
    assert answers[0].refusal.retry_after_s
    assert store.seqs(sick) == []
    store.poison.clear()
    assert await submit(committer, sick, batch_of(sick, [1, 2, 3], lat=66.6)).outcome() == "ok"
    assert all(p.lat == 66.6 for p in store.logs[sick.journey_id].values())


async def test_an_error_nobody_thought_of_is_answered_and_the_loop_goes_on(
    store: FakeStore, committer: Committer
) -> None:
    store.fail_next = [RuntimeError("a bug")]
    log = journey()
    assert await submit(committer, log, batch_of(log, [1])).outcome() == "internal"
    assert await submit(committer, log, batch_of(log, [1])).outcome() == "ok"


async def test_an_answer_that_raises_harms_nobody_else(store: FakeStore, committer: Committer) -> None:
    log, other = journey(), journey()

    def broken(refusal: Refused | None) -> None:
        raise RuntimeError("a bug")

    committer.submit(batch_of(log, [1]), log, broken)
    answer = submit(committer, other, batch_of(other, [1]))
    assert await answer.outcome() in {"ok", "internal"}
    assert await submit(committer, other, batch_of(other, [1])).outcome() == "ok"


async def test_stop_commits_what_has_gathered(store: FakeStore, committer: Committer) -> None:
    log = journey()
    answer = submit(committer, log, batch_of(log, [1]))
    await committer.stop(5.0)
    assert await answer.outcome() == "ok"


async def test_stop_answers_everybody_also_what_is_being_stored_and_what_comes_later(
    store: FakeStore, committer: Committer
) -> None:
    store.gate = asyncio.Event()
    log = journey()
    storing = submit(committer, log, batch_of(log, [1]))
    async with asyncio.timeout(5):
        await store.entered.wait()
    queued = submit(committer, log, batch_of(log, [2]))
    await committer.stop(0.0)
    assert await storing.outcome() == "draining"
    assert await queued.outcome() == "draining"
    assert committer.queued_points == 0
    with pytest.raises(Refused) as refused:
        submit(committer, log, batch_of(log, [1]))
    assert refused.value.code is Code.DRAINING


async def test_two_contents_of_one_seq_in_one_group_the_first_stands(
    store: FakeStore, committer: Committer
) -> None:
    log = journey()
    first = submit(committer, log, batch_of(log, [1, 2]))
    second = submit(committer, log, batch_of(log, [1, 2], lat=10.0))
    assert await first.outcome() == "ok"
    assert await second.outcome() == "conflict"
    assert {p.lat for p in store.logs[log.journey_id].values()} == {53.4}


async def test_two_transactions_run_at_a_time_and_never_two_of_one_journey(
    store: FakeStore, committer: Committer
) -> None:
    store.gate = asyncio.Event()
    one, two, three = journey(), journey(), journey()
    answers = [submit(committer, one, batch_of(one, [1]))]
    async with asyncio.timeout(5):
        await store.entered.wait()
    answers += [submit(committer, one, batch_of(one, [2])), submit(committer, two, batch_of(two, [1]))]
    store.entered.clear()
    async with asyncio.timeout(5):
        await store.entered.wait()
    answers += [submit(committer, three, batch_of(three, [1])), submit(committer, one, batch_of(one, [3]))]
    await asyncio.sleep(0.02)  # a third transaction would begin now
    ids = [[journey_id for journey_id, *_ in call] for call in store.calls]
    assert ids == [[one.journey_id], [two.journey_id]]
    assert committer.queued_points == 3
    store.gate.set()
    assert [await answer.outcome() for answer in answers] == ["ok"] * 5
    assert store.seqs(one) == [1, 2, 3]


async def test_what_waits_behind_a_failed_transaction_fails_and_the_other_transaction_does_not(
    store: FakeStore, committer: Committer
) -> None:
    store.gate = asyncio.Event()
    sick, well = journey(), journey()
    store.refused.add(sick.journey_id)
    answers = [submit(committer, sick, batch_of(sick, [1]))]
    async with asyncio.timeout(5):
        await store.entered.wait()
    answers += [submit(committer, sick, batch_of(sick, [2])), submit(committer, well, batch_of(well, [1]))]
    store.entered.clear()
    async with asyncio.timeout(5):
        await store.entered.wait()
    store.gate.set()
    assert [await answer.outcome() for answer in answers] == ["journey_ended", "expected_seq", "ok"]
    assert (sick.waiting, sick.tail) == (0, 0)
    assert store.seqs(well) == [1]


@pytest.mark.parametrize("turns", range(5))
async def test_stop_answers_a_transaction_in_whatever_turn_of_the_loop_it_comes(
    store: FakeStore, turns: int
) -> None:
    """Queued, gathered but not begun, or begun: a task cancelled before its first step runs nothing."""
    store.gate = asyncio.Event()
    log = journey()
    committer = Committer(store, window_s=0.0, max_points=100, queue_points=1_000)
    committer.start()
    await asyncio.sleep(0)
    answer = submit(committer, log, batch_of(log, [1]))
    for _ in range(turns):
        await asyncio.sleep(0)
    await committer.stop(0.0)
    assert await answer.outcome() == "draining"
    assert log.waiting == 0


async def test_nothing_waits_while_nothing_is_being_stored(store: FakeStore) -> None:
    committer = Committer(store, window_s=3_600.0, max_points=100, queue_points=1_000)
    committer.start()
    first, second = journey(), journey()
    assert await submit(committer, first, batch_of(first, [1])).outcome() == "ok"
    late = submit(committer, second, batch_of(second, [1]))
    await asyncio.sleep(0.02)
    assert not late.come.is_set(), "the next transaction began within the window"
    full = submit(committer, first, batch_of(first, range(2, 101)))
    assert [await late.outcome(), await full.outcome()] == ["ok", "ok"]
    await committer.stop(0.0)


def test_an_answer_counts_its_calls() -> None:
    answer = Answer()
    answer(None)
    answer(None)
    assert answer.times == 2


async def test_stop_answers_what_waits_for_its_turn_behind_another_journey(store: FakeStore) -> None:
    committer = Committer(store, window_s=3_600.0, max_points=100, queue_points=1_000)
    committer.start()
    first, second = journey(), journey()
    assert await submit(committer, first, batch_of(first, [1])).outcome() == "ok"
    queued = submit(committer, second, batch_of(second, [1]))
    await committer.stop(0.0)
    assert await queued.outcome() == "draining"
    assert second.waiting == 0
