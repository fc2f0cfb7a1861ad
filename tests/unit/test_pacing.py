"""Newcomers are served a few in each iteration of the event loop, one lane after the other."""

import asyncio

import pytest
import uvloop

from realtime.fanout.engineio.pacing import NewcomerPacer


class Iterations:
    """Counts the iterations of the running event loop."""

    def __init__(self) -> None:
        self.number = 0
        self._next()

    def _next(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._next)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=request.param)


def test_a_few_newcomers_are_admitted_in_each_iteration(runner: asyncio.Runner) -> None:
    async def admitted_in() -> list[int]:
        pacer, iterations, found = NewcomerPacer(per_iteration=3), Iterations(), []

        async def newcomer() -> None:
            await pacer.admit("lane")
            found.append(iterations.number)

        await asyncio.gather(*(newcomer() for _ in range(20)))
        assert pacer.waiting == 0
        return found

    with runner:
        found = runner.run(admitted_in())
    assert max(found.count(number) for number in found) <= 3
    assert found[-1] - found[0] <= 8, "no iteration without newcomers while some wait"


def test_newcomers_after_a_pause_do_not_wait(runner: asyncio.Runner) -> None:
    async def admitted() -> bool:
        pacer = NewcomerPacer(per_iteration=1)
        for _ in range(3):
            await pacer.admit("lane")
        await asyncio.sleep(0.01)
        entry = pacer.admit("lane")
        try:
            entry.send(None)
        except StopIteration:
            return True
        return False

    with runner:
        assert runner.run(admitted())


def test_a_lane_of_thousands_delays_another_by_one_newcomer(runner: asyncio.Runner) -> None:
    async def order() -> list[str]:
        pacer, found = NewcomerPacer(per_iteration=2), []

        async def newcomer(lane: str) -> None:
            await pacer.admit(lane)
            found.append(lane)

        crowd = [asyncio.ensure_future(newcomer("crowd")) for _ in range(2_000)]
        await asyncio.sleep(0)
        single = asyncio.ensure_future(newcomer("single"))
        await single
        position = found.index("single")
        await asyncio.gather(*crowd)
        return [*found[: position + 1]]

    with runner:
        assert len(runner.run(order())) <= 8


def test_a_newcomer_that_was_cancelled_takes_no_slot(runner: asyncio.Runner) -> None:
    async def waits_for() -> int:
        pacer, iterations = NewcomerPacer(per_iteration=1), Iterations()
        await pacer.admit("lane")
        left = [asyncio.ensure_future(pacer.admit("lane")) for _ in range(100)]
        stays = asyncio.ensure_future(pacer.admit("lane"))
        await asyncio.sleep(0)
        for newcomer in left:
            newcomer.cancel()
        begun = iterations.number
        await stays
        assert pacer.waiting == 0
        return iterations.number - begun

    with runner:
        assert runner.run(waits_for()) < 10
