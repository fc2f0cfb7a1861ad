"""Commits of positions give way to presses, for a bounded time."""

import asyncio

import pytest

from realtime.ingest.committer import Committer
from realtime.press_priority import PressPriority
from tests.commit.kit import FakeStore, batch_of, journey, submit

LONG_S = 60.0


async def test_without_a_press_nothing_waits() -> None:
    await asyncio.wait_for(PressPriority(LONG_S).give_way(), 1)


async def test_it_waits_until_the_last_press_is_stored() -> None:
    priority = PressPriority(LONG_S)
    with priority.press():
        with priority.press():
            waiting = asyncio.ensure_future(priority.give_way())
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)


async def test_a_press_that_fails_is_over_too() -> None:
    priority = PressPriority(LONG_S)
    with pytest.raises(ValueError), priority.press():
        raise ValueError
    await asyncio.wait_for(priority.give_way(), 1)


async def test_it_waits_no_longer_than_its_bound() -> None:
    priority = PressPriority(0.01)
    with priority.press():
        await asyncio.wait_for(priority.give_way(), 1)


async def test_positions_are_stored_after_the_press_and_in_one_transaction() -> None:
    store, priority = FakeStore(), PressPriority(LONG_S)
    committer = Committer(store, window_s=0.0, max_points=100, queue_points=1_000, priority=priority)
    committer.start()
    logs = [journey() for _ in range(3)]
    with priority.press():
        asked = [submit(committer, log, batch_of(log, [1])) for log in logs]
        await asyncio.sleep(0.02)
        assert [store.seqs(log) for log in logs] == [[], [], []]
    assert [await one.outcome() for one in asked] == ["ok"] * 3
    await committer.stop(1.0)
