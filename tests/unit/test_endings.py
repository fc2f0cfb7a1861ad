"""A task that swallows a cancellation still ends."""

import asyncio

from realtime.aio import end


async def test_a_swallowed_cancellation_is_repeated() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 3:
                    raise

    async def failing() -> None:
        raise RuntimeError("a bug")

    tasks = [asyncio.ensure_future(stubborn()), asyncio.ensure_future(failing())]
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await end(tasks)
    assert swallowed == 3
    assert all(task.done() for task in tasks)
    await end([])
