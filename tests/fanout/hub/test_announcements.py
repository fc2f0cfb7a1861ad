"""Rare things that nobody may miss: to whom, and how much of it."""

from tests.fanout.hub.kit import BOARD, LIMIT, LOG, Here, Viewer


async def test_an_announcement_waits_for_no_tick_and_skips_no_slow_member(here: Here) -> None:
    board, key, other, log = Viewer(), Viewer(), Viewer(), Viewer()
    await here.watch_board(board)
    await here.watch_board(key, "a")
    await here.watch_board(other, "b")
    await here.watch_log(log)
    board.buffered_bytes = log.buffered_bytes = LIMIT + 1
    here.hub.announce([BOARD, LOG, "v:t1/unwatched"], "alert", "a", lambda member: b"1")
    assert (board.heard, key.heard, other.heard, log.heard) == (
        [("alert", 1)],
        [("alert", 1)],
        [],
        [("alert", 1)],
    )


async def test_an_announcement_tells_each_member_what_it_may_know(here: Here) -> None:
    whole, part, none = Viewer(), Viewer(), Viewer()
    for viewer in (whole, part, none):
        await here.watch_board(viewer)
    may = {whole.socket: b"2", part.socket: b"1"}
    here.hub.announce([BOARD], "alert", "a", may.get)
    assert (whole.heard, part.heard, none.heard) == ([("alert", 2)], [("alert", 1)], [])
