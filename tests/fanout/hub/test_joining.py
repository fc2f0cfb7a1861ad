"""Coming and going while things happen, over a fake bus and a fake truth with gates and failures."""

import asyncio

import pytest

from realtime.fanout.hub.hub import HubBounds
from tests.fanout.hub.kit import BOARD, LOG, Here, Viewer, newest, spot
from tests.fanout.kit import until


@pytest.mark.parametrize("reads_before", [0, 1])
async def test_a_log_is_joined_without_a_hole_when_entries_come_during_the_reads(
    here: Here, reads_before: int
) -> None:
    here.commit(1, 2, 3)
    viewer = Viewer()

    def more() -> None:
        here.commit(4, 5)
        if reads_before:
            here.origin.during = lambda: here.commit(6, 7)

    here.origin.during = more
    await here.watch_log(viewer)
    here.commit(8)
    last = here.origin.length
    await until(lambda: viewer.heard[-1:] == [last], "the last entry")
    assert viewer.heard == list(range(1, last + 1))


async def test_entries_that_come_while_subscribing_are_not_lost_nor_doubled(here: Here) -> None:
    here.bus.during = lambda: here.commit(1, 2)
    viewer = Viewer()
    await here.watch_log(viewer)
    here.commit(3)
    await until(lambda: viewer.heard[-1:] == [3], "the last entry")
    assert viewer.heard == [1, 2, 3]


async def test_a_board_is_joined_without_a_hole_when_positions_come_meanwhile(here: Here) -> None:
    """One while it subscribes, which the truth does not show yet; one during the read, looked at before."""
    here.origin.board = {"a": 1, "b": 1}
    here.bus.during = lambda: here.hub.publish(BOARD, "positions", [spot("a", 2)], 7)
    here.origin.during = lambda: here.hub.publish(BOARD, "positions", [spot("b", 2)], 7)
    viewer = Viewer()
    await here.watch_board(viewer)
    await until(lambda: newest(viewer) == {"a": 2, "b": 2}, "the newest")


async def test_more_than_can_be_kept_while_a_channel_opens_is_read_again() -> None:
    here = Here(HubBounds(max_early_messages=3))
    here.bus.during = lambda: [here.move(f"d{n}", 1) for n in range(10)]
    viewer = Viewer()
    await here.watch_board(viewer)
    await until(lambda: len(newest(viewer)) == 10, "all of them")
    await here.hub.stop()


async def test_two_joiners_at_once_open_once_and_both_are_told_all(here: Here) -> None:
    here.commit(*range(1, 11))
    viewers = [Viewer() for _ in range(5)]
    here.origin.during = lambda: here.commit(11)
    await asyncio.gather(*(here.watch_log(viewer) for viewer in viewers))
    here.commit(12)
    for viewer in viewers:
        await until(lambda v=viewer: v.heard[-1:] == [12], "the last")  # type: ignore[misc]
        assert viewer.heard == list(range(1, 13))
    assert here.bus.subscribed == [LOG]


async def test_the_last_viewer_takes_the_subscription_with_it(here: Here) -> None:
    one, two = Viewer(), Viewer()
    await here.watch_log(one)
    await here.watch_log(two)
    await here.watch_board(one)
    await here.watch_board(one, "a")
    assert sorted(here.bus.subscribed) == [LOG, BOARD]
    assert here.hub.leave("journey:j", one.socket)
    assert not here.hub.leave("journey:j", one.socket)
    assert LOG in here.bus.subscribed
    here.hub.drop(one.socket)
    here.hub.drop(two.socket)
    await until(here.empty, "an empty hub")


async def test_leaving_during_the_join_leaves_nothing(here: Here) -> None:
    viewer = Viewer()

    def leave() -> None:
        viewer.is_leaving = True
        here.hub.drop(viewer.socket)

    here.origin.during = leave
    await here.watch_log(viewer)
    await until(here.empty, "an empty hub")
    viewer.is_leaving = False
    here.origin.during = leave
    await here.watch_board(viewer)
    await until(here.empty, "an empty hub")


async def test_a_join_that_fails_leaves_nothing_and_the_next_one_works(here: Here) -> None:
    for join in (here.watch_log, here.watch_board):
        here.origin.failures = 1
        with pytest.raises(OSError, match="away"):
            await join(Viewer())
        await until(here.empty, "an empty hub")
        await join(Viewer())
        here.hub.drop(next(iter(here.hub._memberships._of)))
        await until(here.empty, "an empty hub")


async def test_watching_again_starts_over_and_counts_once(here: Here) -> None:
    here.commit(1, 2, 3)
    viewer = Viewer()
    for _ in range(3):
        viewer.heard.clear()
        await here.watch_log(viewer)
        assert viewer.heard == [1, 2, 3]
    here.commit(4)
    await until(lambda: viewer.heard == [1, 2, 3, 4], "the next, once")
    here.hub.drop(viewer.socket)
    await until(here.empty, "an empty hub")


async def test_from_where_it_was_and_from_now_on_and_from_the_future(here: Here) -> None:
    here.commit(*range(1, 11))
    some, live = Viewer(), Viewer()
    await here.watch_log(some, 7)
    await here.watch_log(live, None)
    here.commit(11)
    await until(lambda: some.heard == [8, 9, 10, 11] and live.heard == [10, 11], "each its part")
    with pytest.raises(ValueError, match="beyond"):
        await here.watch_log(Viewer(), 99)


async def test_with_redis_away_viewers_of_this_instance_go_on(here: Here) -> None:
    here.bus.confirms = here.bus.is_up = False
    viewer = Viewer()
    await here.watch_board(viewer)
    here.hub.publish(BOARD, "positions", [spot("a", 1)], 7)
    await until(lambda: newest(viewer) == {"a": 1}, "the position")


async def test_many_come_and_go_and_nothing_is_left(here: Here) -> None:
    async def visit(number: int) -> None:
        viewer = Viewer()
        joins = [here.watch_log(viewer), here.watch_board(viewer), here.watch_board(viewer, "a")]
        tasks = [asyncio.ensure_future(join) for join in joins]
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3 == 0:
            viewer.is_leaving = True
            here.hub.drop(viewer.socket)
        await asyncio.gather(*tasks)
        here.commit(here.origin.length + 1)
        here.hub.drop(viewer.socket)

    await asyncio.gather(*(visit(number) for number in range(200)))
    await until(here.empty, "an empty hub")
